#!/usr/bin/env bash
# Makes sure of what `make test` and `make check` need beside Go: a PostgreSQL server to start, and shellcheck.
set -euo pipefail

missing=()
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null && ! command -v initdb > /dev/null; then
	missing+=(postgresql)
fi
command -v shellcheck > /dev/null || missing+=(shellcheck)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
	echo "The tests need ${missing[*]}: install it with the system's package manager." >&2
	exit 1
fi
echo "Installing ${missing[*]} for the tests…"
# RUNLEVEL=1 keeps Debian from starting a server of its own.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
