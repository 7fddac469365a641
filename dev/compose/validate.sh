#!/usr/bin/env bash
# Checks what of docker-compose.yml and dev/k3d can be checked without a Docker
# engine. Installs nothing.
set -euo pipefail

cd "$(dirname "$0")/../.."

for tool in go awk shellcheck; do
	command -v "$tool" >/dev/null || {
		echo "$tool is missing; install it with the system's package manager." >&2
		exit 1
	}
done

scripts=(dev/compose/*.sh dev/compose/*/*.sh dev/k3d/*.sh)
for script in "${scripts[@]}"; do
	bash -n "$script"
done
shellcheck "${scripts[@]}"

# A module of its own, whatever go.work or flags say.
(cd dev/compose/check && GOWORK=off GOFLAGS=-mod=readonly go test -count=1 ./...)
