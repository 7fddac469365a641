# The shell functions that the commands in README.md and docs/ use. Each page sources this file first, in bash, from the
# root of the repository:
#
#   . docs/prelude.sh
#
# With the local stack running (make up) nothing has to be set. For another installation, set before:
#
#   api                  the address of DAAP's API
#   DAAP_API_KEY_HEADER  a file with the header of a platform-team key, "X-API-Key: daap_…"
#   SHOP_KEY_HEADER      a file with the header of a product-team key
#
# and have kubectl, temporal, psql, jq and curl 7.82 or newer in PATH. The keys are in files because any process of the
# machine can read the arguments of another.

if [ -z "${DAAP_API_KEY_HEADER:-}" ]; then
	eval "$(go run ./dev/stack env)"
fi
api=${api:-http://${DAAP_HTTP_ADDR:-127.0.0.1:8080}}

# platform sends a request as the platform team, shop as the product team shop. Both take curl's arguments.
platform() { curl -s -H @"$DAAP_API_KEY_HEADER" "$@"; }
shop() { curl -s -H @"$SHOP_KEY_HEADER" "$@"; }

# wait_for waits until an operation is over or needs attention, for ten minutes at most.
wait_for() {
	local minute
	for minute in 1 2 3 4 5 6 7 8 9 10; do
		if platform "$api/operations/$1?wait=60s" |
			jq -e '.data | .finished_at != null or .state == "needs_attention"' > /dev/null; then
			return 0
		fi
	done
	echo "operation $1 is still running after $minute minutes" >&2
	return 1
}

if [ -z "${SHOP_KEY_HEADER:-}" ]; then
	SHOP_KEY_HEADER=$(mktemp -d)/shop.header
	platform "$api/api-keys" --json '{"name": "docs", "team": "shop", "role": "product-team"}' |
		jq -er '"X-API-Key: \(.data.key)"' > "$SHOP_KEY_HEADER"
fi
