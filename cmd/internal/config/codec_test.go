package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/daap-dev/daap/cmd/internal/config"
)

func TestCodecNeedsItsKeysAndNothingElse(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("DAAP_TEMPORAL_CODEC_KEYS", "new="+someKey+", old="+someKey)
	cfg, err := config.LoadCodec()
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.CodecKeys) != 2 || cfg.CodecKeys[0].ID != "new" || cfg.Addr != "127.0.0.1:8234" || cfg.Origin != "" {
		t.Errorf("LoadCodec() has %d keys, %s, origin %q; want both keys and the defaults", len(cfg.CodecKeys), cfg.Addr, cfg.Origin)
	}
}

func TestPlainInFrontEncryptsNothingYet(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("DAAP_DATABASE_URL", goodURL)
	t.Setenv("DAAP_TEMPORAL_CODEC_KEYS", "plain,new="+someKey)
	cfg, err := config.Load()
	if err != nil || len(cfg.CodecKeys) != 2 || len(cfg.CodecKeys[0].Secret) != 0 || cfg.CodecKeys[1].ID != "new" {
		t.Errorf("Load() = %d keys, %v; want one that encrypts nothing, and another", len(cfg.CodecKeys), err)
	}
}

func TestLoadCodecNamesTheVariableAtFault(t *testing.T) {
	for name, tt := range map[string]struct{ variable, value, want string }{
		"no keys":            {"DAAP_TEMPORAL_CODEC_KEYS", "", "DAAP_TEMPORAL_CODEC_KEYS is empty"},
		"keys malformed":     {"DAAP_TEMPORAL_CODEC_KEYS", "hunter2", "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"no port":            {"DAAP_CODEC_ADDR", "localhost", "DAAP_CODEC_ADDR must be host:port"},
		"every origin":       {"DAAP_CODEC_ORIGIN", "*", "DAAP_CODEC_ORIGIN must be an origin"},
		"origin with a path": {"DAAP_CODEC_ORIGIN", "https://ui.example/", "DAAP_CODEC_ORIGIN must be an origin"},
		"two origins":        {"DAAP_CODEC_ORIGIN", "https://a.example,https://b.example", "DAAP_CODEC_ORIGIN must be an origin"},
		"level unknown":      {"DAAP_LOG_LEVEL", "loud", "DAAP_LOG_LEVEL must be debug"},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // the environment is the process's
			clearEnvironment(t)
			t.Setenv("DAAP_TEMPORAL_CODEC_KEYS", "a="+someKey)
			t.Setenv(tt.variable, tt.value)
			_, err := config.LoadCodec()
			var named *config.Error
			if !errors.As(err, &named) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("LoadCodec() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOnlyLoopbackIsOnLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:8234": true, "[::1]:8234": true, "localhost:8234": true,
		":8234": false, "0.0.0.0:8234": false, "10.0.0.1:8234": false, "codec.example:8234": false,
	} {
		if config.OnLoopback(address) != want {
			t.Errorf("OnLoopback(%s) = %t, want %t", address, !want, want)
		}
	}
}
