#!/bin/sh
# Creates the buckets of backups and of the audit log's heads once.
set -eu

# create URL [header]
create() {
	# The key goes in on stdin: arguments can be read by every process.
	code=$(printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY_ID" "$S3_SECRET_ACCESS_KEY" |
		curl --config - --silent --show-error --max-time 10 --output /tmp/answer --write-out '%{http_code}' \
			--aws-sigv4 aws:amz:us-east-1:s3 --request PUT ${2:+--header "$2"} "$1")

	case $code in
	200) echo "created $1" ;;
	409) echo "$1 exists" ;;
	*)
		echo "creating $1: status $code" >&2
		cat /tmp/answer >&2
		exit 1
		;;
	esac
}

create "$BACKUPS_URL"
# With locks a bucket has versions: a head that is overwritten or deleted can be had back.
create "$AUDIT_URL" 'x-amz-bucket-object-lock-enabled: true'
