#!/bin/sh
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE come from the environment.
set -eu

# The port answers a few seconds before the namespace service does.
attempt=0
until temporal operator cluster health; do
	attempt=$((attempt + 1))
	if [ "$attempt" -ge 30 ]; then
		echo "Temporal at $TEMPORAL_ADDRESS is not healthy after 30 tries." >&2
		exit 1
	fi
	sleep 1
done

if ! temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
	temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 72h
fi
