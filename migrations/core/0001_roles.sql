-- +goose Up
-- Roles belong to the cluster, not to the database: another database may have made them, at this very moment even.
-- They are group roles without a login; what connects is a role that the operator makes a member of one of them.
-- +goose StatementBegin
do $$
declare
	r text;
begin
	foreach r in array array['portalgate_gateway', 'portalgate_operator', 'portalgate_directory', 'portalgate_changes'] loop
		begin
			execute format('create role %I nologin', r);
		exception
			when duplicate_object or unique_violation then null;
			when insufficient_privilege then
				if not exists (select from pg_roles where rolname = r) then
					raise exception 'this role may not create roles: have an administrator run: create role % nologin', r
						using errcode = 'insufficient_privilege';
				end if;
		end;
	end loop;
	-- The two function owners own nothing but one function each, and giving a function to a role needs membership in it.
	foreach r in array array['portalgate_directory', 'portalgate_changes'] loop
		if not pg_has_role(current_user, r, 'member') then
			execute format('grant %I to current_user', r);
		end if;
	end loop;
end $$;
-- +goose StatementEnd

-- +goose Down
-- Roles stay: another database of the cluster may use them.
select 1;
