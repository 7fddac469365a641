package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

func TestWorkerIsLetInOnceItsRoleIsThere(t *testing.T) {
	t.Parallel()
	refused, away := &sessionError{said: "no entry", state: invalidPassword}, &sessionError{said: "nobody is there"}
	for name, tt := range map[string]struct {
		answers []error
		want    error
	}{
		"at once":            {[]error{nil}, nil},
		"at the third try":   {[]error{away, refused, nil}, nil},
		"never":              {[]error{errors.ErrUnsupported}, errors.ErrUnsupported},
		"never, after a try": {[]error{refused, errors.ErrUnsupported}, errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			err := letIn(t.Context(), func(context.Context) error {
				tries++
				return tt.answers[tries-1]
			})
			if !errors.Is(err, tt.want) || tries != len(tt.answers) {
				t.Errorf("letIn() = %v after %d tries, want %v after %d", err, tries, tt.want, len(tt.answers))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := letIn(ctx, func(context.Context) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("letIn() = %v when its time is up, want what was said last", err)
	}
}

func TestOwnerMayShutOutClientsOnceTheDatabaseIsHandedOver(t *testing.T) {
	t.Parallel()
	for state, owners := range map[string]bool{
		"28P01": true, "28000": true, "42501": true, "53300": true, "57014": true, // what an owner may set
		"55000": false, "57P03": false, "08P01": false, "3D000": false, "": false, // and what it may not
	} {
		err := failure(t.Context(), t.Context(), &pgconn.PgError{Severity: "FATAL", Code: state})
		for status, handedOver := range map[daap.DatabaseStatus]bool{
			daap.DatabaseProvisioning: false, daap.DatabaseRestoring: false, daap.DatabaseUpdating: true, daap.DatabaseUnfreezing: true,
		} {
			if got := shutOut(daap.Database{Status: status}, err); got != (owners && handedOver) {
				t.Errorf("shut out with %q of a database that is %s: %t, want %t", state, status, got, owners && handedOver)
			}
		}
	}
}
