package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/oas"
)

// dependencies are PostgreSQL, which is required, and Temporal, which is not, with what each probe finds.
func dependencies(postgresql, temporal error) func(*api.Config) {
	return func(cfg *api.Config) {
		cfg.Dependencies = []daap.Dependency{
			{Name: "postgresql", Required: true, Probe: func(context.Context) error { return postgresql }},
			{Name: "temporal", Probe: func(context.Context) error { return temporal }},
		}
	}
}

func TestHealthIsOkWhenAllDependenciesAreUp(t *testing.T) {
	t.Parallel()
	res, err := start(t, dependencies(nil, nil)).client.GetHealth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Data.Status != oas.HealthStatusOk || res.Data.Version != "v1.2.3" || len(res.Data.Checks) != 2 {
		t.Errorf("got %+v", res.Data)
	}
}

func TestHealthIsDegradedWithoutAnOptionalDependency(t *testing.T) {
	t.Parallel()
	got := start(t, dependencies(nil, errors.New("secret dsn"))).do(http.MethodGet, "/health", "")
	var res oas.HealthResponse
	if err := res.UnmarshalJSON(got.body); err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusOK || res.Data.Status != oas.HealthStatusDegraded ||
		res.Data.Checks[1].Status != oas.HealthCheckStatusDown || res.Data.Checks[0].Status != oas.HealthCheckStatusUp {
		t.Errorf("got %d %+v", got.status, res.Data)
	}
	if bytes.Contains(got.body, []byte("secret")) {
		t.Errorf("the client got %s", got.body)
	}
}

func TestHealthIsUnavailableWhenARequiredDependencyIsDown(t *testing.T) {
	t.Parallel()
	got := start(t, dependencies(errors.New("secret dsn"), nil)).do(http.MethodGet, "/health", "")
	want := []oas.ErrorDetail{{Field: "postgresql", Message: "is down"}}
	if got.status != http.StatusServiceUnavailable || !reflect.DeepEqual(got.Error.Details, want) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if bytes.Contains(got.body, []byte("secret")) {
		t.Errorf("the client got %s", got.body)
	}
}

func TestOpenAPIDocumentIsTheContract(t *testing.T) {
	t.Parallel()
	got := start(t).do(http.MethodGet, "/openapi.json", "")
	var served, written any
	if err := json.Unmarshal(got.body, &served); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(daap.OpenAPI, &written); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(served, written) {
		t.Errorf("the document differs from openapi.yaml: %s", firstDifference("", written, served))
	}
	if !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		t.Errorf("got Content-Type %s", got.header.Get("Content-Type"))
	}
}

func firstDifference(at string, want, got any) string {
	w, isMap := want.(map[string]any)
	g, _ := got.(map[string]any)
	if !isMap {
		return at
	}
	for k := range w {
		if !reflect.DeepEqual(w[k], g[k]) {
			return firstDifference(at+"/"+k, w[k], g[k])
		}
	}
	return at
}
