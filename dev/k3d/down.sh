#!/usr/bin/env bash
# Deletes the k3d cluster with every database in it. What Compose made stays:
# `docker compose down --volumes` removes that.
set -euo pipefail

cd "$(dirname "$0")/../.."

for tool in docker k3d; do
	command -v "$tool" >/dev/null || {
		echo "$tool is missing; dev/compose/README.md lists what is needed." >&2
		exit 1
	}
done

# These two hold the node's network and the kubeconfigs.
docker compose rm --stop --force worker api
k3d cluster delete daap
rm -rf .k3d
