-- +goose Up
-- Mails that were kept in place of being sent, where the configuration says so: sealed, each with its row as additional
-- data, and for a few days. Nothing of them can be read without the keyring.
create table portalgate.captured (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	kind text not null,
	message text not null, -- sealed
	key_id text not null,
	created_at timestamptz not null,
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
create index captured_age on portalgate.captured (tenant_id, created_at);
alter table portalgate.captured enable row level security;
alter table portalgate.captured force row level security;
create policy portalgate_tenant on portalgate.captured for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);

grant select, insert, delete on portalgate.captured to portalgate_gateway;
grant select on portalgate.captured to portalgate_operator;

-- +goose Down
drop table portalgate.captured;
