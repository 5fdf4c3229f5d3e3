-- +goose Up
-- An operator has what was counted for a network forgotten: every gateway keeps a count of its own, and hears of it as of
-- any other change. The subject is the network's first address, whose sixteen bytes are written as a UUID.
alter table portalgate.revocations drop constraint revocations_kind_check;
alter table portalgate.revocations add constraint revocations_kind_check check (kind in ('session', 'user', 'tenant', 'directory', 'limits'));

-- +goose Down
delete from portalgate.revocations where kind = 'limits';
alter table portalgate.revocations drop constraint revocations_kind_check;
alter table portalgate.revocations add constraint revocations_kind_check check (kind in ('session', 'user', 'tenant', 'directory'));
