-- +goose Up
-- A person can have what is stored about them, and can have it erased. To erase is for operators: what reaches into the
-- trails is not for the gateway, whose login would wipe out with it where a thief has been.

grant select (phone, marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, notification_preferences) on public.customer_users to portalgate_gateway;
grant select (marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, notification_preferences) on public.customer_users to portalgate_operator;
grant select (tenant_id, purpose, user_id, email, created_at, expires_at, spent_at) on portalgate.tickets to portalgate_operator;

-- +goose StatementBegin
-- These rows of people are nobody's any more. Ours go; of the trails stays what was done, when and with which result; of
-- the ERP's row stays what its orders and invoices refer to, with the ERP's own mark of a deleted one, and neither a name
-- nor anything that opens it. Done twice it changes nothing more. As in the other functions, the owner's rights reach no
-- further than the tenant of the transaction.
create function portalgate.erase(people uuid[]) returns table (sessions bigint, activity bigint) language plpgsql
	security definer set search_path = pg_catalog, pg_temp
	as $$
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
end $$;
-- +goose StatementEnd
revoke all on function portalgate.erase(uuid[]) from public;
grant execute on function portalgate.erase(uuid[]) to portalgate_operator;

-- +goose Down
drop function portalgate.erase(uuid[]);
revoke select (tenant_id, purpose, user_id, email, created_at, expires_at, spent_at) on portalgate.tickets from portalgate_operator;
revoke select (phone, marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, notification_preferences) on public.customer_users from portalgate_gateway;
revoke select (marketing_consent, marketing_consent_date, marketing_consent_ip, data_retention_consent, notification_preferences) on public.customer_users from portalgate_operator;
