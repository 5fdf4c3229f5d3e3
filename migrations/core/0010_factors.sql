-- +goose Up
-- Second proofs of people. What checks an answer is sealed with its row as additional data; a passkey is found at a
-- sign-in without a name by a digest of its id, which is nobody else's in the tenant.
create table portalgate.factors (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	kind text not null,
	name text not null,
	state text not null,
	key_id text not null,
	lookup bytea check (octet_length(lookup) = 32),
	facts jsonb not null default '{}', -- what may be shown: a provider, how many codes are left; never a secret
	version bigint not null default 1, -- an answer counts only for the state that it was checked against
	created_at timestamptz not null,
	used_at timestamptz,
	unique (tenant_id, lookup),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade
);
create index factors_user on portalgate.factors (tenant_id, user_id);

-- Questions that wait for an answer, and set-ups under way. Each is bound to whoever it was put to: a sign-in under way,
-- or a session. There is one of a kind and purpose at a time; a newer one takes its place.
create table portalgate.challenges (
	id uuid primary key,
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	holder bytea not null check (octet_length(holder) = 32),
	purpose text not null,
	kind text not null,
	state text not null,
	key_id text not null,
	tries integer not null,
	created_at timestamptz not null,
	expires_at timestamptz not null,
	passed_at timestamptz, -- of the proof of a mailbox, which is of use for a while
	unique (tenant_id, holder, purpose, kind)
);
create index challenges_expiry on portalgate.challenges (tenant_id, expires_at);

-- What is known of a person's second step besides the factors: since when they have been told that they need one, and
-- which secret of the ERP's has been dealt with.
create table portalgate.second_steps (
	tenant_id uuid not null references public.tenants (id) on delete cascade,
	user_id uuid not null,
	told_at timestamptz,
	settled bytea, -- a digest
	primary key (tenant_id, user_id),
	foreign key (tenant_id, user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade
);

-- +goose StatementBegin
do $$
declare t text;
begin
	foreach t in array array['factors', 'challenges', 'second_steps'] loop
		execute format('alter table portalgate.%I enable row level security', t);
		execute format('alter table portalgate.%I force row level security', t);
		execute format('create policy portalgate_tenant on portalgate.%I for all
			using (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)
			with check (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)', t);
		execute format('alter table portalgate.%I add constraint somebodys check (tenant_id <> ''00000000-0000-0000-0000-000000000000'')', t);
	end loop;
end $$;
-- +goose StatementEnd

-- how many codes a person was sent, whatever has become of them
create index outbox_user on portalgate.outbox (tenant_id, user_id, kind, created_at) where user_id is not null;

-- until when a browser is not asked for a second step, because its owner has said so
alter table portalgate.devices add column trusted_until timestamptz;
-- whoever set the password had nothing but the mailbox: a code by mail proves nothing more (OOB-01)
alter table portalgate.credentials add column by_mail boolean not null default false;

grant select, insert, update, delete on portalgate.factors, portalgate.challenges, portalgate.second_steps to portalgate_gateway;
grant select (mfa_enabled, mfa_secret) on public.customer_users to portalgate_gateway;
-- operators take factors away and see which there are; they read nothing that checks one
grant select (id, tenant_id, user_id, kind, name, key_id, facts, created_at, used_at), delete on portalgate.factors to portalgate_operator;
grant select, insert, update on portalgate.second_steps to portalgate_operator;
grant select (mfa_enabled, mfa_secret) on public.customer_users to portalgate_operator;
grant select (trusted_until), update (trusted_until) on portalgate.devices to portalgate_operator;
grant select (by_mail) on portalgate.credentials to portalgate_operator;

-- +goose Down
drop index portalgate.outbox_user;
revoke select (trusted_until), update (trusted_until) on portalgate.devices from portalgate_operator;
revoke select (mfa_enabled, mfa_secret) on public.customer_users from portalgate_gateway, portalgate_operator;
alter table portalgate.credentials drop column by_mail;
alter table portalgate.devices drop column trusted_until;
drop table portalgate.factors, portalgate.challenges, portalgate.second_steps;
