# Turns the plugin's manifest.yaml, which is the one its own tests use, into one
# of a release: the published images of -v version=vX.Y.Z, and nothing of
# cert-manager (up.sh makes the two certificates).

function flush_doc() {
	if (doc != "" && doc !~ /apiVersion: cert-manager\.io\//) {
		printf "%s---\n", doc
	}
	doc = ""
	in_data = 0
}

BEGIN {
	if (version == "") {
		print "plugin.awk: -v version is missing" > "/dev/stderr"
		exit 1
	}
	images = "ghcr.io/cloudnative-pg/plugin-barman-cloud"
}

/^---/ { flush_doc(); next }

# The one Secret of the manifest names the sidecar's image.
/^  SIDECAR_IMAGE: / {
	sub(/data:\n$/, "stringData:\n", doc)
	doc = doc "  SIDECAR_IMAGE: " images "-sidecar:" version "\n"
	in_data = 1
	next
}
in_data && /^    / { next }
{ in_data = 0 }

/^ *image: .*plugin-barman-cloud-testing:/ {
	sub(/image: .*/, "image: " images ":" version)
}

{ doc = doc $0 "\n" }

END { flush_doc() }
