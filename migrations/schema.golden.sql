-- What the migrations mean, read from the catalog of a database on which they have run. A test writes this file, and
-- compares every database with it that is made in another way.

-- roles
portalgate_changes:
portalgate_claim:
portalgate_directory:
portalgate_gateway:
portalgate_operator:

-- schemas
portalgate: portalgate_changes USAGE, portalgate_claim USAGE, portalgate_directory USAGE, portalgate_gateway USAGE, portalgate_operator USAGE
public: portalgate_directory USAGE, portalgate_gateway USAGE, portalgate_operator USAGE

-- tables

portalgate.addresses row security forced, owner owner
  tenant_id uuid not null
  user_id uuid not null
  account bytea not null
  CHECK ((octet_length(account) = 32))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (tenant_id, user_id)
  CREATE INDEX addresses_account ON portalgate.addresses USING btree (tenant_id, account)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: select
  granted to portalgate_operator: select

portalgate.attempts row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  digest bytea not null
  users uuid[] not null
  verified boolean not null
  expired boolean not null
  shown text[] not null
  remember boolean not null
  return_to text not null
  created_at timestamp with time zone not null
  expires_at timestamp with time zone not null
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (digest)
  CREATE INDEX attempts_expiry ON portalgate.attempts USING btree (tenant_id, expires_at)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update

portalgate.captured row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  kind text not null
  message text not null
  key_id text not null
  created_at timestamp with time zone not null
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (id)
  CREATE INDEX captured_age ON portalgate.captured USING btree (tenant_id, created_at)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select
  granted to portalgate_operator: select

portalgate.challenges row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  holder bytea not null
  purpose text not null
  kind text not null
  state text not null
  key_id text not null
  tries integer not null
  created_at timestamp with time zone not null
  expires_at timestamp with time zone not null
  passed_at timestamp with time zone
  CHECK ((octet_length(holder) = 32))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (tenant_id, holder, purpose, kind)
  CREATE INDEX challenges_expiry ON portalgate.challenges USING btree (tenant_id, expires_at)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update

portalgate.coarsened row security forced, owner owner
  tenant_id uuid not null
  log text not null
  upto timestamp with time zone not null
  CHECK ((log = ANY (ARRAY['activity'::text, 'events'::text])))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (tenant_id, log)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: select

portalgate.credentials row security forced, owner owner
  user_id uuid not null
  tenant_id uuid not null
  phc text not null
  key_id text not null default ''::text
  legacy_digest bytea not null
  version bigint not null default 1
  must_change boolean not null default false
  changed_at timestamp with time zone not null
  by_mail boolean not null default false
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (tenant_id, user_id)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  CREATE TRIGGER beside BEFORE INSERT OR UPDATE ON portalgate.credentials FOR EACH ROW EXECUTE FUNCTION portalgate.beside()
  granted to portalgate_gateway: insert, select, update
  granted to portalgate_operator: insert, update
  granted to portalgate_operator: select (user_id, tenant_id, key_id, version, must_change, changed_at, by_mail)

portalgate.devices row security forced, owner owner
  id uuid not null default gen_random_uuid()
  tenant_id uuid not null
  user_id uuid not null
  digest bytea not null
  label text not null
  agent text not null
  first_seen timestamp with time zone not null
  last_seen timestamp with time zone not null
  trusted_until timestamp with time zone
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (tenant_id, id)
  UNIQUE (tenant_id, user_id, digest)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: delete
  granted to portalgate_operator: select (id, tenant_id, user_id, label, agent, first_seen, last_seen, trusted_until)
  granted to portalgate_operator: update (trusted_until)

portalgate.events row security forced, owner owner
  id bigint not null identity always
  tenant_id uuid not null
  verb text not null
  at timestamp with time zone not null
  user_id uuid
  session_id uuid
  address inet
  agent text not null default ''::text
  result text not null
  suspicious boolean not null default false
  note text not null default ''::text
  operator text not null default ''::text
  facts jsonb not null default '{}'::jsonb
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (id)
  CREATE INDEX events_time ON portalgate.events USING btree (tenant_id, at DESC)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: insert, select
  granted to portalgate_operator: insert, select

portalgate.factors row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  user_id uuid not null
  kind text not null
  name text not null
  state text not null
  key_id text not null
  lookup bytea
  facts jsonb not null default '{}'::jsonb
  version bigint not null default 1
  created_at timestamp with time zone not null
  used_at timestamp with time zone
  CHECK ((octet_length(lookup) = 32))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (tenant_id, lookup)
  CREATE INDEX factors_user ON portalgate.factors USING btree (tenant_id, user_id)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: delete
  granted to portalgate_operator: select (id, tenant_id, user_id, kind, name, key_id, facts, created_at, used_at)

portalgate.hosts row security forced, owner owner
  host text not null
  tenant_id uuid not null
  CHECK (((host = lower(host)) AND (host !~ '[^a-z0-9.-]'::text) AND ((length(host) >= 1) AND (length(host) <= 253))))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (host)
  CREATE INDEX hosts_tenant ON portalgate.hosts USING btree (tenant_id)
  policy portalgate_directory for select to portalgate_directory
    using (CURRENT_USER = 'portalgate_directory'::name)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_directory: select
  granted to portalgate_gateway: select
  granted to portalgate_operator: delete, insert, select, update

