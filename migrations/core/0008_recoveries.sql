-- +goose Up
-- Accounts that an operator opens anew, with another address, for people who have lost everything. A recovery waits, so
-- that its owner can stop it; which addresses it is about is sealed, and erased when it is over. Of a person one waits at
-- a time. The letter is what carries it out when it is due.
create table portalgate.recoveries (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	addresses bytea not null, -- the one that the account has, and the one that it is to have
	key_id text not null,
	letter_id uuid not null,
	begun_by text not null check (begun_by <> ''),
	reason text not null check (reason <> ''),
	begun_at timestamptz not null,
	due_at timestamptz not null,
	confirmed_by text,
	confirmed_at timestamptz,
	state text not null default 'waiting' check (state in ('waiting', 'stopped', 'done', 'failed')),
	ended_by text not null default '',
	ended_at timestamptz,
	why text not null default '',
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade,
	constraint recoveries_erased check (state = 'waiting' or addresses = '' and ended_at is not null),
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
create unique index recoveries_one on portalgate.recoveries (tenant_id, user_id) where state = 'waiting';
create index recoveries_begun on portalgate.recoveries (tenant_id, begun_at);
alter table portalgate.recoveries enable row level security;
alter table portalgate.recoveries force row level security;
create policy portalgate_tenant on portalgate.recoveries for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);

-- Operators begin them, and gateways carry them out; neither can make one vanish.
grant select, update (addresses, due_at, confirmed_by, confirmed_at, state, ended_by, ended_at, why) on portalgate.recoveries to portalgate_gateway, portalgate_operator;
grant insert on portalgate.recoveries to portalgate_operator;

-- +goose Down
drop table portalgate.recoveries;
