package persistence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// The constraints whose violation is a client's error.
const (
	nameOfTeam  = "databases_name_of_team"
	expiryOfKey = "api_keys_expires_at"
)

// The SQLSTATEs that have a meaning here.
const (
	connectionExceptions = "08" // the class
	readOnlyTransaction  = "25006"
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	lockNotAvailable     = "55P03"
)

// violates reports whether err is a violation of the given constraint or unique index.
func violates(err error, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.ConstraintName == constraint
}

// missing turns an empty result into NotFound of noun, and other errors like because.
func missing(err error, doing, noun string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.NotFound(noun)
	}
	return because(err, doing)
}

// because wraps an error with the action that failed. Errors for people or for the engine pass unchanged. If PostgreSQL
// is down, it returns an error for people.
func because(err error, doing string) error {
	switch {
	case err == nil, daap.AsError(err) != nil, errors.Is(err, daap.ErrSuperseded):
		return err
	case unreachable(err):
		away := daap.Unavailable("The service cannot reach its own database at the moment; try again shortly.")
		return fmt.Errorf("%s: %w: %w", doing, away, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// unreachable reports whether err means that PostgreSQL is down, restarting or no longer the primary.
func unreachable(err error) bool {
	if errors.Is(err, context.Canceled) { // the caller disconnected, not the server
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case readOnlyTransaction, tooManyConnections, adminShutdown, crashShutdown, cannotConnectNow:
			return true
		}
		return strings.HasPrefix(pgErr.Code, connectionExceptions)
	}
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
}

// storable returns s in a form that PostgreSQL can store. Error texts come from anywhere, and a failure that cannot be
// recorded would never end.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}
