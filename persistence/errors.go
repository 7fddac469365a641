package persistence

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// Names and codes by which PostgreSQL says what went wrong.
const (
	uniqueViolation = "23505"
	nameOfTeam      = "databases_name_of_team"
)

// violates says whether err is the violation of the given unique index.
func violates(err error, index string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == uniqueViolation && pgErr.ConstraintName == index
}

// missing turns an empty answer into NotFound of noun, and says of any other error what was being done.
func missing(err error, doing, noun string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.NotFound(noun)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// because wraps an error of the given doing, and lets those pass that are made for people or for the
// engine: they say all there is to say.
func because(err error, doing string) error {
	if err == nil || daap.AsError(err) != nil || errors.Is(err, daap.ErrSuperseded) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
