#!/usr/bin/env bash
# Searches the work tree and all commits for secrets; first it proves that one would be found.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

gitleaks=$(go tool -modfile=dev/tools/gitleaks.mod -n gitleaks)
scan() { "$gitleaks" "$@" --config "$root/.gitleaks.toml" --no-banner --redact --verbose --log-level warn; }

# Made up, and put together here alone, or this file would be found.
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
plant() {
	local file=$1 rule=$2 text=$3 status=0 found
	mkdir -p "$planted/$(dirname "$file")"
	printf '%s\n' "$text" >"$planted/$file"
	found=$(cd "$planted" && scan dir . 2>&1) || status=$?
	if [ "$status" != 1 ] || ! grep -q "RuleID: *$rule" <<<"$found"; then
		echo "A secret in $file is not found as $rule (status $status): $found" >&2
		exit 1
	fi
	rm "$planted/$file"
}
plant deploy/kubernetes/values.yaml aws-access-token "key: AK""IAQ3EGR5WTYHUJ7XZ2"
plant id private-key "$(printf -- '-----BEGIN %s KEY-----\n%s\n-----END %s KEY-----' \
	'EC PRIVATE' "$(printf '%0.sMHcCAQEEIB9q' {1..20})" 'EC PRIVATE')"
# An exception is for its words alone, and for its files alone.
plant activities/manifest/testdata/first.txtar generic-api-key "  password: eHJ2Nz""BqUThzbUxk"
plant persistence/fixture.yaml generic-api-key "  password: YS1wYXNz""d29yZA=="

scan dir .
scan git .