portalgate.keys, owner owner
  id text not null
  purpose text not null
  fingerprint bytea not null
  first_seen timestamp with time zone not null
  PRIMARY KEY (id)
  UNIQUE (fingerprint)
  granted to portalgate_gateway: insert, select
  granted to portalgate_operator: insert, select

portalgate.lockouts row security forced, owner owner
  tenant_id uuid not null
  account bytea not null
  purse text not null default ''::text
  failures integer not null
  last_failure timestamp with time zone not null
  rests_until timestamp with time zone
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (tenant_id, account, purse)
  CREATE INDEX lockouts_age ON portalgate.lockouts USING btree (tenant_id, last_failure)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: delete, select

portalgate.outbox row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  kind text not null
  user_id uuid
  address bytea not null
  content bytea
  key_id text not null
  language text not null default ''::text
  once bytea
  state text not null default 'waiting'::text
  tries integer not null default 0
  next_try_at timestamp with time zone not null
  claimed_until timestamp with time zone
  last_error text not null default ''::text
  created_at timestamp with time zone not null
  done_at timestamp with time zone
  more integer not null default 0
  expires_at timestamp with time zone
  recipient bytea
  CHECK (((state = 'waiting'::text) = (done_at IS NULL)))
  CHECK (((state = ANY (ARRAY['waiting'::text, 'failed'::text])) OR (content IS NULL)))
  CHECK ((state = ANY (ARRAY['waiting'::text, 'sent'::text, 'dropped'::text, 'failed'::text])))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  CREATE INDEX outbox_done ON portalgate.outbox USING btree (tenant_id, kind, once, done_at) WHERE (state <> 'waiting'::text)
  CREATE INDEX outbox_due ON portalgate.outbox USING btree (next_try_at) WHERE (state = 'waiting'::text)
  CREATE UNIQUE INDEX outbox_once ON portalgate.outbox USING btree (tenant_id, kind, once) WHERE (state = 'waiting'::text)
  CREATE INDEX outbox_user ON portalgate.outbox USING btree (tenant_id, user_id, kind, created_at) WHERE (user_id IS NOT NULL)
  policy portalgate_claim for update to portalgate_claim
    using ((CURRENT_USER = 'portalgate_claim'::name) AND (state = 'waiting'::text))
    with check ((CURRENT_USER = 'portalgate_claim'::name) AND (state = 'waiting'::text))
  policy portalgate_claim_look for select to portalgate_claim
    using (CURRENT_USER = 'portalgate_claim'::name)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: insert
  granted to portalgate_claim: select (id, tenant_id, state, tries, next_try_at, claimed_until)
  granted to portalgate_claim: update (tries, claimed_until)
  granted to portalgate_operator: select (id, tenant_id, kind, user_id, address, key_id, language, once, state, tries, next_try_at, claimed_until, last_error, created_at, done_at, more, expires_at, recipient)
  granted to portalgate_operator: update (state, tries, next_try_at, claimed_until, done_at, more)

portalgate.recoveries row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  user_id uuid not null
  addresses bytea not null
  key_id text not null
  letter_id uuid not null
  begun_by text not null
  reason text not null
  begun_at timestamp with time zone not null
  due_at timestamp with time zone not null
  confirmed_by text
  confirmed_at timestamp with time zone
  state text not null default 'waiting'::text
  ended_by text not null default ''::text
  ended_at timestamp with time zone
  why text not null default ''::text
  CHECK (((state = 'waiting'::text) OR ((addresses = '\x'::bytea) AND (ended_at IS NOT NULL))))
  CHECK ((begun_by <> ''::text))
  CHECK ((reason <> ''::text))
  CHECK ((state = ANY (ARRAY['waiting'::text, 'stopped'::text, 'done'::text, 'failed'::text])))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  CREATE INDEX recoveries_begun ON portalgate.recoveries USING btree (tenant_id, begun_at)
  CREATE UNIQUE INDEX recoveries_one ON portalgate.recoveries USING btree (tenant_id, user_id) WHERE (state = 'waiting'::text)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: select
  granted to portalgate_operator: insert, select
  granted to portalgate_gateway: update (addresses, due_at, confirmed_by, confirmed_at, state, ended_by, ended_at, why)
  granted to portalgate_operator: update (addresses, due_at, confirmed_by, confirmed_at, state, ended_by, ended_at, why)

