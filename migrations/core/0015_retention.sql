-- +goose Up
-- What is old is forgotten. The gateway's trails can only grow, by its own hand; what takes from them is a function that
-- looks at nothing younger than it says itself. Whoever has the gateway's login can wipe out no trace of last week, nor
-- by claiming that it is next year: a row's age is taken by the gateway's time or by the database's, whichever is
-- earlier. The function belongs to the owner of the tables, for whom security is forced too, and names the tenant of the
-- transaction besides: where the owner is a superuser no policy would.

-- How far addresses and agents have been made coarse, so that no row is looked at twice.
create table portalgate.coarsened (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	log text not null check (log in ('activity', 'events')),
	upto timestamptz not null,
	primary key (tenant_id, log),
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
alter table portalgate.coarsened enable row level security;
alter table portalgate.coarsened force row level security;
create policy portalgate_tenant on portalgate.coarsened for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);

-- by when a session began, which never changes: an index on its end would be written at each request
create index sessions_age on portalgate.sessions (tenant_id, created_at);
create index revocations_age on portalgate.revocations (tenant_id, at);

-- +goose StatementBegin
-- The network that an address is in: the first 24 bits of four bytes, the first 48 of sixteen. Still an address, so that
-- whoever reads the column can go on doing so; what is none is dropped.
create function portalgate.coarse(address text) returns text language plpgsql immutable
	set search_path = pg_catalog, pg_temp
	as $$
begin
	return case when family(address::inet) = 4 then host(network(set_masklen(address::inet, 24))) else host(network(set_masklen(address::inet, 48))) end;
exception when others then
	return null;
end $$;

-- The logs' rows of the ERP's table are those about signing in: a row that names one of its documents is the ERP's own,
-- and where the gate of a tenant is not on, so is every row that the gate has not written, which has a result in it.
create function portalgate.forget(what text, older timestamptz, most integer) returns bigint language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
declare
	mine uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
	present timestamptz := least(portalgate.gateway_time(), clock_timestamp());
	n bigint;
begin
	most := least(greatest(most, 0), 10000);
	case what
	when 'activity' then
		with old as materialized (
			select l.id from public.customer_activity_log l
			where l.tenant_id = mine and l.created_at < least(older, present - interval '30 days')
				and l.sales_order_id is null and l.quote_id is null and l.proof_id is null
				and (l.metadata ? 'result' or exists (select from portalgate.settings s where s.tenant_id = mine and s.key = 'mode' and s.value = '"on"'))
			order by l.created_at limit most for update skip locked
		) delete from public.customer_activity_log l using old where l.id = old.id and l.tenant_id = mine;
	when 'events' then
		with old as materialized (
			select e.id from portalgate.events e where e.tenant_id = mine and e.at < least(older, present - interval '30 days')
			order by e.at limit most for update skip locked
		) delete from portalgate.events e using old where e.id = old.id and e.tenant_id = mine;
	when 'recoveries' then
		with old as materialized (
			select r.id from portalgate.recoveries r where r.tenant_id = mine and r.state <> 'waiting' and r.ended_at < least(older, present - interval '30 days')
			order by r.ended_at limit most for update skip locked
		) delete from portalgate.recoveries r using old where r.id = old.id and r.tenant_id = mine;
	when 'sessions' then
		-- A token that comes back ends a family that is alive and is simply refused otherwise, so that of one that is over
		-- nothing is needed for that. What is: within thirty days a browser that calls itself the same, in the same
		-- network, is not announced to its owner again, and that is known from when sessions began, which is before
		-- any of these ends. The tokens go with their session.
		with old as materialized (
			select s.id from portalgate.sessions s
			where s.tenant_id = mine and s.created_at < least(older, present - interval '30 days')
				and least(s.ended_at, s.idle_end, s.ends_at) < least(older, present - interval '30 days')
			order by s.created_at limit most for update skip locked
		) delete from portalgate.sessions s using old where s.id = old.id and s.tenant_id = mine;
	when 'revocations' then
		-- A gateway that has heard nothing for a minute takes all it knows for stale, and one that was cut off reads on from
		-- where it was; what it was not told matters for as long as an access token can live, an hour at most.
		with old as materialized (
			select r.id from portalgate.revocations r where r.tenant_id = mine and r.at < least(older, present - interval '1 day')
			order by r.at limit most for update skip locked
		) delete from portalgate.revocations r using old where r.id = old.id and r.tenant_id = mine;
	else
		raise exception 'there is nothing called % to forget', what using errcode = 'invalid_parameter_value';
	end case;
	get diagnostics n = row_count;
	return n;
end $$;

-- The rows of a log since the last time and up to a moment, seven days ago at the latest: of an address stays the
-- network, of an agent what the caller calls it, as a few plain words, or nothing. Which rows it is about nobody chooses.
-- Two that come at the same time take turns, and the second finds nothing left. It says whether it has come as far as it
-- was asked to.
create function portalgate.coarsen(what text, asked timestamptz, agents text[], names text[]) returns boolean language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
declare
	mine uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
	since timestamptz;
	to_here timestamptz := least(asked, portalgate.gateway_time() - interval '7 days', clock_timestamp() - interval '7 days');
begin
	if exists (select from unnest(names) name where name is null or name !~ '^[ -~]{0,100}$') then
		raise exception 'a browser has a short name' using errcode = 'invalid_parameter_value';
	end if;
	insert into portalgate.coarsened (tenant_id, log, upto) values (mine, what, '-infinity') on conflict (tenant_id, log) do nothing;
	select c.upto into since from portalgate.coarsened c where c.tenant_id = mine and c.log = what for update;
	if what = 'activity' then
		update public.customer_activity_log l set ip_address = portalgate.coarse(l.ip_address),
			user_agent = case when l.user_agent is null then null else coalesce((select c.name from unnest(agents, names) c (agent, name) where c.agent = l.user_agent limit 1), '') end
			where l.tenant_id = mine and l.created_at > since and l.created_at <= to_here and (l.ip_address is not null or l.user_agent <> '')
				and l.sales_order_id is null and l.quote_id is null and l.proof_id is null
				and (l.metadata ? 'result' or exists (select from portalgate.settings s where s.tenant_id = mine and s.key = 'mode' and s.value = '"on"'));
	else
		-- refusals that were counted together say of which network
		update portalgate.events e set address = portalgate.coarse(host(e.address))::inet,
			facts = case when e.facts ? 'network' then e.facts || jsonb_build_object('network', coalesce(portalgate.coarse(e.facts ->> 'network'), e.facts ->> 'network')) else e.facts end,
			agent = coalesce((select c.name from unnest(agents, names) c (agent, name) where c.agent = e.agent limit 1), '')
			where e.tenant_id = mine and e.at > since and e.at <= to_here and (e.address is not null or e.agent <> '' or e.facts ? 'network');
	end if;
	update portalgate.coarsened c set upto = to_here where c.tenant_id = mine and c.log = what and c.upto < to_here;
	return asked <= to_here;
end $$;
-- +goose StatementEnd
revoke all on function portalgate.coarse(text), portalgate.forget(text, timestamptz, integer), portalgate.coarsen(text, timestamptz, text[], text[]) from public;
grant execute on function portalgate.forget(text, timestamptz, integer), portalgate.coarsen(text, timestamptz, text[], text[]) to portalgate_gateway;
grant select on portalgate.coarsened to portalgate_gateway;

-- +goose Down
drop function portalgate.forget(text, timestamptz, integer), portalgate.coarsen(text, timestamptz, text[], text[]), portalgate.coarse(text);
drop index portalgate.sessions_age, portalgate.revocations_age;
drop table portalgate.coarsened;
