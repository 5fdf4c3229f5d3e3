#!/bin/sh
# Run by the postgres image on an empty data directory: the group roles and the login that the gate uses. The tables
# are made by `portalgate migrate up`, which accepts roles that are there.
set -eu
psql -v ON_ERROR_STOP=1 -v secret="$(cat /run/secrets/app-password)" --username postgres --dbname "$POSTGRES_DB" <<'SQL'
create role portalgate_gateway nologin;
create role app login password :'secret' in role portalgate_gateway;
SQL
