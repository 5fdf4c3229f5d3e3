-- +goose Up
-- The ERP-shaped tables, for databases without an ERP only. The columns are those that the ERP's own migrations give
-- them, so that a gateway on an ERP's database and one on its own run the same queries. Here references name the tenant
-- as well, so that no row can point at another tenant's.

create table public.tenants (
	-- the tenant of nobody, which a connection has between transactions, must not become somebody
	id uuid primary key default gen_random_uuid() constraint tenants_somebody check (id <> '00000000-0000-0000-0000-000000000000'),
	tenant_code varchar(50) unique not null,
	tenant_name varchar(255) not null,
	status varchar(20) not null default 'ACTIVE' check (status in ('ACTIVE', 'SUSPENDED', 'TRIAL', 'CANCELLED')),
	default_language varchar(10) default 'en-US',
	default_timezone varchar(100) default 'UTC',
	is_current boolean default true,
	created_at timestamptz not null default now(),
	deleted_at timestamptz
);

create table public.customers (
	id uuid primary key default gen_random_uuid(),
	tenant_id uuid not null references public.tenants (id),
	customer_code varchar(50) not null,
	customer_name varchar(255) not null,
	is_active boolean default true,
	portal_enabled boolean default false,
	portal_enabled_at timestamptz,
	portal_disabled_at timestamptz,
	portal_welcome_email_sent_at timestamptz,
	deleted_at timestamptz,
	unique (tenant_id, id),
	unique (tenant_id, customer_code)
);

create table public.customer_users (
	id uuid primary key default gen_random_uuid(),
	customer_id uuid not null,
	tenant_id uuid not null references public.tenants (id),
	email varchar(255) not null,
	password_hash varchar(255),
	sso_provider varchar(50),
	sso_user_id varchar(255),
	first_name varchar(100),
	last_name varchar(100),
	phone varchar(50),
	mfa_enabled boolean default false,
	mfa_secret varchar(255),
	mfa_backup_codes jsonb,
	role varchar(50) not null default 'CUSTOMER_USER' check (role in ('CUSTOMER_ADMIN', 'CUSTOMER_USER', 'APPROVER')),
	is_active boolean default true,
	is_email_verified boolean default false,
	email_verification_token varchar(255),
	email_verification_expires timestamptz,
	password_reset_token varchar(255),
	password_reset_expires timestamptz,
	failed_login_attempts integer default 0,
	account_locked_until timestamptz,
	last_login_at timestamptz,
	last_login_ip varchar(50),
	password_changed_at timestamptz default now(),
	preferred_language varchar(10) default 'en-US',
	timezone varchar(100) default 'UTC',
	notification_preferences jsonb default '{"email": true, "sms": false}',
	marketing_consent boolean default false,
	marketing_consent_date timestamptz,
	marketing_consent_ip varchar(50),
	data_retention_consent boolean default true,
	created_at timestamptz default now(),
	updated_at timestamptz default now(),
	created_by uuid,
	deleted_at timestamptz,
	unique (tenant_id, id),
	foreign key (tenant_id, customer_id) references public.customers (tenant_id, id) on delete restrict on update cascade,
	constraint customer_users_customer_email unique (customer_id, email),
	constraint chk_customer_users_sso check ((password_hash is not null and sso_provider is null) or (password_hash is null and sso_provider is not null))
);
-- one spelling of an address is one person within a company, whatever its case
create unique index customer_users_person on public.customer_users (tenant_id, customer_id, lower(email)) where deleted_at is null;
create index customer_users_email on public.customer_users (tenant_id, lower(email)) where deleted_at is null;

create table public.customer_activity_log (
	id uuid primary key default gen_random_uuid(),
	tenant_id uuid not null references public.tenants (id),
	customer_user_id uuid not null,
	activity_type varchar(50) not null,
	sales_order_id uuid,
	quote_id uuid,
	proof_id uuid,
	ip_address varchar(50),
	user_agent text,
	session_id varchar(255),
	geolocation jsonb,
	metadata jsonb,
	is_suspicious boolean default false,
	security_notes text,
	created_at timestamptz default now(),
	foreign key (tenant_id, customer_user_id) references public.customer_users (tenant_id, id) on delete cascade on update cascade
);
create index customer_activity_log_user on public.customer_activity_log (tenant_id, customer_user_id, created_at desc);
create index customer_activity_log_created_at on public.customer_activity_log (created_at desc);
create index customer_activity_log_ip_address on public.customer_activity_log (ip_address);

-- +goose StatementBegin
do $$
declare t text;
begin
	alter table public.tenants enable row level security;
	alter table public.tenants force row level security;
	create policy portalgate_tenant on public.tenants for all
		using (id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)
		with check (id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);
	foreach t in array array['customers', 'customer_users', 'customer_activity_log'] loop
		execute format('alter table public.%I enable row level security', t);
		execute format('alter table public.%I force row level security', t);
		execute format('create policy portalgate_tenant on public.%I for all
			using (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)
			with check (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)', t);
	end loop;
end $$;
-- +goose StatementEnd

-- +goose Down
drop table public.customer_activity_log, public.customer_users, public.customers, public.tenants;
