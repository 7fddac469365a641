#!/bin/sh
# One role for each owner: neither DAAP nor Temporal is a superuser here, so a
# migration that needs more than it will have in production fails on a laptop.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
	--set daap="$DAAP_DB_PASSWORD" --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
CREATE ROLE daap LOGIN PASSWORD :'daap';
CREATE DATABASE daap OWNER daap;
-- temporal-sql-tool creates Temporal's two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal';
SQL
