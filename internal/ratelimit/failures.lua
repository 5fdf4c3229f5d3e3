-- The failures of one network, as failures.go describes them. Times are microseconds and come from the caller: one
-- clock moves everything. All keys carry the same hash tag, so that the script runs on a cluster.
--
-- KEYS: failed (sorted set: account, when), pending (the same, of guesses under way), state (hash: strangers and
-- everybody, until when they wait; reached and level, for the next wait)
local failed, pending, state = KEYS[1], KEYS[2], KEYS[3]
local op, now, account = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local window, life = tonumber(ARGV[4]), tonumber(ARGV[5])
local number, first, most, again = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local refuse, refusal = tonumber(ARGV[10]), tonumber(ARGV[11])

local s = redis.call('HMGET', state, 'strangers', 'everybody', 'reached', 'level')
local strangers, everybody, reached, level = tonumber(s[1]) or 0, tonumber(s[2]) or 0, tonumber(s[3]) or 0, tonumber(s[4]) or 0

local function text(n) return string.format('%.0f', n) end
local function milliseconds(n) return text(math.ceil(n / 1000)) end

-- a clock that was put back must not make anybody wait for it to come round again
local longest = math.max(first, most)
if strangers > now + longest or everybody > now + refusal then
	strangers, everybody = math.min(strangers, now + longest), math.min(everybody, now + refusal)
	redis.call('HSET', state, 'strangers', text(strangers), 'everybody', text(everybody))
end

-- after a wait the set begins empty; what fails at its very end is new
local cutoff = now - window
if strangers <= now then cutoff = math.max(cutoff, strangers - 1) end
if everybody <= now then cutoff = math.max(cutoff, everybody - 1) end
redis.call('ZREMRANGEBYSCORE', failed, '-inf', text(cutoff))
redis.call('ZREMRANGEBYSCORE', failed, '(' .. text(now + window), '+inf')
redis.call('ZREMRANGEBYSCORE', pending, '-inf', text(now - life))
redis.call('ZREMRANGEBYSCORE', pending, '(' .. text(now + window), '+inf')

local function reach()
	if reached > 0 and now - reached < again then level = level + 1 else level = 0 end
	local wait = first
	for _ = 1, level do
		if wait < most then wait = wait * 2 end
	end
	if most > 0 then wait = math.min(wait, most) end
	strangers = now + wait
	redis.call('HSET', state, 'strangers', text(strangers), 'reached', text(now), 'level', text(level))
	redis.call('PEXPIRE', state, milliseconds(wait + again))
end

local function answer(what, at, before)
	return {what, text(strangers), text(everybody), text(at or 0), text(before or 0), redis.call('ZCARD', failed), level}
end

if op == 'look' then
	return answer('free')
end

if op == 'pay' then
	local stranger, hold = ARGV[12] == '1', ARGV[13] == '1'
	if everybody > now then return answer('everybody') end
	if not hold then return answer('free') end
	if stranger and strangers > now then return answer('strangers') end
	if redis.call('ZSCORE', failed, account) then return answer('counted') end
	local before = tonumber(redis.call('ZSCORE', pending, account) or 0)
	local at = now
	if before > 0 then
		at = math.max(now, before + 1)
	else
		local n = redis.call('ZCARD', failed)
		if n >= number then -- the number was lowered in between
			reach()
			if stranger then return answer('strangers') end
		elseif n + redis.call('ZCARD', pending) >= number then
			return answer('full')
		end
	end
	redis.call('ZADD', pending, text(at), account)
	redis.call('PEXPIRE', pending, milliseconds(life))
	return answer('held', at, before)
end

-- the rest settles a guess
local held, before = tonumber(ARGV[12]), tonumber(ARGV[13])
if op == 'unchecked' then
	-- somebody else's guess at the same account keeps its place
	if held > 0 and tonumber(redis.call('ZSCORE', pending, account) or 0) == held then
		if before > 0 then redis.call('ZADD', pending, text(before), account) else redis.call('ZREM', pending, account) end
	end
	return answer('free')
end
redis.call('ZREM', pending, account)
if op == 'right' then
	redis.call('ZREM', failed, account)
	return answer('free')
end
redis.call('ZADD', failed, text(now), account)
redis.call('PEXPIRE', failed, milliseconds(window))
local n = redis.call('ZCARD', failed)
if n >= number and strangers <= now then reach() end
if n >= refuse and everybody <= now then
	everybody = now + refusal
	redis.call('HSET', state, 'everybody', text(everybody))
	if redis.call('PTTL', state) < refusal / 1000 then redis.call('PEXPIRE', state, milliseconds(refusal + again)) end
end
return answer('free')
