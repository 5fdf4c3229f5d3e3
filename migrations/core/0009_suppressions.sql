-- +goose Up
-- Addresses that no mail is sent to any more, because what was sent came back for good or was called unwanted. The digest
-- is what the courier asks for; the address itself is sealed, for operators.
create table portalgate.suppressions (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	account bytea not null check (octet_length(account) = 32),
	address bytea not null,
	key_id text not null,
	cause text not null check (cause in ('bounce', 'complaint')),
	detail text not null default '', -- what the other side said, without addresses
	letter_id uuid not null,         -- ours, that it was about
	at timestamptz not null,
	primary key (tenant_id, account),
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
alter table portalgate.suppressions enable row level security;
alter table portalgate.suppressions force row level security;
create policy portalgate_tenant on portalgate.suppressions for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);

-- Whom a letter was for is known by a digest when it has left: a report is believed only where it names that recipient.
alter table portalgate.outbox add column recipient bytea;

grant select, insert, delete on portalgate.suppressions to portalgate_operator;
grant select (recipient) on portalgate.outbox to portalgate_operator;
grant select on portalgate.suppressions to portalgate_gateway;

-- +goose Down
alter table portalgate.outbox drop column recipient;
drop table portalgate.suppressions;
