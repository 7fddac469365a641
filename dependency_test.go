package daap_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daap-dev/daap"
)

func TestHealthChecksRunConcurrentlyAndAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		found := daap.Health(t.Context(), []daap.Dependency{
			{Name: "a", Required: true, Probe: hang},
			{Name: "b", Probe: func(context.Context) error { return nil }},
			{Name: "c", Probe: hang},
		})
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Health() took %s, want 2s for all", took)
		}
		if found[0].Err == nil || found[1].Err != nil || found[2].Err == nil || found[0].Name != "a" || !found[0].Required {
			t.Errorf("Health() = %+v, want a and c down, in order", found)
		}
	})
}
