#!/usr/bin/env bash
# Restores the last state of a database from its archive without DAAP, Kubernetes or CloudNativePG: with PostgreSQL of
# the same version and barman-cli-cloud alone. Prints what a statement answers there, then stops it.
#
#   AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… ENDPOINT=https://s3.example.com \
#     restore-by-hand.sh s3://bucket/prefix/<database id> <server name> <directory> 'SELECT …'
set -euo pipefail
destination=$1 server=$2 directory=$3 statement=$4
export AWS_REQUEST_CHECKSUM_CALCULATION=when_required AWS_RESPONSE_CHECKSUM_VALIDATION=when_required
store="--endpoint-url $ENDPOINT $destination $server"

# shellcheck disable=SC2086 # they are several arguments
barman-cloud-backup-list $store >&2
# shellcheck disable=SC2086
id=$(barman-cloud-backup-list --format json $store | sed -n 's/.*"backup_id": "\([0-9T]*\)".*/\1/p' | tail -n 1)
# shellcheck disable=SC2086
barman-cloud-restore $store "$id" "$directory" >&2

# What CloudNativePG writes for its own pods is not for here.
: > "$directory/custom.conf"
: > "$directory/override.conf"
echo 'local all all trust' > "$directory/pg_hba.conf"
echo "restore_command = 'barman-cloud-wal-restore $store %f %p'" > "$directory/postgresql.auto.conf"
chmod 700 "$directory"
touch "$directory/recovery.signal"

# These must not be lower than where the backup was taken.
limits='-c max_connections=500 -c max_worker_processes=64 -c max_wal_senders=64 -c max_locks_per_transaction=64'
pg_ctl -D "$directory" -w -t 120 -l "$directory/log" start -o "-c port=5499 -c listen_addresses='' \
	-c unix_socket_directories=$directory -c logging_collector=off -c shared_preload_libraries='' $limits" >&2
ask() { psql --host="$directory" --port=5499 --username=postgres --tuples-only --no-align --command="$1" app; }
for _ in $(seq 300); do
	[ "$(ask 'SELECT pg_is_in_recovery()')" = f ] && break
	sleep 1 # it replays what was archived since
done
ask "$statement"
pg_ctl -D "$directory" -m fast stop >&2
