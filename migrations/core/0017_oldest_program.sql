-- +goose Up
-- The oldest program that may run on this schema, named by the newest migration that it knows. Two neighbouring releases
-- run side by side while gateways are replaced one by one; a migration that the program before it could not work with
-- replaces this function.
-- +goose StatementBegin
create function portalgate.oldest_program() returns bigint language sql immutable set search_path = '' return 17;
-- +goose StatementEnd
revoke all on function portalgate.oldest_program() from public;
grant execute on function portalgate.oldest_program() to portalgate_gateway, portalgate_operator;

-- +goose Down
drop function portalgate.oldest_program();