portalgate.refresh_tokens row security forced, owner owner
  digest bytea not null
  tenant_id uuid not null
  session_id uuid not null
  generation integer not null
  key_id text not null
  created_at timestamp with time zone not null
  replaced_at timestamp with time zone
  successor_presented_at timestamp with time zone
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, session_id) REFERENCES portalgate.sessions(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (digest)
  UNIQUE (tenant_id, session_id, generation)
  CREATE UNIQUE INDEX refresh_tokens_leaf ON portalgate.refresh_tokens USING btree (tenant_id, session_id) WHERE (replaced_at IS NULL)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: insert, select, update

portalgate.revocations row security forced, owner owner
  id bigint not null identity always
  xid xid8 not null default pg_current_xact_id()
  tenant_id uuid not null
  kind text not null
  subject uuid not null
  at timestamp with time zone not null
  CHECK ((kind = ANY (ARRAY['session'::text, 'user'::text, 'tenant'::text, 'directory'::text, 'limits'::text])))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  PRIMARY KEY (id)
  CREATE INDEX revocations_age ON portalgate.revocations USING btree (tenant_id, at)
  CREATE INDEX revocations_xid ON portalgate.revocations USING btree (xid)
  policy portalgate_changes for select to portalgate_changes
    using (CURRENT_USER = 'portalgate_changes'::name)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  CREATE TRIGGER announce AFTER INSERT ON portalgate.revocations FOR EACH STATEMENT EXECUTE FUNCTION portalgate.announce()
  granted to portalgate_changes: select
  granted to portalgate_gateway: insert, select
  granted to portalgate_operator: insert, select

portalgate.schema_version, owner owner
  id integer not null identity
  version_id bigint not null
  is_applied boolean not null
  tstamp timestamp without time zone not null default now()
  PRIMARY KEY (id)
  granted to portalgate_gateway: select
  granted to portalgate_operator: select

portalgate.schema_version_erp, owner owner
  id integer not null identity
  version_id bigint not null
  is_applied boolean not null
  tstamp timestamp without time zone not null default now()
  PRIMARY KEY (id)

portalgate.second_steps row security forced, owner owner
  tenant_id uuid not null
  user_id uuid not null
  told_at timestamp with time zone
  settled bytea
  offered_at timestamp with time zone
  handle bytea
  CHECK (((octet_length(handle) >= 1) AND (octet_length(handle) <= 64)))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (tenant_id, user_id)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: insert, select, update

portalgate.sessions row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  user_id uuid not null
  choices uuid[] not null
  device_id uuid
  remember boolean not null
  amr text[] not null
  auth_time timestamp with time zone not null
  mfa_at timestamp with time zone
  created_at timestamp with time zone not null
  last_active_at timestamp with time zone not null
  idle_end timestamp with time zone not null
  ends_at timestamp with time zone not null
  ended_at timestamp with time zone
  end_reason text
  agent text not null
  address inet
  connection_id uuid
  actor_id uuid
  CHECK (((ended_at IS NULL) = (end_reason IS NULL)))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  CHECK ((user_id = ANY (choices)))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, device_id) REFERENCES portalgate.devices(tenant_id, id) ON UPDATE CASCADE ON DELETE SET NULL (device_id)
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (tenant_id, id)
  CREATE INDEX sessions_age ON portalgate.sessions USING btree (tenant_id, created_at)
  CREATE INDEX sessions_user ON portalgate.sessions USING btree (tenant_id, user_id, created_at)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: insert, select, update
  granted to portalgate_operator: select
  granted to portalgate_operator: update (ended_at, end_reason)

portalgate.settings row security forced, owner owner
  tenant_id uuid not null
  key text not null
  value jsonb not null
  version bigint not null default 1
  changed_at timestamp with time zone not null
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (tenant_id, key)
  policy portalgate_directory for select to portalgate_directory
    using ((key = ANY (ARRAY['mode'::text, 'brand'::text])) AND (CURRENT_USER = 'portalgate_directory'::name))
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: select
  granted to portalgate_operator: delete, insert, select, update
  granted to portalgate_directory: select (tenant_id, key, value, version)

portalgate.suppressions row security forced, owner owner
  tenant_id uuid not null
  account bytea not null
  address bytea not null
  key_id text not null
  cause text not null
  detail text not null default ''::text
  letter_id uuid not null
  at timestamp with time zone not null
  CHECK ((cause = ANY (ARRAY['bounce'::text, 'complaint'::text])))
  CHECK ((octet_length(account) = 32))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  PRIMARY KEY (tenant_id, account)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: insert, select
  granted to portalgate_operator: delete, insert, select

