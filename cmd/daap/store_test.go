package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/daap-dev/daap/cmd/internal/config"
)

func TestLoopbackObjectStoresNeedPermission(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<LocationConstraint/>")
	}))
	t.Cleanup(server.Close)
	access := config.S3{Endpoint: server.URL, AccessKey: "access", SecretKey: "secret"}
	for name, tt := range map[string]struct {
		allow []netip.Prefix
		want  string
	}{
		"not allowed": {nil, "DAAP_S3_ALLOW"},
		"allowed":     {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := service{config: config.Config{S3Allow: tt.allow}}
			store, err := s.objectStore(access)
			if err != nil {
				t.Fatal(err)
			}
			admin, err := s.storeAdmin(access)
			if err != nil {
				t.Fatal(err)
			}
			err = admin.DeleteUser(t.Context(), "somebody")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DeleteUser() = %v, want %q", err, tt.want)
			}
			_, err = store.BucketExists(t.Context(), "backups")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("BucketExists() = %v, want %q", err, tt.want)
			}
		})
	}
}
