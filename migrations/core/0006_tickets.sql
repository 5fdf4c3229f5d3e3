-- +goose Up
-- Mailed secrets that can be used once, and what the outbox needs for them. Of a ticket only the digest is here; who
-- holds a dump holds no link. It opens something for as long as the account stands as it stood when the mail left.
create table portalgate.tickets (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	digest bytea not null unique check (octet_length(digest) = 32),
	purpose text not null,
	user_id uuid not null,
	email text not null check (email = lower(email)), -- the mailbox it was sent to
	stamp bytea not null,                             -- how the account stood
	browser bytea,                                    -- of the browser that asked, where that matters
	content text,                                     -- what is to be done, sealed
	created_at timestamptz not null,
	expires_at timestamptz not null,
	spent_at timestamptz,
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade,
	constraint somebodys check (tenant_id <> '00000000-0000-0000-0000-000000000000')
);
create index tickets_user on portalgate.tickets (tenant_id, user_id, purpose);
create index tickets_expiry on portalgate.tickets (tenant_id, expires_at);
alter table portalgate.tickets enable row level security;
alter table portalgate.tickets force row level security;
create policy portalgate_tenant on portalgate.tickets for all
	using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
	with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);

-- A letter that could not be delivered keeps what it says, sealed, so that an operator can send it again.
alter table portalgate.outbox drop constraint outbox_check1;
alter table portalgate.outbox add constraint outbox_erased check (state in ('waiting', 'failed') or content is null),
	add column more integer not null default 0, -- how often the same was asked for while it waited
	add column expires_at timestamptz;          -- what is late is dropped, not sent
drop index portalgate.outbox_done;
create index outbox_done on portalgate.outbox (tenant_id, kind, once, done_at) where state <> 'waiting';

grant select, insert, update, delete on portalgate.tickets to portalgate_gateway;
-- a proved mailbox is noted where the ERP looks; whoever may register gets a row there, without a password of the ERP's
grant update (is_email_verified),
	insert (id, tenant_id, customer_id, email, password_hash, first_name, last_name, role, is_active, is_email_verified, preferred_language, password_changed_at, created_at, updated_at)
	on public.customer_users to portalgate_gateway;
-- operators see what waits and why, send it again, and post letters; none of it can be read without the keyring
grant select (id, tenant_id, kind, user_id, address, key_id, once, language, state, tries, next_try_at, claimed_until, last_error, more, created_at, expires_at, done_at),
	insert, update (state, tries, next_try_at, claimed_until, done_at, more)
	on portalgate.outbox to portalgate_operator;

-- +goose Down
revoke all on portalgate.outbox from portalgate_operator;
revoke update (is_email_verified), insert (id, tenant_id, customer_id, email, password_hash, first_name, last_name, role, is_active, is_email_verified, preferred_language, password_changed_at, created_at, updated_at)
	on public.customer_users from portalgate_gateway;
drop index portalgate.outbox_done;
create index outbox_done on portalgate.outbox (tenant_id, done_at) where state <> 'waiting';
alter table portalgate.outbox drop constraint outbox_erased, drop column more, drop column expires_at;
alter table portalgate.outbox add constraint outbox_check1 check (state = 'waiting' or content is null);
drop table portalgate.tickets;
