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

// Constraints whose violation is for people to mend.
const (
	nameOfTeam  = "databases_name_of_team"
	expiryOfKey = "api_keys_expires_at"
)

// SQLSTATEs that mean something here.
const (
	connectionExceptions = "08" // the class
	readOnlyTransaction  = "25006"
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	lockNotAvailable     = "55P03"
)

// violates says whether err is the violation of the given constraint or unique index.
func violates(err error, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.ConstraintName == constraint
}

// missing turns an empty answer into NotFound of noun, and treats any other error as because does.
func missing(err error, doing, noun string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.NotFound(noun)
	}
	return because(err, doing)
}

// because says of an error what was being done. Errors made for people or for the engine pass as they are:
// they say all there is to say. While PostgreSQL is away, people are told so.
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

// unreachable says whether err comes of a PostgreSQL that is down, restarting or no longer the primary.
func unreachable(err error) bool {
	if errors.Is(err, context.Canceled) { // the caller has gone, not the server
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

// storable returns s as PostgreSQL can store it. What a failure says comes from anywhere, and a failure that
// cannot be recorded would never end.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}
