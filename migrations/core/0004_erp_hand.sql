-- +goose Up
-- What the ERP's staff write by SQL takes effect on every gateway: the note is written in their transaction, and what
-- must not come back (a password that was replaced, a person who was switched off) ends the sessions for good. The
-- body stands in an exception block that only warns, because an ERP's write never fails because of us.
-- +goose StatementBegin
create function portalgate.erp_hand() returns trigger language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
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
end $$;

create trigger portalgate_erp_hand after insert or update or delete on public.customer_users for each row execute function portalgate.erp_hand();
create trigger portalgate_erp_hand after update or delete on public.customers for each row execute function portalgate.erp_hand();
create trigger portalgate_erp_hand after insert or update or delete on public.tenants for each row execute function portalgate.erp_hand();
-- +goose StatementEnd
revoke all on function portalgate.erp_hand() from public;

-- +goose Down
drop function portalgate.erp_hand() cascade;
