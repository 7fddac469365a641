#!/bin/sh
# Creates the bucket of all backups once.
set -eu

# The key goes in on stdin: arguments can be read by every process.
code=$(printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY_ID" "$S3_SECRET_ACCESS_KEY" |
	curl --config - --silent --show-error --max-time 10 --output /tmp/answer --write-out '%{http_code}' \
		--aws-sigv4 aws:amz:us-east-1:s3 --request PUT "$S3_URL")

case $code in
200) echo "created $S3_URL" ;;
409) echo "$S3_URL exists" ;;
*)
	echo "creating $S3_URL: status $code" >&2
	cat /tmp/answer >&2
	exit 1
	;;
esac
