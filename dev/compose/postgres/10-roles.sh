#!/bin/sh
# One role for each owner: neither DAAP nor Temporal is a superuser here, so a
# migration that needs more than it will have in production fails on a laptop.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" <<'SQL'
-- Not as arguments, which every process can read.
\getenv owner DAAP_OWNER_DB_PASSWORD
\getenv daap DAAP_DB_PASSWORD
\getenv temporal TEMPORAL_DB_PASSWORD
-- The first owns what `daap migrate` makes and gives the second, which is that
-- of the service, its rights.
CREATE ROLE daap_owner LOGIN PASSWORD :'owner';
CREATE ROLE daap LOGIN PASSWORD :'daap';
CREATE DATABASE daap OWNER daap_owner;
-- temporal-sql-tool creates Temporal's two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal';
SQL
