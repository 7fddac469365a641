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

func TestOnlyFutileErrorsAreFinal(t *testing.T) {
	t.Parallel()
	clusters := schema.GroupResource{Group: "postgresql.cnpg.io", Resource: "clusters"}
	forbidden := func(why string) error {
		return fmt.Errorf("apply: %w", apierrors.NewForbidden(clusters, "pg-1", errors.New(why)))
	}
	noRight := forbidden(`User "daap" cannot patch resource "clusters"`)
	tests := map[string]struct {
		err   error
		kind  string // empty if the error is returned unchanged
		final bool   // even in the first attempt
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
		"rows":              {fmt.Errorf("read: %w: %w", daap.Unavailable("down"), unreachableError()), "PLATFORM_POSTGRES_DOWN", false},
		"not found":         {apierrors.NewNotFound(clusters, "pg-1"), "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := classify(tt.err, 1)
			app, typed := got.(*temporal.ApplicationError) //nolint:errorlint // Temporal reads only the outermost error
			if typed != (tt.kind != "") {
				t.Fatalf("classify(%v) = %v, want a type: %v", tt.err, got, tt.kind != "")
			}
			if typed && (app.Type() != tt.kind || app.NonRetryable() != tt.final) {
				t.Errorf("classify(%v) = %s, final %v; want %s, final %v", tt.err, app.Type(), app.NonRetryable(), tt.kind, tt.final)
			}
		})
	}
	var app *temporal.ApplicationError
	if late := classify(noRight, grantTries); !errors.As(late, &app) || app.Type() != "FORBIDDEN" || !app.NonRetryable() {
		t.Errorf("a right that is still missing in attempt %d: %v, want a final error", grantTries, late)
	}
}

func TestCauseIsTheErrorsOwnOrTheDeadline(t *testing.T) {
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
