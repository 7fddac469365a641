package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
)

// writeSecrets makes the passwords of a new stack and the environments that
// carry them, in files that only root reads: arguments are seen by everybody.
func writeSecrets(l layout) error {
	for name, user := range map[string]string{"postgres": "", "minio": "daap"} {
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
	return os.WriteFile(l.in("daap.env"), []byte(strings.Join(env, "\n")+"\n"), 0o600)
}

// daapEnv is the environment of DAAP on this stack.
func daapEnv(l layout) ([]string, error) {
	password, err := l.secret("postgres")
	if err != nil {
		return nil, err
	}
	tags, err := readTags(l)
	if err != nil {
		return nil, err
	}
	return []string{
		"DAAP_DATABASE_URL=postgres://daap:" + password + "@" + addressPostgres + "/daap?sslmode=disable",
		"TEMPORAL_ADDRESS=" + addressTemporal,
		"TEMPORAL_NAMESPACE=" + temporalNS,
		"KUBECONFIG=" + l.kubeconfig(),
		"DAAP_HTTP_ADDR=" + addressAPI,
		"DAAP_POSTGRES_IMAGE=" + tags.operand,
		"DAAP_POOLER_IMAGE=" + tags.pooler,
		"DAAP_STORAGE_CLASS=" + storageName,
	}, nil
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
