package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// startingKubernetes is an API server that responds to the first requests with the status, and then lists its
// resources.
func startingKubernetes(t *testing.T, status int, times int64) (access *rest.Config, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	answers := map[string]any{
		"/api": metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}},
	}
	groups := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for group, kinds := range map[string][]string{
		"": {"Namespace", "Pod"}, "apps": {"Deployment"}, "networking.k8s.io": {"NetworkPolicy"},
		"rbac.authorization.k8s.io": {"RoleBinding"}, "postgresql.cnpg.io": {"Cluster", "Pooler", "Backup", "ScheduledBackup"},
	} {
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList"}, GroupVersion: strings.TrimPrefix(group+"/v1", "/")}
		for _, kind := range kinds {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: strings.ToLower(kind) + "s", Kind: kind, Namespaced: kind != "Namespace"})
		}
		if group == "" {
			answers["/api/v1"] = list
			continue
		}
		answers["/apis/"+list.GroupVersion] = list
		version := metav1.GroupVersionForDiscovery{GroupVersion: list.GroupVersion, Version: "v1"}
		groups.Groups = append(groups.Groups, metav1.APIGroup{Name: group, PreferredVersion: version, Versions: []metav1.GroupVersionForDiscovery{version}})
	}
	answers["/apis"] = groups
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= times {
			http.Error(w, "not now", status)
			return
		}
		answer, known := answers[r.URL.Path]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, asked
}

func TestNewWatchWaitsForAnUnavailableKubernetes(t *testing.T) {
	t.Parallel()
	access, asked := startingKubernetes(t, http.StatusServiceUnavailable, 2)
	if _, err := NewWatch(t.Context(), access, watched(t)); err != nil {
		t.Errorf("after %d requests, it fails with %v", asked.Load(), err)
	}
}

func TestNewWatchDoesNotRetryARefusal(t *testing.T) {
	t.Parallel()
	access, asked := startingKubernetes(t, http.StatusForbidden, 1)
	if _, err := NewWatch(t.Context(), access, watched(t)); err == nil {
		t.Errorf("it continues after %d requests, although the first was refused", asked.Load())
	}
}

func TestNewWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	access, _ := startingKubernetes(t, http.StatusServiceUnavailable, math.MaxInt64)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := NewWatch(ctx, access, watched(t)); err == nil || !strings.Contains(err.Error(), "unable to handle") {
		t.Errorf("it ends with %v, want the last response of Kubernetes", err)
	}
}

func watched(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}
