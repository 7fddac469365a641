#!/usr/bin/env bash
# Kubernetes for docker-compose.yml: a k3d cluster on Compose's network with the
# CloudNativePG operator and the Barman Cloud plugin. Safe to run again.
set -euo pipefail

cd "$(dirname "$0")/../.."
[ ! -f .env ] || {
	set -a
	# shellcheck source=/dev/null
	. ./.env
	set +a
}

readonly cluster=daap node=k3d-daap-server-0 network=daap
# CloudNativePG 1.30 supports Kubernetes 1.34 to 1.36.
readonly k3s_image=rancher/k3s:v1.35.5-k3s1
readonly cnpg=1.30.0 barman=0.14.0

say() { printf '==> %s\n' "$*"; }
die() {
	printf '%s\n' "$*" >&2
	exit 1
}

for tool in docker k3d go openssl; do
	command -v "$tool" >/dev/null || die "$tool is missing; dev/compose/README.md lists what is needed."
done
docker info >/dev/null 2>&1 || die "The Docker engine does not answer; start it."
docker compose version >/dev/null 2>&1 || die "docker compose is missing; install Docker's Compose plugin."

# k3s brings kubectl along, so nobody has to install one that fits.
kubectl() { docker exec --interactive "$node" kubectl "$@"; }
apply() { kubectl apply --server-side --force-conflicts --filename -; }

# The manifests come with the operators' Go modules, checked by Go's checksums.
module() {
	local dir
	dir=$(cd "${TMPDIR:-/tmp}" && go mod download -json "$1" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
	[ -n "$dir" ] || die "The Go module $1 could not be downloaded."
	printf '%s' "$dir"
}

cluster_up() {
	# Compose owns the network; creating one service of it is enough.
	docker network inspect "$network" >/dev/null 2>&1 || docker compose create postgres

	if k3d cluster get "$cluster" >/dev/null 2>&1; then
		say "starting the cluster"
		k3d cluster start "$cluster" --wait --timeout 180s
		return
	fi
	say "creating the cluster ($k3s_image)"
	k3d cluster create "$cluster" \
		--image "$k3s_image" \
		--network "$network" \
		--api-port "127.0.0.1:${K3D_API_PORT:-6445}" \
		--k3s-arg "--tls-san=$node@server:0" \
		--k3s-arg "--disable=traefik@server:0" \
		--k3s-arg "--disable=servicelb@server:0" \
		--k3s-arg "--disable=metrics-server@server:0" \
		--kubeconfig-update-default=false \
		--wait --timeout 180s
}

# Two self-signed certificates for the operator and the plugin to know each
# other by: each side trusts the other's as it is, so no cert-manager is needed.
tls_secret() {
	local name=$1 cn=$2 usage=$3 san=$4 dir
	kubectl --namespace cnpg-system get secret "$name" >/dev/null 2>&1 && return
	dir=$(mktemp -d)
	# A configuration of its own: the system's would add CA:TRUE.
	cat >"$dir/cnf" <<-CNF
		[req]
		distinguished_name = dn
		x509_extensions = ext
		prompt = no
		[dn]
		CN = $cn
		[ext]
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = $usage
		subjectAltName = $san
	CNF
	openssl req -x509 -config "$dir/cnf" -days 3650 -nodes \
		-newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		-keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
	apply >/dev/null <<-YAML
		apiVersion: v1
		kind: Secret
		metadata: {name: $name, namespace: cnpg-system}
		type: kubernetes.io/tls
		data:
		  tls.crt: $(base64 <"$dir/tls.crt" | tr -d '\n')
		  tls.key: $(base64 <"$dir/tls.key" | tr -d '\n')
	YAML
	rm -rf "$dir"
}

operators_up() {
	local cnpg_dir barman_dir
	cnpg_dir=$(module "github.com/cloudnative-pg/cloudnative-pg@v$cnpg")
	barman_dir=$(module "github.com/cloudnative-pg/plugin-barman-cloud@v$barman")

	say "installing the CloudNativePG operator $cnpg"
	# Certificates last for ten years in place of 90 days, and are renewed 90 days before their end.
	awk '/^ *- name: OPERATOR_NAMESPACE$/ {
		indent = substr($0, 1, index($0, "-") - 1)
		printf "%s- name: CERTIFICATE_DURATION\n%s  value: \"3650\"\n", indent, indent
		printf "%s- name: EXPIRING_CHECK_THRESHOLD\n%s  value: \"90\"\n", indent, indent
	} { print }' "$cnpg_dir/releases/cnpg-$cnpg.yaml" | apply >/dev/null
	kubectl --namespace cnpg-system rollout status deployment/cnpg-controller-manager --timeout 300s

	say "installing the Barman Cloud plugin $barman"
	tls_secret barman-cloud-server-tls barman-cloud serverAuth DNS:barman-cloud
	tls_secret barman-cloud-client-tls barman-cloud-client clientAuth DNS:barman-cloud-client
	awk -v version="v$barman" -f dev/k3d/plugin.awk "$barman_dir/manifest.yaml" | apply >/dev/null
	kubectl --namespace cnpg-system rollout status deployment/barman-cloud --timeout 300s
}

# Three kubeconfigs: for people on this machine, and for the API and the worker,
# each with the rights that deploy/kubernetes gives its account.
kubeconfigs() {
	say "writing .k3d"
	# The directory keeps others out. What the containers mount has to be
	# readable by their user, which is not the one who runs this.
	mkdir -p .k3d/containers
	echo '*' >.k3d/.gitignore
	chmod 0700 .k3d
	chmod 0755 .k3d/containers
	(umask 077 && k3d kubeconfig get "$cluster" >.k3d/kubeconfig.yaml)

	local manifest
	for manifest in deploy/kubernetes/*.yaml; do
		apply >/dev/null <"$manifest"
	done
	account api "https://$node:6443"
	# The worker is in the node's network.
	account worker https://127.0.0.1:6443
	chmod 0644 .k3d/containers/*.yaml
}

# A token of the account that lasts, in a kubeconfig for its container.
account() {
	local name=$1 server=$2
	apply >/dev/null <<-YAML
		apiVersion: v1
		kind: Secret
		metadata:
		  name: daap-$name-token
		  namespace: daap
		  annotations: {kubernetes.io/service-account.name: daap-$name}
		type: kubernetes.io/service-account-token
	YAML
	kubectl --namespace daap wait "secret/daap-$name-token" \
		--for jsonpath='{.data.token}' --timeout 30s >/dev/null
	cat >".k3d/containers/$name.yaml" <<-YAML
		apiVersion: v1
		kind: Config
		current-context: daap
		contexts: [{name: daap, context: {cluster: daap, user: daap-$name}}]
		clusters:
		  - name: daap
		    cluster:
		      server: $server
		      certificate-authority-data: $(kubectl --namespace daap get secret "daap-$name-token" --output jsonpath='{.data.ca\.crt}')
		users:
		  - name: daap-$name
		    user:
		      token: $(kubectl --namespace daap get secret "daap-$name-token" --output jsonpath='{.data.token}' | openssl base64 -d -A)
	YAML
}

cluster_up
operators_up
kubeconfigs
say "Kubernetes is up: export KUBECONFIG=$PWD/.k3d/kubeconfig.yaml"
say "next: docker compose up --detach --build --wait"
