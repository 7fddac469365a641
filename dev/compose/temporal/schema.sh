#!/bin/sh
# Creates Temporal's databases or brings them up to this release; on a database
# that is up to date nothing happens.
set -eu

sql() {
	db=$1
	shift
	temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db "$db" "$@"
}

schema() {
	sql "$1" create
	sql "$1" setup-schema --version 0.0
	sql "$1" update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
