package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
)

// writeSecrets makes the passwords of a new stack and the environments that
// carry them, in files that only root reads: arguments are seen by everybody.
func writeSecrets(l layout) error {
	for name, user := range map[string]string{"postgres": "", "owner": "", "service": "", "minio": "daap"} {
		path := l.in(name + ".password")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		password := rand.Text()
		if user != "" {
			const format = "MINIO_ROOT_USER=%s\nMINIO_ROOT_PASSWORD=%s\nMINIO_BROWSER=on\nMINIO_UPDATE=off\n"
			env := fmt.Sprintf(format, user, password)
			if err := os.WriteFile(l.in(name+".env"), []byte(env), 0o600); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
			return err
		}
	}
	env, err := daapEnv(l)
	if err != nil {
		return err
	}
	return writeEnv(l, append(env, settings()...))
}

func writeEnv(l layout, env []string) error {
	// Renamed into its place: a part that starts at this moment reads one or the other.
	path := l.in("daap.env")
	if err := os.WriteFile(path+".tmp", []byte(strings.Join(env, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// passedOn are settings of DAAP that up takes from its own environment where they are set there.
var passedOn = []string{
	"DAAP_STEP_DEADLINE", "DAAP_BACKLOG", "DAAP_RATE_LIMIT", "DAAP_CHAOS_URL", "DAAP_TEMPORAL_CODEC_KEYS",
}

// settings are those of them that are set.
func settings() []string {
	var set []string
	for _, name := range passedOn {
		if value := os.Getenv(name); value != "" {
			set = append(set, name+"="+value)
		}
	}
	return set
}

// refreshEnv brings the settings that are passed on up to date in the environment of a running stack, and says
// whether it is another than before. The rest is that of its start: the cache may be another by now.
func refreshEnv(l layout) (bool, error) {
	before, err := l.secretEnv("daap.env")
	if err != nil {
		return false, err
	}
	env := slices.DeleteFunc(slices.Clone(before), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(passedOn, name)
	})
	env = append(env, settings()...)
	if slices.Equal(before, env) {
		return false, nil
	}
	return true, writeEnv(l, env)
}

// daapEnv is the environment of DAAP on this stack.
func daapEnv(l layout) ([]string, error) {
	database, err := l.databaseURL(serviceRole)
	if err != nil {
		return nil, err
	}
	minio, err := l.secretEnv("minio.env")
	if err != nil {
		return nil, err
	}
	tags, err := readTags(l)
	if err != nil {
		return nil, err
	}
	return []string{
		"DAAP_DATABASE_URL=" + database,
		"TEMPORAL_ADDRESS=" + addressTemporal,
		"TEMPORAL_NAMESPACE=" + temporalNS,
		"KUBECONFIG=" + l.kubeconfig(),
		"DAAP_HTTP_ADDR=" + addressAPI,
		"DAAP_POSTGRES_VERSIONS=17=" + tags.operand,
		"DAAP_POOLER_IMAGE=" + tags.pooler,
		"DAAP_STORAGE_CLASS=" + storageName,
		// What runs beside the node reaches databases from the host's end of the link, and is reached there.
		"DAAP_NETWORK_WORKER=" + hostIP,
		"DAAP_NETWORK_DNS=" + nodeIP,
		"DAAP_NETWORK_API_SERVERS=" + strings.TrimPrefix(apiserverURL, "https://"),
		"DAAP_NETWORK_STORE=" + addressMinIO,
		"DAAP_AUDIT_HEADS=s3://" + auditBucket + "/heads",
		"DAAP_S3_ENDPOINT=http://" + addressMinIO,
		"DAAP_S3_ACCESS_KEY=" + value(minio, "MINIO_ROOT_USER"),
		"DAAP_S3_SECRET_KEY=" + value(minio, "MINIO_ROOT_PASSWORD"),
		"DAAP_BACKUP_ENDPOINT=http://" + addressMinIO,
		"DAAP_BACKUP_ACCESS_KEY=" + value(minio, "MINIO_ROOT_USER"),
		"DAAP_BACKUP_SECRET_KEY=" + value(minio, "MINIO_ROOT_PASSWORD"),
	}, nil
}

// The roles in the platform's PostgreSQL: one owns DAAP's schema and migrates it, the other is the service's, and
// each has its password in the file of that name.
const (
	ownerRole   = "daap_owner"
	serviceRole = "daap"
)

var passwordOf = map[string]string{ownerRole: "owner", serviceRole: "service", "postgres": "postgres"}

// databaseURL leads to DAAP's database as the role.
func (l layout) databaseURL(role string) (string, error) {
	password, err := l.secret(passwordOf[role])
	return "postgres://" + role + ":" + password + "@" + addressPostgres + "/daap?sslmode=disable", err
}

func (l layout) secret(name string) (string, error) {
	content, err := os.ReadFile(l.in(name + ".password"))
	return string(content), err
}

// secretEnv reads an environment file of the state directory.
func (l layout) secretEnv(name string) ([]string, error) {
	content, err := os.ReadFile(l.in(name))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(content)), nil
}
