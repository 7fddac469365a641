package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/daap-dev/daap/cmd/internal/config"
)

const goodURL = "postgres://daap:hunter2@127.0.0.1:5432/daap"

// someKey is 32 bytes in base64.
const someKey = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnQ="

func TestLoadNamesTheVariableAtFault(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string
	}{
		"database url missing":        {map[string]string{}, "DAAP_DATABASE_URL is not set"},
		"database url empty":          {map[string]string{"DAAP_DATABASE_URL": ""}, "DAAP_DATABASE_URL is empty"},
		"database url not PostgreSQL": {map[string]string{"DAAP_DATABASE_URL": "mysql://a:hunter2@b/c"}, "DAAP_DATABASE_URL must be a URL"},
		"database url malformed":      {map[string]string{"DAAP_DATABASE_URL": "postgres://a:hunter2%@b/c"}, "DAAP_DATABASE_URL must be a URL"},
		"database url unescaped":      {map[string]string{"DAAP_DATABASE_URL": "postgres://a:12/hunter2@b/c"}, "DAAP_DATABASE_URL must be a URL"},
		"address without port":        {map[string]string{"DAAP_HTTP_ADDR": "localhost"}, "DAAP_HTTP_ADDR must be host:port"},
		"level unknown":               {map[string]string{"DAAP_LOG_LEVEL": "loud"}, "DAAP_LOG_LEVEL must be debug"},
		"format unknown":              {map[string]string{"DAAP_LOG_FORMAT": "xml"}, "DAAP_LOG_FORMAT must be json or console"},
		"timeout no duration":         {map[string]string{"DAAP_SHUTDOWN_TIMEOUT": "soon"}, "DAAP_SHUTDOWN_TIMEOUT must be a time such as 20s"},
		"timeout too short":           {map[string]string{"DAAP_SHUTDOWN_TIMEOUT": "1ms"}, "DAAP_SHUTDOWN_TIMEOUT must be from 1s to 5m"},
		"owner's url malformed":       {map[string]string{"DAAP_MIGRATION_URL": "hunter2"}, "DAAP_MIGRATION_URL must be a URL"},
		"rate below nothing":          {map[string]string{"DAAP_RATE_LIMIT": "-1"}, "DAAP_RATE_LIMIT must be a number from 0"},
		"rate no number":              {map[string]string{"DAAP_RATE_LIMIT": "many"}, "DAAP_RATE_LIMIT must be a number"},
		"proxies no networks":         {map[string]string{"DAAP_TRUSTED_PROXIES": "lb.example"}, "DAAP_TRUSTED_PROXIES must be a list"},
		"argon2 no number":            {map[string]string{"DAAP_ARGON2_TIME": "long"}, "DAAP_ARGON2_TIME must be a whole number"},
		"audit log kept too short":    {map[string]string{"DAAP_AUDIT_RETENTION": "1h"}, "DAAP_AUDIT_RETENTION must be from 24h"},
		"versions no pairs":           {map[string]string{"DAAP_POSTGRES_VERSIONS": "17"}, "DAAP_POSTGRES_VERSIONS must be a list such as 17="},
		"versions no numbers":         {map[string]string{"DAAP_POSTGRES_VERSIONS": "new=image"}, "DAAP_POSTGRES_VERSIONS must be pairs"},
		"stores at no network":        {map[string]string{"DAAP_S3_ALLOW": "localhost"}, "DAAP_S3_ALLOW must be a list such as 10."},
		"backups to a path": {map[string]string{
			"DAAP_BACKUP_ENDPOINT": "http://s3.example/path", "DAAP_BACKUP_ACCESS_KEY": "a", "DAAP_BACKUP_SECRET_KEY": "hunter2",
		}, "DAAP_BACKUP_ENDPOINT must be a URL"},
		"backups with an account": {map[string]string{
			"DAAP_BACKUP_ENDPOINT": "http://a:hunter2@s3.example", "DAAP_BACKUP_ACCESS_KEY": "a", "DAAP_BACKUP_SECRET_KEY": "b",
		}, "DAAP_BACKUP_ENDPOINT must be a URL"},
		"codec key not base64":  {map[string]string{"DAAP_TEMPORAL_CODEC_KEYS": "a=hunter2!"}, "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"codec key too short":   {map[string]string{"DAAP_TEMPORAL_CODEC_KEYS": "a=aHVudGVyMg=="}, "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"codec key unnamed":     {map[string]string{"DAAP_TEMPORAL_CODEC_KEYS": someKey}, "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"codec keys plain last": {map[string]string{"DAAP_TEMPORAL_CODEC_KEYS": "a=" + someKey + ",plain"}, "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"codec key twice":       {map[string]string{"DAAP_TEMPORAL_CODEC_KEYS": "a=" + someKey + ",a=" + someKey}, "DAAP_TEMPORAL_CODEC_KEYS must be pairs such as"},
		"keys of no kind":       {map[string]string{"DAAP_BACKUP_KEYS": "own"}, "DAAP_BACKUP_KEYS must be minio or shared"},
		"heads nowhere": {map[string]string{
			"DAAP_AUDIT_HEADS": "heads", "DAAP_S3_ENDPOINT": "http://s3.example",
			"DAAP_S3_ACCESS_KEY": "a", "DAAP_S3_SECRET_KEY": "hunter2",
		}, "DAAP_AUDIT_HEADS must be s3://"},
		"heads without an endpoint": {map[string]string{
			"DAAP_AUDIT_HEADS": "s3://audit", "DAAP_S3_ACCESS_KEY": "a", "DAAP_S3_SECRET_KEY": "hunter2",
		}, "DAAP_S3_ENDPOINT must be a URL"},
		"heads without a key": {map[string]string{
			"DAAP_AUDIT_HEADS": "s3://audit", "DAAP_S3_ENDPOINT": "http://s3.example", "DAAP_S3_SECRET_KEY": "hunter2",
		}, "DAAP_S3_ACCESS_KEY and DAAP_S3_SECRET_KEY must be set"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // the environment is the process's
			clearEnvironment(t)
			if _, given := tt.env["DAAP_DATABASE_URL"]; !given && name != "database url missing" {
				t.Setenv("DAAP_DATABASE_URL", goodURL)
			}
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, err := config.Load()
			var named *config.Error
			if !errors.As(err, &named) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("Load() = %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("Load() = %q, want one line without the password", err)
			}
		})
	}
}

// clearEnvironment hides what the shell that runs the tests has set, and brings it back afterwards.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, setting := range os.Environ() {
		if name, value, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "DAAP_") {
			t.Setenv(name, value)
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestHeadsBucketIsReadFromItsURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][2]string{
		"s3://audit": {"audit", ""}, "s3://audit/": {"audit", ""}, "s3://audit/daap/heads/": {"audit", "daap/heads"},
	} {
		bucket, prefix, ok := config.Config{AuditHeads: url}.HeadsBucket()
		if !ok || bucket != want[0] || prefix != want[1] {
			t.Errorf("HeadsBucket() of %s = %q, %q, %t; want %q", url, bucket, prefix, ok, want)
		}
	}
}

func TestLoadTakesDefaults(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("DAAP_DATABASE_URL", goodURL)
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.HTTPAddr != "127.0.0.1:8080" || cfg.LogFormat != "json" || cfg.BackupKeys != config.KeysMinIO {
		t.Errorf("Load() = %+v, want the defaults", cfg)
	}
}
