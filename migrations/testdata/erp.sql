-- The shape in which an ERP's own migrations leave the tables that touch signing in: enough of it to be recognised, with
-- the parts that an installer who does not look would break.
create table tenants (
	id uuid primary key default gen_random_uuid(),
	tenant_code varchar(50) unique not null,
	tenant_name varchar(255) not null,
	status varchar(20) not null default 'ACTIVE'
);
create table customers (
	id uuid primary key default gen_random_uuid(),
	tenant_id uuid not null references tenants (id),
	customer_code varchar(50) not null,
	customer_name varchar(255) not null
);
create table customer_users (
	id uuid primary key default gen_random_uuid(),
	customer_id uuid not null references customers (id) on delete restrict,
	tenant_id uuid not null references tenants (id),
	email varchar(255) not null,
	password_hash varchar(255),
	is_active boolean default true,
	failed_login_attempts integer default 0,
	account_locked_until timestamptz,
	unique (customer_id, email)
);
alter table customer_users enable row level security;
create policy customer_users_tenant_isolation on customer_users for all using (tenant_id = current_setting('app.current_tenant_id', true)::uuid);

insert into tenants (tenant_code, tenant_name) values ('ACME', 'Acme Packaging');
insert into customers (tenant_id, customer_code, customer_name) select id, 'C-100', 'Buyer' from tenants;
insert into customer_users (customer_id, tenant_id, email, password_hash) select id, tenant_id, 'ann@buyer.example', '$2b$10$abcdefghijklmnopqrstuv' from customers;
