-- +goose Up
-- A passkey is offered once to a person, and never again, whatever browser they come with. And a person has one handle
-- by which authenticators know whose a passkey is; it is random and no secret, and outlives the passkeys, so that a
-- browser can be told that none is left, and one that is made later takes the place of the one before.
alter table portalgate.second_steps add column offered_at timestamptz, add column handle bytea check (octet_length(handle) between 1 and 64);

-- +goose Down
alter table portalgate.second_steps drop column offered_at, drop column handle;
