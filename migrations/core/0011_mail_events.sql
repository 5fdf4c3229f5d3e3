-- +goose Up
-- A provider tells the gateway of a bounce or a complaint, signed; the gateway may stop mail to an address by itself. To
-- let it go there again is an operator's.
grant insert on portalgate.suppressions to portalgate_gateway;

-- +goose Down
revoke insert on portalgate.suppressions from portalgate_gateway;
