-- +goose Up
-- Roles belong to the cluster, not to the database: another database may have made them, at this very moment even.
-- They are group roles without a login; what connects is a role that the operator makes a member of one of them.
-- +goose StatementBegin
do $$
declare
	r text;
	missing text[] := '{}';
	may text := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
begin
	foreach r in array array['portalgate_gateway', 'portalgate_operator', 'portalgate_directory', 'portalgate_changes', 'portalgate_claim'] loop
		continue when exists (select from pg_roles where rolname = r);
		begin
			execute format('create role %I nologin', r);
		exception
			when duplicate_object or unique_violation then null;
			when insufficient_privilege then missing := missing || format('create role %I nologin;', r);
		end;
	end loop;
	-- The three function owners own nothing but one function each, and giving a function to a role needs membership in it.
	foreach r in array array['portalgate_directory', 'portalgate_changes', 'portalgate_claim'] loop
		if not exists (select from pg_roles where rolname = r) then
			missing := missing || format('grant %I to %I;', r, current_user);
			continue;
		end if;
		continue when pg_has_role(current_user, r, may);
		begin
			execute format('grant %I to current_user', r);
		exception
			when unique_violation then null;
			when insufficient_privilege then missing := missing || format('grant %I to %I;', r, current_user);
		end;
	end loop;
	if missing <> '{}' then
		raise exception 'role % may not make the roles that are missing; have an administrator run: %', current_user, array_to_string(missing, ' ')
			using errcode = 'insufficient_privilege';
	end if;
end $$;
-- +goose StatementEnd

-- +goose Down
-- Roles stay: another database of the cluster may use them.
select 1;
