package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daap-dev/daap/cmd/internal/config"
)

func TestTemporalIsNeverReachedWithLessThanIsMeant(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "temporal.toml")
	if err := os.WriteFile(profile, []byte("[profile.default]\napi_key = hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"TLS neither on nor off":   {map[string]string{"TEMPORAL_TLS": "yes"}, "TEMPORAL_TLS must be true or false"},
		"a key in the clear":       {map[string]string{"TEMPORAL_API_KEY": "hunter2", "TEMPORAL_TLS": "false"}, "TEMPORAL_API_KEY requires TLS"},
		"a certificate, no key":    {map[string]string{"TEMPORAL_TLS_CLIENT_CERT_DATA": "hunter2"}, "TEMPORAL_* do not configure a client"},
		"a CA that is none":        {map[string]string{"TEMPORAL_TLS_SERVER_CA_CERT_DATA": "hunter2"}, "TEMPORAL_* do not configure a client"},
		"a profile that is broken": {map[string]string{"TEMPORAL_CONFIG_FILE": profile}, "TEMPORAL_* do not configure a client: the profile file"},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // the environment is the process's
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, err := config.Temporal()
			var named *config.Error
			if !errors.As(err, &named) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Temporal() = %v, want %q without the value", err, tt.want)
			}
		})
	}
}
