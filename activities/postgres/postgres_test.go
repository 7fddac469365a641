package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

func TestWorkerConnectsOnceItsRoleExists(t *testing.T) {
	t.Parallel()
	refused, absent := &sessionError{text: "no entry", state: invalidPassword}, &sessionError{text: "no server"}
	for name, tt := range map[string]struct {
		answers []error
		want    error
	}{
		"at once":                 {[]error{nil}, nil},
		"in the third attempt":    {[]error{absent, refused, nil}, nil},
		"never":                   {[]error{errors.ErrUnsupported}, errors.ErrUnsupported},
		"never, after an attempt": {[]error{refused, errors.ErrUnsupported}, errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			err := letIn(t.Context(), func(context.Context) error {
				tries++
				return tt.answers[tries-1]
			})
			if !errors.Is(err, tt.want) || tries != len(tt.answers) {
				t.Errorf("letIn() = %v after %d attempts, want %v after %d", err, tries, tt.want, len(tt.answers))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := letIn(ctx, func(context.Context) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("letIn() = %v after its timeout, want the last error", err)
	}
}

func TestOwnerMayShutOutClientsOnceTheDatabaseIsHandedOver(t *testing.T) {
	t.Parallel()
	for state, owners := range map[string]bool{
		"28P01": true, "28000": true, "42501": true, "53300": true, "57014": true, // the owner's settings
		"55000": false, "57P03": false, "08P01": false, "3D000": false, "": false, // other errors
	} {
		err := failure(t.Context(), t.Context(), &pgconn.PgError{Severity: "FATAL", Code: state})
		for status, handedOver := range map[daap.DatabaseStatus]bool{
			daap.DatabaseProvisioning: false, daap.DatabaseRestoring: false, daap.DatabaseUpdating: true, daap.DatabaseUnfreezing: true,
		} {
			if got := shutOut(daap.Database{Status: status}, err); got != (owners && handedOver) {
				t.Errorf("shutOut() with %q of a database that is %s: %t, want %t", state, status, got, owners && handedOver)
			}
		}
	}
}
