package manifest_test

import (
	"testing"

	"github.com/daap-dev/daap/activities/manifest"
)

func TestPeerIsParsed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]manifest.Peer{
		"10.0.0.1":                     {Block: "10.0.0.1/32"},
		"10.0.0.1:6443":                {Block: "10.0.0.1/32", Port: 6443},
		"10.0.0.9/24:6443":             {Block: "10.0.0.0/24", Port: 6443},
		"2001:db8::1":                  {Block: "2001:db8::1/128"},
		"[2001:db8::/64]:443":          {Block: "2001:db8::/64", Port: 443},
		"minio":                        {Namespace: "minio"},
		"minio:9000":                   {Namespace: "minio", Port: 9000},
		"kube-system/k8s-app=kube-dns": {Namespace: "kube-system", Label: "k8s-app", Value: "kube-dns"},
		"daap/app.kubernetes.io/name=daap-worker:1": {
			Namespace: "daap", Label: "app.kubernetes.io/name", Value: "daap-worker", Port: 1,
		},
	} {
		var got manifest.Peer
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestInvalidPeerIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", ":53", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:dns", "fe80::1%eth0", "s3.example.com", "UPPER",
		"minio/", "minio/=x", "minio/app=a b", "minio/app=x/y", "kube-system\n",
	} {
		var got manifest.Peer
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %+v, want an error", text, got)
		}
	}
}
