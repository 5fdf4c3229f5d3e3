-- +goose Up
-- failed_login_attempts and account_locked_until show the strangers' purse of a person's address, and are believed: the
-- gateway writes there what the purse holds, and what somebody else writes there goes into the purse. Five failures
-- written without a rest are a rest of thirty minutes, as in the ERP's own function, but nobody is switched off.
-- +goose StatementBegin
create function portalgate.lockout_hand() returns trigger language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
declare
	before text := current_setting('app.current_tenant_id', true);
	at timestamptz := portalgate.gateway_time();
	digest bytea := portalgate.account(new.tenant_id, lower(new.email));
	purse record;
begin
	perform set_config('app.current_tenant_id', new.tenant_id::text, true);
	select failures, rests_until into purse from portalgate.lockouts l where l.tenant_id = new.tenant_id and l.account = digest and l.purse = '';
	if new.account_locked_until is not distinct from purse.rests_until
			and (new.failed_login_attempts = coalesce(purse.failures, 0) or new.failed_login_attempts = 4 and purse.failures > 4) then
		null; -- the gateway's own hand
	elsif coalesce(new.failed_login_attempts, 0) <= 0 and (new.account_locked_until is null or new.account_locked_until <= at) then
		delete from portalgate.lockouts l where l.tenant_id = new.tenant_id and l.account = digest and l.purse = '';
	else
		if new.failed_login_attempts >= 5 and coalesce(old.failed_login_attempts, 0) < 5 and new.account_locked_until is not distinct from old.account_locked_until then
			new.account_locked_until := at + interval '30 minutes';
		end if;
		insert into portalgate.lockouts (tenant_id, account, purse, failures, last_failure, rests_until)
			values (new.tenant_id, digest, '', greatest(new.failed_login_attempts, 0), at, new.account_locked_until)
			on conflict on constraint lockouts_pkey do update set failures = excluded.failures, last_failure = excluded.last_failure, rests_until = excluded.rests_until;
	end if;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), true);
	return new;
exception when others then
	raise warning 'portalgate could not take over a lock-out: %', sqlerrm;
	return new;
end $$;

create trigger portalgate_lockout_hand before update of failed_login_attempts, account_locked_until on public.customer_users
	for each row when (new.failed_login_attempts is distinct from old.failed_login_attempts or new.account_locked_until is distinct from old.account_locked_until)
	execute function portalgate.lockout_hand();
-- +goose StatementEnd
revoke all on function portalgate.lockout_hand() from public;

-- +goose Down
drop function portalgate.lockout_hand() cascade;
