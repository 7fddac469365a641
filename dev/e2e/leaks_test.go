//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
)

// These tests make things fail on a secret, so that what fails could show it. They look at little themselves: TestMain has
// everything searched for it afterwards.

// canary is a secret of the name that may be nowhere.
func canary(name string) string {
	secret := "canary-" + rand.Text()
	watching.secrets.Add(name, secret)
	return secret
}

// TestKeysThatAreDeniedAreNotTold spoils the database's own password and its keys to the object store before there is a
// Cluster: it comes up with the one, and is refused with the other.
func TestKeysThatAreDeniedAreNotTold(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-denied")
	admit := refuseClustersOf(ctx, t, "denied")
	db, operation := createOn(ctx, t, "e2e-denied", "denied", "denied")
	parked(ctx, t, operation)
	spoil(ctx, t, db.ID, daap.CredentialsSecret, corev1.BasicAuthPasswordKey, canary("the password that a test spoiled"))
	spoil(ctx, t, db.ID, manifest.ArchiveCredentials, "ACCESS_SECRET_KEY", canary("the archive's key that a test spoiled"))
	admit()
	retry(ctx, t, operation, "admitted")
	until(ctx, t, "the operation says that the store denies access", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: operation})
		if err != nil {
			t.Fatal(err)
		}
		return op.Data.WaitingOn.Value.Code == oas.CauseCodeS3DENIED
	})
	statement := "SELECT '" + watching.plant("statement that fails", "kept log of daap-"+db.ID.String()) + "'::integer"
	if err := tellSuperuser(ctx, db.ID, statement); err == nil {
		t.Error("PostgreSQL takes a text for a number")
	}
	remove(ctx, t, db.ID)
}

// spoil changes one value of a Secret of the database.
func spoil(ctx context.Context, t *testing.T, id uuid.UUID, name, key, value string) {
	t.Helper()
	var secret corev1.Secret
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: name}, &secret); err != nil {
		t.Fatalf("get secret %s: %v", name, err)
	}
	if _, has := secret.Data[key]; !has {
		t.Fatalf("secret %s has no %s", name, key)
	}
	secret.Data[key] = []byte(value)
	if err := stack.Kubernetes.Update(ctx, &secret); err != nil {
		t.Fatalf("spoil secret %s: %v", name, err)
	}
}

// TestPasswordThatIsRefusedIsNotTold gives the worker's role another password than the Secret has: whatever DAAP does
// there is refused, and says so.
func TestPasswordThatIsRefusedIsNotTold(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	db, operation := create(ctx, t, "refused-password")
	succeed(ctx, t, operation)
	var secret corev1.Secret
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.WorkerSecret}, &secret); err != nil {
		t.Fatal(err)
	}
	setPassword := func(password string) {
		t.Helper()
		if err := tellSuperuser(ctx, db.ID, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", manifest.WorkerRole, password)); err != nil {
			t.Fatalf("change the worker's password: %v", err)
		}
	}
	setPassword(canary("the password that a test gave the worker's role"))
	accepted, err := stack.API.DeleteDatabase(ctx, oas.DeleteDatabaseParams{
		ID: db.ID, Strategy: oas.NewOptDestructionStrategy(oas.DestructionStrategyFreeze),
	})
	if err != nil {
		t.Fatalf("freeze: %v", err)
	}
	freezing := accepted.Response.Meta.OperationID
	until(ctx, t, "the operation says that the password is refused", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: freezing})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(op.Data.Steps, func(s oas.Step) bool {
			return strings.Contains(s.Progress+s.LastError, "password authentication failed")
		})
	})
	setPassword(string(secret.Data[corev1.BasicAuthPasswordKey]))
	succeed(ctx, t, freezing)
	remove(ctx, t, db.ID)
}

// tellSuperuser runs a statement in the database's pod. It goes in by the input: arguments are everybody's to read.
func tellSuperuser(ctx context.Context, id uuid.UUID, statement string) error {
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", daap.Namespace(id), "exec", "--stdin", "pg-1-1", "--container", "postgres", "--",
		"psql", "--username=postgres", "--dbname=postgres", "--set=ON_ERROR_STOP=1")
	cmd.Stdin = strings.NewReader(statement + ";\n")
	return cmd.Run()
}

// TestWrongAPIKeysAreNotTold sends keys that are none, in each place where people put them.
func TestWrongAPIKeysAreNotTold(t *testing.T) {
	parallel(t)
	inQuery := func(name string) func(*http.Request, string) {
		return func(r *http.Request, secret string) { r.URL.RawQuery = url.Values{name: {secret}}.Encode() }
	}
	for name, put := range map[string]func(*http.Request, string){
		"in the header": func(r *http.Request, secret string) { r.Header.Set("X-API-Key", secret) },
		"as a bearer":   func(r *http.Request, secret string) { r.Header.Set("Authorization", "Bearer "+secret) },
		"as basic":      func(r *http.Request, secret string) { r.SetBasicAuth("daap", secret) },
		"made like a key": func(r *http.Request, secret string) {
			r.Header.Set("X-API-Key", "daap_0123456789abcdefghijkl_"+secret+"_000000")
		},
		"in a cookie":           func(r *http.Request, secret string) { r.AddCookie(&http.Cookie{Name: "key", Value: secret}) },
		"in the query":          inQuery("api_key"),
		"in the query, as sent": inQuery("X-API-Key"),
		"as a filter":           inQuery("status"),
		"beside a valid one": func(r *http.Request, secret string) {
			r.Header.Set("X-API-Key", platformKey(t))
			inQuery("api_key")(r, secret)
		},
		"as a filter beside a valid one": func(r *http.Request, secret string) {
			r.Header.Set("X-API-Key", platformKey(t))
			inQuery("status")(r, secret)
		},
		"as the key of a request": func(r *http.Request, secret string) {
			r.Header.Set("X-API-Key", platformKey(t))
			r.Header.Set("Idempotency-Key", strings.Repeat(secret, 20)) // longer than one may be
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stack.URL+"/databases", nil)
			if err != nil {
				t.Fatal(err)
			}
			put(request, canary("the wrong API key "+name))
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			_, _ = body.ReadFrom(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK && name != "as the key of a request" { // which means nothing to GET
				t.Errorf("it is answered with %s", answer.Status)
			}
		})
	}
}

