package activities

import (
	"errors"
	"fmt"
	"testing"

	"go.temporal.io/sdk/temporal"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/daap-dev/daap"
)

func TestOnlyWhatIsFutileIsFinal(t *testing.T) {
	t.Parallel()
	clusters := schema.GroupResource{Group: "postgresql.cnpg.io", Resource: "clusters"}
	tests := map[string]struct {
		err  error
		kind string // of a final error; empty where it is tried again
	}{
		"nil":               {nil, ""},
		"plain":             {errors.New("connection refused"), ""},
		"superseded":        {fmt.Errorf("begin: %w", daap.ErrSuperseded), ErrorSuperseded},
		"forbidden":         {fmt.Errorf("apply: %w", apierrors.NewForbidden(clusters, "pg-1", errors.New("quota"))), ErrorRejected},
		"invalid":           {fmt.Errorf("apply: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "Cluster"}, "pg-1", nil)), ErrorRejected},
		"conflict":          {apierrors.NewConflict(clusters, "pg-1", errors.New("changed")), ""},
		"too many requests": {apierrors.NewTooManyRequests("slow down", 1), ""},
		"server error":      {apierrors.NewInternalError(errors.New("webhook is down")), ""},
		"not found":         {apierrors.NewNotFound(clusters, "pg-1"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := classify(tt.err)
			app, final := got.(*temporal.ApplicationError) //nolint:errorlint // Temporal looks at the outermost error only
			if final != (tt.kind != "") {
				t.Fatalf("classify(%v) is final: %v, want %v", tt.err, final, tt.kind != "")
			}
			if final && (app.Type() != tt.kind || !app.NonRetryable()) {
				t.Errorf("classify(%v) = %s, retryable %v, want final %s", tt.err, app.Type(), !app.NonRetryable(), tt.kind)
			}
		})
	}
}
