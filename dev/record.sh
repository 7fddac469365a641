#!/usr/bin/env bash
# Records the history of a workflow on the running stack for the replay test. Histories must come from the version
# that is released: one of the change under test would prove nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
workflow=$1 name=$2
if [ -z "$workflow" ] || ! [[ $name =~ ^[a-z_]+$ ]]; then
	echo "usage: make record WORKFLOW=<workflow id> NAME=<kind of operation, and what happened to it>" >&2
	exit 2
fi
released=origin/main
git rev-parse --verify --quiet "$released" > /dev/null || released=HEAD
# A kind of operation that the released version does not have is recorded from the one that brings it.
new=true
for file in $(git ls-tree --name-only "$released" workflows/ | grep -v _test); do
	case $name in "$(basename "$file" .go)"*) new=false ;; esac
done
changed() {
	! git diff --quiet "$released" -- workflows ':!workflows/testdata' ||
		[ -n "$(git ls-files --others --exclude-standard workflows)" ]
}
if ! $new && changed; then
	echo "workflows/ differs from $released: bring the stack up from the released version, and record there" >&2
	exit 1
fi
environment=$(go run ./dev/stack env)
eval "$environment"
file=workflows/testdata/histories/$name.json
if [ -e "$file" ]; then
	echo "$file is there: a recorded history is never recorded anew" >&2
	exit 1
fi
temporal workflow show --namespace daap --workflow-id "$workflow" --output json > "$file.tmp"
mv "$file.tmp" "$file"
echo "$file: $(jq '.events | length' "$file") events"
