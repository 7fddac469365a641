package activities

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"go.temporal.io/sdk/temporal"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/daap-dev/daap"
)

func unreachableError() error {
	return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

func TestOnlyWhatIsFutileIsFinal(t *testing.T) {
	t.Parallel()
	clusters := schema.GroupResource{Group: "postgresql.cnpg.io", Resource: "clusters"}
	forbidden := func(why string) error {
		return fmt.Errorf("apply: %w", apierrors.NewForbidden(clusters, "pg-1", errors.New(why)))
	}
	noRight := forbidden(`User "daap" cannot patch resource "clusters"`)
	tests := map[string]struct {
		err   error
		kind  string // of an error that says more than its text
		final bool   // also at the first try
	}{
		"nil":               {nil, "", false},
		"plain":             {errors.New("something else"), "", false},
		"superseded":        {fmt.Errorf("begin: %w", daap.ErrSuperseded), ErrorSuperseded, true},
		"refused":           {fmt.Errorf("cancel: %w", daap.Refused("No.")), ErrorRefused, true},
		"quota":             {forbidden("exceeded quota: small"), "QUOTA", true},
		"no right yet":      {noRight, "FORBIDDEN", false},
		"policy":            {forbidden("denied request: not today"), "REJECTED", true},
		"invalid":           {fmt.Errorf("apply: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "Cluster"}, "pg-1", nil)), "REJECTED", true},
		"conflict":          {apierrors.NewConflict(clusters, "pg-1", errors.New("changed")), "", false},
		"too many requests": {apierrors.NewTooManyRequests("slow down", 1), "KUBERNETES_DOWN", false},
		"webhook":           {apierrors.NewInternalError(errors.New("failed calling webhook: refused")), "OPERATOR_DOWN", false},
		"connection":        {unreachableError(), "KUBERNETES_DOWN", false},
		"rows":              {fmt.Errorf("read: %w: %w", daap.Unavailable("away"), unreachableError()), "PLATFORM_POSTGRES_DOWN", false},
		"not found":         {apierrors.NewNotFound(clusters, "pg-1"), "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := classify(tt.err, 1)
			app, told := got.(*temporal.ApplicationError) //nolint:errorlint // Temporal looks at the outermost error only
			if told != (tt.kind != "") {
				t.Fatalf("classify(%v) = %v, want it to tell a kind: %v", tt.err, got, tt.kind != "")
			}
			if told && (app.Type() != tt.kind || app.NonRetryable() != tt.final) {
				t.Errorf("classify(%v) = %s, final %v; want %s, final %v", tt.err, app.Type(), app.NonRetryable(), tt.kind, tt.final)
			}
		})
	}
	var app *temporal.ApplicationError
	if late := classify(noRight, grantTries); !errors.As(late, &app) || app.Type() != "FORBIDDEN" || !app.NonRetryable() {
		t.Errorf("a right that is missing still at try %d: %v, want it final", grantTries, late)
	}
}

func TestCauseIsWhatTheErrorCarriesElseTheDeadline(t *testing.T) {
	t.Parallel()
	quota := daap.NewCause(daap.CauseQuota, "exceeded quota")
	for name, tt := range map[string]struct {
		err  error
		want daap.CauseCode
	}{
		"carried":    {notReady("0 of 1", &quota, false), daap.CauseQuota},
		"classified": {classify(apierrors.NewBadRequest("no"), 1), daap.CauseRejected},
		"unknown":    {notReady("0 of 1", nil, true), daap.CauseDeadline},
	} {
		if got := Cause(tt.err, "Wait"); got.Code != tt.want || got.Message == "" || got.Remedy == "" {
			t.Errorf("cause of %s = %+v, want %s with message and remedy", name, got, tt.want)
		}
	}
}