portalgate.tickets row security forced, owner owner
  id uuid not null
  tenant_id uuid not null
  digest bytea not null
  purpose text not null
  user_id uuid not null
  email text not null
  stamp bytea not null
  browser bytea
  content text
  created_at timestamp with time zone not null
  expires_at timestamp with time zone not null
  spent_at timestamp with time zone
  CHECK ((email = lower(email)))
  CHECK ((octet_length(digest) = 32))
  CHECK ((tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE
  FOREIGN KEY (tenant_id, user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  UNIQUE (digest)
  CREATE INDEX tickets_expiry ON portalgate.tickets USING btree (tenant_id, expires_at)
  CREATE INDEX tickets_user ON portalgate.tickets USING btree (tenant_id, user_id, purpose)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: delete, insert, select, update
  granted to portalgate_operator: select (tenant_id, purpose, user_id, email, created_at, expires_at, spent_at)

public.customer_activity_log row security forced, owner owner
  id uuid not null default gen_random_uuid()
  tenant_id uuid not null
  customer_user_id uuid not null
  activity_type character varying(50) not null
  sales_order_id uuid
  quote_id uuid
  proof_id uuid
  ip_address character varying(50)
  user_agent text
  session_id character varying(255)
  geolocation jsonb
  metadata jsonb
  is_suspicious boolean default false
  security_notes text
  created_at timestamp with time zone default now()
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id)
  FOREIGN KEY (tenant_id, customer_user_id) REFERENCES public.customer_users(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE
  PRIMARY KEY (id)
  CREATE INDEX customer_activity_log_created_at ON public.customer_activity_log USING btree (created_at DESC)
  CREATE INDEX customer_activity_log_ip_address ON public.customer_activity_log USING btree (ip_address)
  CREATE INDEX customer_activity_log_user ON public.customer_activity_log USING btree (tenant_id, customer_user_id, created_at DESC)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  granted to portalgate_gateway: insert, select
  granted to portalgate_operator: insert, select

public.customer_users row security forced, owner owner
  id uuid not null default gen_random_uuid()
  customer_id uuid not null
  tenant_id uuid not null
  email character varying(255) not null
  password_hash character varying(255)
  sso_provider character varying(50)
  sso_user_id character varying(255)
  first_name character varying(100)
  last_name character varying(100)
  phone character varying(50)
  mfa_enabled boolean default false
  mfa_secret character varying(255)
  mfa_backup_codes jsonb
  role character varying(50) not null default 'CUSTOMER_USER'::character varying
  is_active boolean default true
  is_email_verified boolean default false
  email_verification_token character varying(255)
  email_verification_expires timestamp with time zone
  password_reset_token character varying(255)
  password_reset_expires timestamp with time zone
  failed_login_attempts integer default 0
  account_locked_until timestamp with time zone
  last_login_at timestamp with time zone
  last_login_ip character varying(50)
  password_changed_at timestamp with time zone default now()
  preferred_language character varying(10) default 'en-US'::character varying
  timezone character varying(100) default 'UTC'::character varying
  notification_preferences jsonb default '{"sms": false, "email": true}'::jsonb
  marketing_consent boolean default false
  marketing_consent_date timestamp with time zone
  marketing_consent_ip character varying(50)
  data_retention_consent boolean default true
  created_at timestamp with time zone default now()
  updated_at timestamp with time zone default now()
  created_by uuid
  deleted_at timestamp with time zone
  CHECK ((((password_hash IS NOT NULL) AND (sso_provider IS NULL)) OR ((password_hash IS NULL) AND (sso_provider IS NOT NULL))))
  CHECK (((role)::text = ANY ((ARRAY['CUSTOMER_ADMIN'::character varying, 'CUSTOMER_USER'::character varying, 'APPROVER'::character varying])::text[])))
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id)
  FOREIGN KEY (tenant_id, customer_id) REFERENCES public.customers(tenant_id, id) ON UPDATE CASCADE ON DELETE RESTRICT
  PRIMARY KEY (id)
  UNIQUE (customer_id, email)
  UNIQUE (tenant_id, id)
  CREATE INDEX customer_users_email ON public.customer_users USING btree (tenant_id, lower((email)::text)) WHERE (deleted_at IS NULL)
  CREATE UNIQUE INDEX customer_users_person ON public.customer_users USING btree (tenant_id, customer_id, lower((email)::text)) WHERE (deleted_at IS NULL)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  CREATE TRIGGER portalgate_address_hand AFTER INSERT OR UPDATE OF tenant_id, email ON public.customer_users FOR EACH ROW EXECUTE FUNCTION portalgate.address_hand()
  CREATE TRIGGER portalgate_erp_hand AFTER INSERT OR DELETE OR UPDATE ON public.customer_users FOR EACH ROW EXECUTE FUNCTION portalgate.erp_hand()
  CREATE TRIGGER portalgate_lockout_hand BEFORE UPDATE OF failed_login_attempts, account_locked_until ON public.customer_users FOR EACH ROW WHEN (((COALESCE(current_setting('portalgate.now'::text, true), ''::text) = ''::text) AND ((new.failed_login_attempts IS DISTINCT FROM old.failed_login_attempts) OR (new.account_locked_until IS DISTINCT FROM old.account_locked_until)))) EXECUTE FUNCTION portalgate.lockout_hand()
  granted to portalgate_operator: insert
  granted to portalgate_gateway: insert (id, customer_id, tenant_id, email, password_hash, first_name, last_name, role, is_active, is_email_verified, password_changed_at, preferred_language, created_at, updated_at)
  granted to portalgate_gateway: select (id, customer_id, tenant_id, email, password_hash, sso_provider, first_name, last_name, phone, mfa_enabled, mfa_secret, role, is_active, is_email_verified, failed_login_attempts, account_locked_until, last_login_at, last_login_ip, password_changed_at, preferred_language, timezone, notification_preferences, marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, created_at, updated_at, deleted_at)
  granted to portalgate_gateway: update (email, is_email_verified, failed_login_attempts, account_locked_until, last_login_at, last_login_ip, password_changed_at, updated_at)
  granted to portalgate_operator: select (id, customer_id, tenant_id, email, sso_provider, first_name, last_name, phone, mfa_enabled, mfa_secret, role, is_active, is_email_verified, failed_login_attempts, account_locked_until, last_login_at, last_login_ip, password_changed_at, preferred_language, timezone, notification_preferences, marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, created_at, updated_at, deleted_at)
  granted to portalgate_operator: update (customer_id, email, first_name, last_name, phone, role, is_active, is_email_verified, email_verification_token, email_verification_expires, failed_login_attempts, account_locked_until, password_changed_at, preferred_language, timezone, updated_at, deleted_at)

public.customers row security forced, owner owner
  id uuid not null default gen_random_uuid()
  tenant_id uuid not null
  customer_code character varying(50) not null
  customer_name character varying(255) not null
  is_active boolean default true
  portal_enabled boolean default false
  portal_enabled_at timestamp with time zone
  portal_disabled_at timestamp with time zone
  portal_welcome_email_sent_at timestamp with time zone
  deleted_at timestamp with time zone
  FOREIGN KEY (tenant_id) REFERENCES public.tenants(id)
  PRIMARY KEY (id)
  UNIQUE (tenant_id, customer_code)
  UNIQUE (tenant_id, id)
  policy portalgate_tenant for all to everybody
    using (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  CREATE TRIGGER portalgate_erp_hand AFTER DELETE OR UPDATE ON public.customers FOR EACH ROW EXECUTE FUNCTION portalgate.erp_hand()
  granted to portalgate_operator: insert, select, update
  granted to portalgate_gateway: select (id, tenant_id, customer_code, customer_name, is_active, portal_enabled, deleted_at)

public.tenants row security forced, owner owner
  id uuid not null default gen_random_uuid()
  tenant_code character varying(50) not null
  tenant_name character varying(255) not null
  status character varying(20) not null default 'ACTIVE'::character varying
  default_language character varying(10) default 'en-US'::character varying
  default_timezone character varying(100) default 'UTC'::character varying
  is_current boolean default true
  created_at timestamp with time zone not null default now()
  deleted_at timestamp with time zone
  CHECK (((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'SUSPENDED'::character varying, 'TRIAL'::character varying, 'CANCELLED'::character varying])::text[])))
  CHECK ((id <> '00000000-0000-0000-0000-000000000000'::uuid))
  PRIMARY KEY (id)
  UNIQUE (tenant_code)
  policy portalgate_directory for select to portalgate_directory
    using (CURRENT_USER = 'portalgate_directory'::name)
  policy portalgate_tenant for all to everybody
    using (id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
    with check (id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)
  CREATE TRIGGER portalgate_erp_hand AFTER INSERT OR DELETE OR UPDATE ON public.tenants FOR EACH ROW EXECUTE FUNCTION portalgate.erp_hand()
  granted to portalgate_operator: insert, select, update
  granted to portalgate_directory: select (id, tenant_code, deleted_at)
  granted to portalgate_gateway: select (id, tenant_code, tenant_name, status, default_language, default_timezone, created_at, deleted_at)

-- functions

portalgate.account(uuid,text) returns bytea, sql immutable, search_path=pg_catalog, pg_temp, owner owner, executed by portalgate_gateway, portalgate_operator
select sha256('portalgate account\000'::bytea || convert_to(tenant::text, 'UTF8') || '\000'::bytea || convert_to(email, 'UTF8'))

portalgate.address_hand() returns trigger, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
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
end

portalgate.announce() returns trigger, plpgsql volatile, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
begin
	perform pg_notify('portalgate', '');
	return null;
end

portalgate.beside() returns trigger, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
begin
	if new.legacy_digest is null then
		select sha256('portalgate legacy\000'::bytea || convert_to(coalesce(u.password_hash, ''), 'UTF8')) into new.legacy_digest
			from public.customer_users u where u.tenant_id = new.tenant_id and u.id = new.user_id;
	end if;
	return new;
end

portalgate.changes(xid8) returns TABLE(id bigint, tenant_id uuid, kind text, subject uuid, at timestamp with time zone, watermark xid8), sql stable security definer, search_path=pg_catalog, pg_temp, owner portalgate_changes, executed by portalgate_gateway, portalgate_operator
with w as (select pg_snapshot_xmin(pg_current_snapshot()) as xmin)
	select r.id, r.tenant_id, r.kind, r.subject, r.at, w.xmin
	from w left join portalgate.revocations r on since > '0'::xid8 and r.xid >= since

portalgate.claim(integer) returns TABLE(tenant_id uuid, letter_id uuid), sql volatile security definer, search_path=pg_catalog, pg_temp, owner portalgate_claim, executed by portalgate_gateway
with due as materialized (
		select o.id from portalgate.outbox o
		where o.state = 'waiting' and o.next_try_at <= portalgate.gateway_time() and (o.claimed_until is null or o.claimed_until <= portalgate.gateway_time())
		order by o.next_try_at limit least(greatest(n, 0), 100)
		for update skip locked
	)
	update portalgate.outbox o set claimed_until = portalgate.gateway_time() + interval '2 minutes', tries = o.tries + 1
	from due where o.id = due.id
	returning o.tenant_id, o.id

portalgate.coarse(text) returns text, plpgsql immutable, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
begin
	return case when family(address::inet) = 4 then host(network(set_masklen(address::inet, 24))) else host(network(set_masklen(address::inet, 48))) end;
exception when others then
	return null;
end

portalgate.coarsen(text,timestamp with time zone,text[],text[]) returns boolean, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by portalgate_gateway
declare
	mine uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
	since timestamptz;
	to_here timestamptz := least(asked, portalgate.gateway_time() - interval '7 days', clock_timestamp() - interval '7 days');
begin
	if exists (select from unnest(names) name where name is null or name !~ '^[ -~]{0,100}$') then
		raise exception 'a browser has a short name' using errcode = 'invalid_parameter_value';
	end if;
	insert into portalgate.coarsened (tenant_id, log, upto) values (mine, what, '-infinity') on conflict (tenant_id, log) do nothing;
	select c.upto into since from portalgate.coarsened c where c.tenant_id = mine and c.log = what for update;
	if what = 'activity' then
		update public.customer_activity_log l set ip_address = portalgate.coarse(l.ip_address),
			user_agent = case when l.user_agent is null then null else coalesce((select c.name from unnest(agents, names) c (agent, name) where c.agent = l.user_agent limit 1), '') end
			where l.tenant_id = mine and l.created_at > since and l.created_at <= to_here and (l.ip_address is not null or l.user_agent <> '')
				and l.sales_order_id is null and l.quote_id is null and l.proof_id is null
				and (l.metadata ? 'result' or exists (select from portalgate.settings s where s.tenant_id = mine and s.key = 'mode' and s.value = '"on"'));
	else
		-- refusals that were counted together say of which network
		update portalgate.events e set address = portalgate.coarse(host(e.address))::inet,
			facts = case when e.facts ? 'network' then e.facts || jsonb_build_object('network', coalesce(portalgate.coarse(e.facts ->> 'network'), e.facts ->> 'network')) else e.facts end,
			agent = coalesce((select c.name from unnest(agents, names) c (agent, name) where c.agent = e.agent limit 1), '')
			where e.tenant_id = mine and e.at > since and e.at <= to_here and (e.address is not null or e.agent <> '' or e.facts ? 'network');
	end if;
	update portalgate.coarsened c set upto = to_here where c.tenant_id = mine and c.log = what and c.upto < to_here;
	return asked <= to_here;
end

portalgate.directory() returns TABLE(host text, tenant_id uuid, slug text, mode text, brand_version bigint), sql stable security definer, search_path=pg_catalog, pg_temp, owner portalgate_directory, executed by portalgate_gateway, portalgate_operator
select h.host, t.id, t.tenant_code::text, coalesce(m.value #>> '{}', 'off'), coalesce(b.version, 0)
	from public.tenants t
	left join portalgate.hosts h on h.tenant_id = t.id
	left join portalgate.settings m on m.tenant_id = t.id and m.key = 'mode'
	left join portalgate.settings b on b.tenant_id = t.id and b.key = 'brand'
	where t.deleted_at is null

portalgate.erase(uuid[]) returns TABLE(sessions bigint, activity bigint), plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by portalgate_operator
declare
	mine uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
	present timestamptz := portalgate.gateway_time();
	emails text[];
	accounts bytea[];
	asked bytea[];
	masked text[];
begin
	select array_agg(u.id), array_agg(lower(u.email)), array_agg(portalgate.account(mine, lower(u.email))),
			array_agg(sha256('portalgate letter\000'::bytea || convert_to(mine::text, 'UTF8') || '\000'::bytea || convert_to(lower(u.email), 'UTF8'))),
			array_agg(left(lower(u.email), 1) || '•••@' || split_part(lower(u.email), '@', 2))
		into people, emails, accounts, asked, masked from public.customer_users u where u.tenant_id = mine and u.id = any (people);

	with gone as (
		delete from portalgate.sessions s where s.tenant_id = mine and s.choices && people returning s.id
	), told as (
		insert into portalgate.revocations (tenant_id, kind, subject, at) select mine, 'session', g.id, present from gone g returning 1
	) select count(*) into sessions from told;
	delete from portalgate.attempts a where a.tenant_id = mine and a.users && people;
	delete from portalgate.factors f where f.tenant_id = mine and f.user_id = any (people);
	delete from portalgate.second_steps o where o.tenant_id = mine and o.user_id = any (people);
	delete from portalgate.devices d where d.tenant_id = mine and d.user_id = any (people);
	delete from portalgate.credentials k where k.tenant_id = mine and k.user_id = any (people);
	delete from portalgate.tickets t where t.tenant_id = mine and (t.user_id = any (people) or t.email = any (emails));
	-- a letter that anybody asked for knows no person: what it is the same as is known by a digest of the address
	delete from portalgate.outbox o where o.tenant_id = mine and (o.user_id = any (people) or o.recipient = any (accounts) or o.once = any (asked));
	delete from portalgate.suppressions s where s.tenant_id = mine and s.account = any (accounts);
	delete from portalgate.lockouts l where l.tenant_id = mine and l.account = any (accounts);
	update portalgate.recoveries r set addresses = '', state = case r.state when 'waiting' then 'stopped' else r.state end,
		ended_by = case r.state when 'waiting' then 'erasure' else r.ended_by end, ended_at = coalesce(r.ended_at, present), reason = 'erased', why = ''
		where r.tenant_id = mine and r.user_id = any (people);

	-- what was done to others and only tells of the address, or of one that is written the same when it is masked, keeps
	-- whose it was
	update portalgate.events e set note = '', facts = '{}',
			address = case when e.user_id = any (people) then null else e.address end, agent = case when e.user_id = any (people) then '' else e.agent end,
			session_id = case when e.user_id = any (people) then null else e.session_id end
		where e.tenant_id = mine and (e.user_id = any (people)
			or exists (select from unnest(emails || masked) name where position(name in lower(e.facts::text)) > 0 or position(name in lower(e.note)) > 0));
	update public.customer_activity_log l set ip_address = null, user_agent = null, session_id = null, geolocation = null, security_notes = null,
			metadata = case when l.metadata ? 'result' then jsonb_build_object('result', l.metadata -> 'result') end
		where l.tenant_id = mine and l.customer_user_id = any (people);
	get diagnostics activity = row_count;

	update public.customer_users u set email = 'erased-' || u.id || '@erased.invalid', first_name = null, last_name = null, phone = null,
			password_hash = case when u.password_hash is not null then '!portalgate' end, sso_user_id = null, mfa_enabled = false, mfa_secret = null, mfa_backup_codes = null,
			email_verification_token = null, email_verification_expires = null, password_reset_token = null, password_reset_expires = null,
			failed_login_attempts = 0, account_locked_until = null, last_login_ip = null,
			marketing_consent = false, marketing_consent_date = null, marketing_consent_ip = null, notification_preferences = null,
			is_active = false, deleted_at = coalesce(u.deleted_at, present), updated_at = present
		where u.tenant_id = mine and u.id = any (people);
	return next;
end

portalgate.erp_hand() returns trigger, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
declare
	before text := current_setting('app.current_tenant_id', true);
	tenant uuid;
	what text;
	which uuid;
	o jsonb;
	n jsonb;
	watched text[];
begin
	if tg_op <> 'INSERT' then o := to_jsonb(old); end if;
	if tg_op <> 'DELETE' then n := to_jsonb(new); end if;
	if tg_table_name = 'customer_users' then
		what := 'user';
		watched := array['tenant_id', 'customer_id', 'email', 'password_hash', 'first_name', 'last_name', 'role', 'is_active', 'is_email_verified', 'deleted_at', 'preferred_language'];
	elsif tg_table_name = 'customers' then
		what := 'tenant'; -- a company closes for everybody in it; asking again about a whole tenant is rare and cheap
		watched := array['is_active', 'portal_enabled', 'deleted_at', 'customer_name'];
	else
		what := 'tenant';
		watched := array['status', 'deleted_at', 'tenant_name', 'tenant_code'];
	end if;
	if tg_op = 'UPDATE' and (select jsonb_object_agg(k, o -> k) = jsonb_object_agg(k, n -> k) from unnest(watched) k) then
		return null;
	end if;
	tenant := coalesce((coalesce(n, o) ->> 'tenant_id')::uuid, (coalesce(n, o) ->> 'id')::uuid);
	which := case when what = 'user' then (coalesce(n, o) ->> 'id')::uuid else tenant end;
	perform set_config('app.current_tenant_id', tenant::text, true);
	insert into portalgate.revocations (tenant_id, kind, subject, at) values (tenant, what, which, portalgate.gateway_time());
	if what = 'user' and tg_op = 'UPDATE' and (o -> 'password_hash' is distinct from n -> 'password_hash'
			or not coalesce((n ->> 'is_active')::boolean, false) or n ->> 'deleted_at' is not null or o -> 'tenant_id' is distinct from n -> 'tenant_id') then
		-- A block of its own: when a sign-in holds the row and this write would wait for it and it for this write, the
		-- note above stands, and every gateway asks again.
		begin
			update portalgate.sessions set ended_at = portalgate.gateway_time(),
				end_reason = case when o -> 'password_hash' is distinct from n -> 'password_hash' then 'password_changed' else 'user_blocked' end
				where which = any (choices) and ended_at is null;
		exception when others then
			raise warning 'portalgate could not end the sessions of %: %', which, sqlerrm;
		end;
	end if;
	-- Never back to an empty text: a policy of the ERP's that casts the setting would fail on it, and shows no rows for
	-- the tenant of nobody as it does for none. Where nothing was set, PostgreSQL would leave the empty text at the end of
	-- the transaction, so there it is set for the connection.
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	return null;
exception when others then
	raise warning 'portalgate could not note a change of %: %', tg_table_name, sqlerrm;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	return null;
end

portalgate.forget(text,timestamp with time zone,integer) returns bigint, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by portalgate_gateway
declare
	mine uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
	present timestamptz := least(portalgate.gateway_time(), clock_timestamp());
	n bigint;
begin
	most := least(greatest(most, 0), 10000);
	case what
	when 'activity' then
		with old as materialized (
			select l.id from public.customer_activity_log l
			where l.tenant_id = mine and l.created_at < least(older, present - interval '30 days')
				and l.sales_order_id is null and l.quote_id is null and l.proof_id is null
				and (l.metadata ? 'result' or exists (select from portalgate.settings s where s.tenant_id = mine and s.key = 'mode' and s.value = '"on"'))
			order by l.created_at limit most for update skip locked
		) delete from public.customer_activity_log l using old where l.id = old.id and l.tenant_id = mine;
	when 'events' then
		with old as materialized (
			select e.id from portalgate.events e where e.tenant_id = mine and e.at < least(older, present - interval '30 days')
			order by e.at limit most for update skip locked
		) delete from portalgate.events e using old where e.id = old.id and e.tenant_id = mine;
	when 'recoveries' then
		with old as materialized (
			select r.id from portalgate.recoveries r where r.tenant_id = mine and r.state <> 'waiting' and r.ended_at < least(older, present - interval '30 days')
			order by r.ended_at limit most for update skip locked
		) delete from portalgate.recoveries r using old where r.id = old.id and r.tenant_id = mine;
	when 'sessions' then
		-- A token that comes back ends a family that is alive and is simply refused otherwise, so that of one that is over
		-- nothing is needed for that. What is: within thirty days a browser that calls itself the same, in the same
		-- network, is not announced to its owner again, and that is known from when sessions began, which is before
		-- any of these ends. The tokens go with their session.
		with old as materialized (
			select s.id from portalgate.sessions s
			where s.tenant_id = mine and s.created_at < least(older, present - interval '30 days')
				and least(s.ended_at, s.idle_end, s.ends_at) < least(older, present - interval '30 days')
			order by s.created_at limit most for update skip locked
		) delete from portalgate.sessions s using old where s.id = old.id and s.tenant_id = mine;
	when 'revocations' then
		-- A gateway that has heard nothing for a minute takes all it knows for stale, and one that was cut off reads on from
		-- where it was; what it was not told matters for as long as an access token can live, an hour at most.
		with old as materialized (
			select r.id from portalgate.revocations r where r.tenant_id = mine and r.at < least(older, present - interval '1 day')
			order by r.at limit most for update skip locked
		) delete from portalgate.revocations r using old where r.id = old.id and r.tenant_id = mine;
	else
		raise exception 'there is nothing called % to forget', what using errcode = 'invalid_parameter_value';
	end case;
	get diagnostics n = row_count;
	return n;
end

portalgate.gateway_time() returns timestamp with time zone, sql stable, search_path=pg_catalog, pg_temp, owner owner, executed by portalgate_claim
select coalesce(nullif(current_setting('portalgate.now', true), '')::timestamptz, now())

portalgate.lockout_hand() returns trigger, plpgsql volatile security definer, search_path=pg_catalog, pg_temp, owner owner, executed by nobody else
declare
	before text := current_setting('app.current_tenant_id', true);
	digest bytea := portalgate.account(new.tenant_id, lower(new.email));
	until timestamptz := new.account_locked_until;
begin
	if new.failed_login_attempts >= 5 and coalesce(old.failed_login_attempts, 0) < 5 and until is not distinct from old.account_locked_until then
		until := now() + interval '30 minutes';
	end if;
	perform set_config('app.current_tenant_id', new.tenant_id::text, true);
	if coalesce(new.failed_login_attempts, 0) <= 0 and coalesce(until, '-infinity') <= now() then
		delete from portalgate.lockouts l where l.tenant_id = new.tenant_id and l.account = digest and l.purse = '';
	else
		insert into portalgate.lockouts (tenant_id, account, purse, failures, last_failure, rests_until)
			values (new.tenant_id, digest, '', greatest(new.failed_login_attempts, 0), now(), until)
			on conflict on constraint lockouts_pkey do update set failures = excluded.failures, last_failure = excluded.last_failure, rests_until = excluded.rests_until;
	end if;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	new.account_locked_until := until;
	return new;
exception when others then
	raise warning 'portalgate could not take over a lock-out: %', sqlerrm;
	perform set_config('app.current_tenant_id', coalesce(nullif(before, ''), '00000000-0000-0000-0000-000000000000'), coalesce(before, '') <> '');
	return new;
end

portalgate.oldest_program() returns bigint, sql immutable, search_path="", owner owner, executed by portalgate_gateway, portalgate_operator


-- views, and sequences that stand alone


-- applied
core 0
core 1
core 10
core 11
core 12
core 13
core 14
core 15
core 16
core 17
core 2
core 3
core 4
core 5
core 6
core 7
core 8
core 9
erp 0
erp 1
