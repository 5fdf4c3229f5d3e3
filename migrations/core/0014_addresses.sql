-- +goose Up
-- Whose an address is. Where rows are guarded by a policy, PostgreSQL calls no function that could tell about a row before
-- the policy has let it through, and lower() is one: it never finds somebody by an index on lower(email), but reads every
-- person of their tenant, at each sign-in. A digest is found by plain equality, which may look at an index first.
create table portalgate.addresses (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	account bytea not null check (octet_length(account) = 32), -- portalgate.account of the address in small letters
	primary key (tenant_id, user_id),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade,
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
create index addresses_account on portalgate.addresses (tenant_id, account);

-- The same holds for an overlap of arrays, so that this index was kept for nobody.
drop index portalgate.sessions_people;

-- Those who are there already, of every tenant: before the rules hold for the owner of the new table, and while they do
-- not hold for the owner of the old one.
-- +goose StatementBegin
do $$
declare
	forced boolean := (select relforcerowsecurity from pg_class where oid = 'public.customer_users'::regclass);
begin
	if forced then
		alter table public.customer_users no force row level security;
	end if;
	insert into portalgate.addresses (tenant_id, user_id, account) select tenant_id, id, portalgate.account(tenant_id, lower(email)) from public.customer_users;
	if forced then
		alter table public.customer_users force row level security;
	end if;
end $$;

-- Whoever writes an address, the gateway, an operator or the ERP's staff: it is known under the new one in the same
-- transaction. As everywhere, an ERP's write never fails because of us; doctor finds whom this has passed over.
create function portalgate.address_hand() returns trigger language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
declare
	before text := current_setting('app.current_tenant_id', true);
begin
	perform set_config('app.current_tenant_id', new.tenant_id::text, true);
	insert into portalgate.addresses (tenant_id, user_id, account) values (new.tenant_id, new.id, portalgate.account(new.tenant_id, lower(new.email)))
		on conflict (tenant_id, user_id) do update set account = excluded.account where addresses.account <> excluded.account;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	return null;
exception when others then
	raise warning 'portalgate could not note an address: %', sqlerrm;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	return null;
end $$;

create trigger portalgate_address_hand after insert or update of tenant_id, email on public.customer_users for each row execute function portalgate.address_hand();
-- +goose StatementEnd
revoke all on function portalgate.address_hand() from public;

alter table portalgate.addresses enable row level security;
alter table portalgate.addresses force row level security;
create policy portalgate_tenant on portalgate.addresses for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);
grant select on portalgate.addresses to portalgate_gateway, portalgate_operator;
grant execute on function portalgate.account(uuid, text) to portalgate_operator; -- doctor asks as either

-- +goose Down
revoke execute on function portalgate.account(uuid, text) from portalgate_operator;
drop function portalgate.address_hand() cascade;
drop table portalgate.addresses;
create index sessions_people on portalgate.sessions using gin (choices) where ended_at is null;
