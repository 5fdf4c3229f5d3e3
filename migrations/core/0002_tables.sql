-- +goose Up
-- Everything of ours. Each table that belongs to a tenant has forced row-level security, closed when no tenant is set.
-- A reference from one such table to another names the tenant too: the check of a foreign key sees the rows of all
-- tenants, and a row must not be able to point at another tenant's. What must be unique is so within a tenant, or a
-- refusal would tell what another has; what was drawn at random is unique as it is. A person whom the ERP moves takes
-- the rows along, a tenant that it deletes has none: an ERP's write never fails because of us.

create table portalgate.hosts (
	host text primary key check (host = lower(host) and host !~ '[^a-z0-9.-]' and length(host) between 1 and 253),
	tenant_id uuid not null references public.tenants (id) on delete cascade
);
create index hosts_tenant on portalgate.hosts (tenant_id);

create table portalgate.settings (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	key text not null,
	value jsonb not null,
	version bigint not null default 1,
	changed_at timestamptz not null,
	primary key (tenant_id, key)
);

create table portalgate.credentials (
	user_id uuid not null,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	phc text not null,
	key_id text not null default '',
	legacy_digest bytea not null,
	version bigint not null default 1,
	must_change boolean not null default false,
	changed_at timestamptz not null,
	primary key (tenant_id, user_id),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade
);

create table portalgate.lockouts (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	account bytea not null,
	purse text not null default '',
	failures integer not null,
	last_failure timestamptz not null,
	rests_until timestamptz,
	primary key (tenant_id, account, purse)
);
-- old purses are forgotten by age; a table of guesses must not be read whole for that
create index lockouts_age on portalgate.lockouts (tenant_id, last_failure);

create table portalgate.devices (
	id uuid primary key default gen_random_uuid(),
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	digest bytea not null,
	label text not null,
	agent text not null,
	first_seen timestamptz not null,
	last_seen timestamptz not null,
	unique (tenant_id, id),
	unique (tenant_id, user_id, digest),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade
);

create table portalgate.sessions (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	choices uuid[] not null,
	device_id uuid,
	remember boolean not null,
	amr text[] not null,
	auth_time timestamptz not null,
	mfa_at timestamptz,
	created_at timestamptz not null,
	last_active_at timestamptz not null,
	idle_end timestamptz not null,
	ends_at timestamptz not null,
	ended_at timestamptz,
	end_reason text,
	agent text not null,
	address inet,
	connection_id uuid,
	actor_id uuid,
	unique (tenant_id, id),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade,
	foreign key (tenant_id, device_id) references portalgate.devices (tenant_id, id) on delete set null (device_id) on update cascade,
	check ((ended_at is null) = (end_reason is null)),
	check (user_id = any (choices))
);
create index sessions_people on portalgate.sessions using gin (choices) where ended_at is null;
create index sessions_user on portalgate.sessions (tenant_id, user_id, created_at);

create table portalgate.refresh_tokens (
	digest bytea primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	session_id uuid not null,
	generation integer not null,
	key_id text not null,
	created_at timestamptz not null,
	replaced_at timestamptz,
	successor_presented_at timestamptz,
	unique (tenant_id, session_id, generation),
	foreign key (tenant_id, session_id) references portalgate.sessions (tenant_id, id) on delete cascade on update cascade
);
-- a family has one living leaf, whatever happens in parallel
create unique index refresh_tokens_leaf on portalgate.refresh_tokens (tenant_id, session_id) where replaced_at is null;

create table portalgate.attempts (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	digest bytea not null unique,
	users uuid[] not null,
	verified boolean not null,
	expired boolean not null,
	shown text[] not null,
	remember boolean not null,
	return_to text not null,
	created_at timestamptz not null,
	expires_at timestamptz not null
);
create index attempts_expiry on portalgate.attempts (tenant_id, expires_at);

-- Letters that wait for the courier. Nothing in a row can be read or used without the keyring: the address and what the
-- letter says are sealed, tickets are made when the letter departs. A letter knows its person only where the deed did;
-- whether somebody has an account is looked up when the letter departs, not when it is asked for.
create table portalgate.outbox (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	kind text not null,
	user_id uuid,
	address bytea not null,
	content bytea,
	key_id text not null,
	language text not null default '',
	once bytea, -- of letters with the same, one waits at a time: nobody's mailbox is flooded by asking again
	state text not null default 'waiting' check (state in ('waiting', 'sent', 'dropped', 'failed')),
	tries integer not null default 0,
	next_try_at timestamptz not null,
	claimed_until timestamptz,
	last_error text not null default '',
	created_at timestamptz not null,
	done_at timestamptz,
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade,
	check ((state = 'waiting') = (done_at is null)),
	check (state = 'waiting' or content is null)
);
create unique index outbox_once on portalgate.outbox (tenant_id, kind, once) where state = 'waiting';
create index outbox_due on portalgate.outbox (next_try_at) where state = 'waiting';
create index outbox_done on portalgate.outbox (tenant_id, done_at) where state <> 'waiting';

