-- +goose Up
-- failed_login_attempts and account_locked_until show the strangers' purse of a person's address, and are believed: what
-- somebody else than the gateway writes there goes into the purse, so that the two never tell different stories. Five
-- failures written without a rest are a rest of thirty minutes, as in the ERP's own function, but nobody is switched
-- off. The gateway's own transactions are known by the time they set; a purse is theirs before its columns are.
-- +goose StatementBegin
create function portalgate.lockout_hand() returns trigger language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
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
end $$;

create trigger portalgate_lockout_hand before update of failed_login_attempts, account_locked_until on public.customer_users
	for each row when (coalesce(current_setting('portalgate.now', true), '') = ''
		and (new.failed_login_attempts is distinct from old.failed_login_attempts or new.account_locked_until is distinct from old.account_locked_until))
	execute function portalgate.lockout_hand();
-- +goose StatementEnd
revoke all on function portalgate.lockout_hand() from public;

-- +goose Down
drop function portalgate.lockout_hand() cascade;