// TestSettingsThatFailAreNotTold starts DAAP with settings that hold secrets and are wrong.
func TestSettingsThatFailAreNotTold(t *testing.T) {
	t.Parallel() // each of them has a turn of its own
	profile := filepath.Join(t.TempDir(), "temporal.toml")
	if err := os.WriteFile(profile, []byte("[profile.default]\napi_key = "+canary("the API key in a broken profile")), 0o600); err != nil {
		t.Fatal(err)
	}
	database := func(format string) string {
		return "DAAP_DATABASE_URL=" + fmt.Sprintf(format, canary("the password in "+format))
	}
	address := strings.SplitN(os.Getenv("DAAP_DATABASE_URL"), "@", 2)[1]
	key := func(name string) string { return name + "=" + canary(name+" that is wrong") }
	for name, tt := range map[string]struct {
		command []string
		env     []string
	}{
		"a password that is refused, api":      {[]string{"api"}, []string{database("postgres://daap:%s@" + address)}},
		"a password that is refused, worker":   {[]string{"worker"}, []string{database("postgres://daap:%s@" + address), "TEMPORAL_NAMESPACE=missing"}},
		"a password that is refused, migrate":  {[]string{"migrate"}, []string{database("postgres://daap:%s@" + address)}},
		"a password that is refused, keys":     {[]string{"keys", "create", "--team=x", "--role=product-team"}, []string{database("postgres://daap:%s@" + address)}},
		"a password that is refused, verify":   {[]string{"audit", "verify"}, []string{database("postgres://daap:%s@" + address)}},
		"nobody answers":                       {[]string{"keys", "create", "--team=x", "--role=product-team"}, []string{database("postgres://daap:%s@127.0.0.1:1/daap")}},
		"a password that is not escaped":       {[]string{"api"}, []string{database("postgres://daap:a/%s@" + address)}},
		"a password that looks like a port":    {[]string{"migrate"}, []string{database("postgres://daap:12/%s@" + address)}},
		"a password with half an escape":       {[]string{"migrate"}, []string{database("postgres://daap:%%zz%s@" + address)}},
		"a password with a space":              {[]string{"audit", "verify"}, []string{database("postgres://daap:a %s@" + address)}},
		"a password as a setting":              {[]string{"migrate"}, []string{database("postgres://daap@127.0.0.1/daap?password=%s&sslmode=wrong")}},
		"a password as the port":               {[]string{"audit", "verify"}, []string{database("postgres://daap:%s/daap")}},
		"no URL":                               {[]string{"worker"}, []string{database("host=127.0.0.1 password=%s")}},
		"the owner's password":                 {[]string{"migrate"}, []string{"DAAP_MIGRATION_URL=postgres://daap_owner:" + canary("the owner's password that is wrong") + "@" + address}},
		"keys to heads that are denied":        {[]string{"audit", "verify"}, []string{key("DAAP_S3_SECRET_KEY")}},
		"Temporal's API key, sent in vain":     {[]string{"worker"}, []string{key("TEMPORAL_API_KEY")}},
		"Temporal's API key in the clear":      {[]string{"api"}, []string{key("TEMPORAL_API_KEY"), "TEMPORAL_TLS=false"}},
		"Temporal's certificate":               {[]string{"worker"}, []string{key("TEMPORAL_TLS_CLIENT_KEY_DATA"), "TEMPORAL_TLS_CLIENT_CERT_DATA=none"}},
		"Temporal's profile":                   {[]string{"worker"}, []string{"TEMPORAL_CONFIG_FILE=" + profile}},
		"codec keys that are none":             {[]string{"api"}, []string{key("DAAP_TEMPORAL_CODEC_KEYS")}},
		"codec keys that are none, for people": {[]string{"codec"}, []string{"DAAP_TEMPORAL_CODEC_KEYS=id=" + canary("a codec key that is wrong")}},
	} {
		t.Run(name, func(t *testing.T) {
			parallel(t, needsStore)
			failing(t, tt.command, tt.env...)
		})
	}
}

// failing runs DAAP's program with the stack's environment and these settings until it ends, or has logged for a while that
// it cannot do its work. What it says is kept, and not shown: it may be what must not be.
func failing(t *testing.T, command []string, env ...string) {
	t.Helper()
	const enough = 8 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(stateDir(), "bin", "daap"), command...)
	cmd.Env = append(append(os.Environ(), "DAAP_HTTP_ADDR=127.0.0.1:0", "DAAP_SHUTDOWN_TIMEOUT=1s"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	watching.keep("what processes print that fail", out)
	if err == nil && ctx.Err() == nil || len(out) == 0 {
		t.Error("it ends as if nothing were wrong, or says nothing")
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		t.Error("it does not end when it is told to")
	}
}
