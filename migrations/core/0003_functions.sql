-- +goose Up
-- What is read across tenants, each through one function. Its owner cannot log in, owns no table and has a policy on
-- just the table the function reads. (A function owned by the tables' owner would see nothing: security is forced.)

grant usage on schema portalgate to portalgate_gateway, portalgate_operator, portalgate_directory, portalgate_changes;
grant usage on schema public to portalgate_gateway, portalgate_operator, portalgate_directory;

grant select on portalgate.hosts, portalgate.settings to portalgate_directory;
grant select (id, tenant_code, deleted_at) on public.tenants to portalgate_directory;
create policy portalgate_directory on portalgate.hosts for select to portalgate_directory using (current_user = 'portalgate_directory');
create policy portalgate_directory on portalgate.settings for select to portalgate_directory using (key in ('mode', 'brand') and current_user = 'portalgate_directory');
create policy portalgate_directory on public.tenants for select to portalgate_directory using (current_user = 'portalgate_directory');

grant select on portalgate.revocations to portalgate_changes;
create policy portalgate_changes on portalgate.revocations for select to portalgate_changes using (current_user = 'portalgate_changes');

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
-- +goose StatementEnd

revoke all on function portalgate.directory(), portalgate.changes(xid8) from public;
grant execute on function portalgate.directory(), portalgate.changes(xid8) to portalgate_gateway, portalgate_operator;
grant create on schema portalgate to portalgate_directory, portalgate_changes;
alter function portalgate.directory() owner to portalgate_directory;
alter function portalgate.changes(xid8) owner to portalgate_changes;
revoke create on schema portalgate from portalgate_directory, portalgate_changes;

-- The gateway: the verbs it needs on each table and no others. What is a trail can only grow.
grant select on public.tenants, public.customers to portalgate_gateway;
grant select, update (email, password_changed_at, last_login_at, last_login_ip, failed_login_attempts, account_locked_until, updated_at) on public.customer_users to portalgate_gateway;
grant select, insert on public.customer_activity_log, portalgate.events, portalgate.revocations to portalgate_gateway;
grant select on portalgate.hosts, portalgate.settings to portalgate_gateway;
grant select, insert, update on portalgate.credentials, portalgate.sessions, portalgate.refresh_tokens to portalgate_gateway;
grant select, insert, update, delete on portalgate.lockouts, portalgate.attempts, portalgate.devices to portalgate_gateway;
grant select, insert on portalgate.keys to portalgate_gateway;
grant select on portalgate.schema_version to portalgate_gateway, portalgate_operator;

-- The operators' daily commands: tenants, hosts, people. No hash or token is readable for them.
grant select, insert, update on public.tenants, public.customers, public.customer_users to portalgate_operator;
grant select, insert on public.customer_activity_log, portalgate.events, portalgate.revocations to portalgate_operator;
grant select, insert, update, delete on portalgate.hosts, portalgate.settings to portalgate_operator;
grant insert, update, select on portalgate.credentials to portalgate_operator;
grant select, update on portalgate.sessions to portalgate_operator;
grant select, delete on portalgate.lockouts, portalgate.devices to portalgate_operator;
grant select, insert on portalgate.keys to portalgate_operator;

-- +goose Down
drop function portalgate.directory(), portalgate.changes(xid8);
