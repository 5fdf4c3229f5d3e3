-- +goose Up
-- What is read across tenants, each through one function. Its owner cannot log in, owns no table and has a policy on
-- just the table the function reads. (A function owned by the tables' owner would see nothing: security is forced.)
-- The condition of such a policy names the role again, because a policy for a role holds for its members as well.

grant usage on schema portalgate to portalgate_gateway, portalgate_operator, portalgate_directory, portalgate_changes, portalgate_claim;
grant usage on schema public to portalgate_gateway, portalgate_operator, portalgate_directory;

grant select on portalgate.hosts to portalgate_directory;
grant select (tenant_id, key, value, version) on portalgate.settings to portalgate_directory;
grant select (id, tenant_code, deleted_at) on public.tenants to portalgate_directory;
create policy portalgate_directory on portalgate.hosts for select to portalgate_directory using (current_user = 'portalgate_directory');
create policy portalgate_directory on portalgate.settings for select to portalgate_directory using (key in ('mode', 'brand') and current_user = 'portalgate_directory');
create policy portalgate_directory on public.tenants for select to portalgate_directory using (current_user = 'portalgate_directory');

grant select on portalgate.revocations to portalgate_changes;
create policy portalgate_changes on portalgate.revocations for select to portalgate_changes using (current_user = 'portalgate_changes');

grant select (id, tenant_id, state, next_try_at, claimed_until, tries), update (claimed_until, tries) on portalgate.outbox to portalgate_claim;
grant execute on function portalgate.gateway_time() to portalgate_claim;
create policy portalgate_claim_look on portalgate.outbox for select to portalgate_claim using (current_user = 'portalgate_claim');
create policy portalgate_claim on portalgate.outbox for update to portalgate_claim
	using (current_user = 'portalgate_claim' and state = 'waiting') with check (current_user = 'portalgate_claim' and state = 'waiting');

-- +goose StatementBegin
-- every host of every tenant, and one row without a host for a tenant that has none; slug, so that an operator can name one
create function portalgate.directory() returns table (host text, tenant_id uuid, slug text, mode text, brand_version bigint)
	language sql stable security definer set search_path = pg_catalog, pg_temp
	as $$
	select h.host, t.id, t.tenant_code::text, coalesce(m.value #>> '{}', 'off'), coalesce(b.version, 0)
	from public.tenants t
	left join portalgate.hosts h on h.tenant_id = t.id
	left join portalgate.settings m on m.tenant_id = t.id and m.key = 'mode'
	left join portalgate.settings b on b.tenant_id = t.id and b.key = 'brand'
	where t.deleted_at is null
$$;

-- the changes committed since a watermark, and the next one: the oldest transaction still running at this reading. A
-- sequence would skip the row of a transaction that took its number first and committed last.
create function portalgate.changes(since xid8) returns table (id bigint, tenant_id uuid, kind text, subject uuid, at timestamptz, watermark xid8)
	language sql stable security definer set search_path = pg_catalog, pg_temp
	as $$
	with w as (select pg_snapshot_xmin(pg_current_snapshot()) as xmin)
	select r.id, r.tenant_id, r.kind, r.subject, r.at, w.xmin
	from w left join portalgate.revocations r on since > '0'::xid8 and r.xid >= since
$$;

-- letters that are due, at most n: theirs until the courier has had two minutes. A try is counted here, so that a letter
-- at which a courier dies is not tried for ever. Two couriers never get the same one: what one has locked, the other
-- passes over.
create function portalgate.claim(n integer) returns table (tenant_id uuid, letter_id uuid)
	language sql volatile security definer set search_path = pg_catalog, pg_temp
	as $$
	with due as materialized (
		select o.id from portalgate.outbox o
		where o.state = 'waiting' and o.next_try_at <= portalgate.gateway_time() and (o.claimed_until is null or o.claimed_until <= portalgate.gateway_time())
		order by o.next_try_at limit least(greatest(n, 0), 100)
		for update skip locked
	)
	update portalgate.outbox o set claimed_until = portalgate.gateway_time() + interval '2 minutes', tries = o.tries + 1
	from due where o.id = due.id
	returning o.tenant_id, o.id
$$;
-- +goose StatementEnd

revoke all on function portalgate.directory(), portalgate.changes(xid8), portalgate.claim(integer) from public;
grant execute on function portalgate.directory(), portalgate.changes(xid8) to portalgate_gateway, portalgate_operator;
grant execute on function portalgate.claim(integer) to portalgate_gateway;
grant create on schema portalgate to portalgate_directory, portalgate_changes, portalgate_claim;
alter function portalgate.directory() owner to portalgate_directory;
alter function portalgate.changes(xid8) owner to portalgate_changes;
alter function portalgate.claim(integer) owner to portalgate_claim;
revoke create on schema portalgate from portalgate_directory, portalgate_changes, portalgate_claim;

-- The gateway: the verbs it needs on each table and no others, and of the ERP's tables the columns it needs. What is a
-- trail can only grow.
grant select (id, tenant_code, tenant_name, status, default_language, default_timezone, created_at, deleted_at) on public.tenants to portalgate_gateway;
grant select (id, tenant_id, customer_code, customer_name, is_active, portal_enabled, deleted_at) on public.customers to portalgate_gateway;
grant select (id, tenant_id, customer_id, email, password_hash, sso_provider, first_name, last_name, role, is_active, is_email_verified, failed_login_attempts,
		account_locked_until, last_login_at, last_login_ip, password_changed_at, preferred_language, timezone, created_at, updated_at, deleted_at),
	update (email, password_changed_at, last_login_at, last_login_ip, failed_login_attempts, account_locked_until, updated_at)
	on public.customer_users to portalgate_gateway;
grant select, insert on public.customer_activity_log, portalgate.events, portalgate.revocations to portalgate_gateway;
grant select on portalgate.hosts, portalgate.settings to portalgate_gateway;
grant select, insert, update on portalgate.credentials, portalgate.sessions, portalgate.refresh_tokens to portalgate_gateway;
grant select, insert, update, delete on portalgate.lockouts, portalgate.attempts, portalgate.devices, portalgate.outbox to portalgate_gateway;
grant execute on function portalgate.account(uuid, text) to portalgate_gateway;
grant select, insert on portalgate.keys to portalgate_gateway;
grant select on portalgate.schema_version to portalgate_gateway, portalgate_operator;

-- The operators' daily commands: tenants, hosts, people. No hash or token is readable for them, in the ERP's tables
-- neither, and a password they set replaces what is there unseen.
grant select, insert, update on public.tenants, public.customers to portalgate_operator;
grant select (id, tenant_id, customer_id, email, sso_provider, first_name, last_name, phone, role, is_active, is_email_verified, failed_login_attempts,
		account_locked_until, last_login_at, last_login_ip, password_changed_at, preferred_language, timezone, created_at, updated_at, deleted_at),
	insert,
	update (customer_id, email, first_name, last_name, phone, role, is_active, is_email_verified, email_verification_token, email_verification_expires,
		failed_login_attempts, account_locked_until, password_changed_at, preferred_language, timezone, updated_at, deleted_at)
	on public.customer_users to portalgate_operator;
grant select, insert on public.customer_activity_log, portalgate.events, portalgate.revocations to portalgate_operator;
grant select, insert, update, delete on portalgate.hosts, portalgate.settings to portalgate_operator;
grant select (user_id, tenant_id, key_id, version, must_change, changed_at), insert, update on portalgate.credentials to portalgate_operator;
grant select, update (ended_at, end_reason) on portalgate.sessions to portalgate_operator;
grant select, delete on portalgate.lockouts to portalgate_operator;
grant select (id, tenant_id, user_id, label, agent, first_seen, last_seen), delete on portalgate.devices to portalgate_operator;
grant select, insert on portalgate.keys to portalgate_operator;

-- +goose Down
drop function portalgate.directory(), portalgate.changes(xid8), portalgate.claim(integer);
drop policy portalgate_directory on portalgate.hosts;
drop policy portalgate_directory on portalgate.settings;
drop policy portalgate_directory on public.tenants;
drop policy portalgate_changes on portalgate.revocations;
drop policy portalgate_claim_look on portalgate.outbox;
drop policy portalgate_claim on portalgate.outbox;
revoke all on all tables in schema portalgate from portalgate_gateway, portalgate_operator, portalgate_directory, portalgate_changes, portalgate_claim;
revoke all on all functions in schema portalgate from portalgate_gateway, portalgate_operator, portalgate_directory, portalgate_changes, portalgate_claim;
revoke all on public.tenants, public.customers, public.customer_users, public.customer_activity_log from portalgate_gateway, portalgate_operator, portalgate_directory;
revoke all on schema portalgate from portalgate_gateway, portalgate_operator, portalgate_directory, portalgate_changes, portalgate_claim;
revoke all on schema public from portalgate_gateway, portalgate_operator, portalgate_directory;