create table portalgate.events (
	id bigint generated always as identity primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	verb text not null,
	at timestamptz not null,
	user_id uuid,
	session_id uuid,
	address inet,
	agent text not null default '',
	result text not null,
	suspicious boolean not null default false,
	note text not null default '',
	operator text not null default '',
	facts jsonb not null default '{}'
);
create index events_time on portalgate.events (tenant_id, at desc);

create table portalgate.revocations (
	id bigint generated always as identity primary key,
	xid xid8 not null default pg_current_xact_id(),
	tenant_id uuid not null,
	kind text not null check (kind in ('session', 'user', 'tenant', 'directory')),
	subject uuid not null,
	at timestamptz not null
);
create index revocations_xid on portalgate.revocations (xid);

-- which keys this database was written with; no secret, and no tenant's
create table portalgate.keys (
	id text primary key,
	purpose text not null,
	fingerprint bytea not null unique,
	first_seen timestamptz not null
);

-- +goose StatementBegin
-- The tenant of nobody is what a connection has between transactions. A policy alone would let a statement that lost its
-- transaction write rows for it, and show them to every other one that did: nothing can be nobody's.
do $$
declare t text;
begin
	foreach t in array array['hosts', 'settings', 'credentials', 'lockouts', 'devices', 'sessions', 'refresh_tokens', 'attempts', 'outbox', 'events', 'revocations'] loop
		execute format('alter table portalgate.%I enable row level security', t);
		execute format('alter table portalgate.%I force row level security', t);
		execute format('create policy portalgate_tenant on portalgate.%I for all
			using (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)
			with check (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)', t);
		execute format('alter table portalgate.%I add constraint somebodys check (tenant_id <> ''00000000-0000-0000-0000-000000000000'')', t);
	end loop;
end $$;

create function portalgate.gateway_time() returns timestamptz language sql stable
	set search_path = pg_catalog, pg_temp
	as $$ select coalesce(nullif(current_setting('portalgate.now', true), '')::timestamptz, now()) $$;

-- what a purse of tries is counted by: no list of addresses, and the same for an address without an account
create function portalgate.account(tenant uuid, email text) returns bytea language sql immutable
	set search_path = pg_catalog, pg_temp
	as $$ select sha256('portalgate account\000'::bytea || convert_to(tenant::text, 'UTF8') || '\000'::bytea || convert_to(email, 'UTF8')) $$;

-- a note for every gateway that listens; the row is the truth, the note only makes it fast
create function portalgate.announce() returns trigger language plpgsql
	set search_path = pg_catalog, pg_temp
	as $$
begin
	perform pg_notify('portalgate', '');
	return null;
end $$;
create trigger announce after insert on portalgate.revocations for each statement execute function portalgate.announce();

-- Which value of the ERP's our hash was made beside. Who sets a password from a command may not read that value, so the
-- row takes the digest by itself, unless the writer has judged a value and says which.
create function portalgate.beside() returns trigger language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
begin
	if new.legacy_digest is null then
		select sha256('portalgate legacy\000'::bytea || convert_to(coalesce(u.password_hash, ''), 'UTF8')) into new.legacy_digest
			from public.customer_users u where u.tenant_id = new.tenant_id and u.id = new.user_id;
	end if;
	return new;
end $$;
create trigger beside before insert or update on portalgate.credentials for each row execute function portalgate.beside();
-- +goose StatementEnd
revoke all on function portalgate.gateway_time(), portalgate.announce(), portalgate.beside(), portalgate.account(uuid, text) from public;

-- +goose Down
-- The schema stays: what was applied is written in it.
drop table portalgate.hosts, portalgate.settings, portalgate.credentials, portalgate.lockouts, portalgate.refresh_tokens, portalgate.sessions, portalgate.devices,
	portalgate.attempts, portalgate.outbox, portalgate.events, portalgate.revocations, portalgate.keys;
drop function portalgate.gateway_time(), portalgate.account(uuid, text), portalgate.announce(), portalgate.beside();
