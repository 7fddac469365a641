package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// answersLast is the retention of answers.
const answersLast = 24 * time.Hour

// accepted is the answer to a change of a database. Operation is nil if it took no time.
type accepted struct {
	Database  daap.Database
	Operation *daap.Operation
}

// errDryRun rolls back the transaction of a dry run.
var errDryRun = errors.New("dry run")

// answerOnce makes a change and stores its answer in one transaction, so that neither exists without the other. A
// repeated request changes nothing, gets its first answer, and is recorded in the audit log; a request whose first copy
// is in progress waits for it. A failed change or a dry run leaves nothing, not even the key. Errors: the errors of the
// change, CodeIdempotencyKeyReused, CodeRequestInProgress.
func answerOnce[T any](
	ctx context.Context, s *Store, by daap.Grant, change func(pgx.Tx) (T, error),
) (T, error) {
	var answer T
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if by.Once.Key == "" || by.DryRun {
			var err error
			if answer, err = change(tx); err == nil && by.DryRun {
				return errDryRun
			}
			return err
		}
		claimed, err := claimKey(ctx, tx, by)
		if err != nil {
			return err
		}
		if !claimed {
			if err := readAnswer(ctx, tx, by, &answer); err != nil {
				return err
			}
			if a, is := any(answer).(accepted); is && a.Operation != nil {
				by = by.AsAccepted()
			}
			return addAudit(ctx, tx, by.Replayed())
		}
		if answer, err = change(tx); err != nil {
			return err
		}
		return keepAnswer(ctx, tx, by, answer)
	})
	if err != nil && !errors.Is(err, errDryRun) {
		var none T
		return none, err
	}
	return answer, nil
}

// claimKey takes the key for this transaction, and reports whether it was free. It waits for another transaction that
// has it.
func claimKey(ctx context.Context, tx pgx.Tx, by daap.Grant) (bool, error) {
	claimed, err := tx.Exec(ctx, `
		INSERT INTO idempotency_keys (team, key, request, answer) VALUES ($1, $2, $3, 'null')
		ON CONFLICT (team, key) DO UPDATE SET request = $3, answer = 'null', created_at = now()
		WHERE idempotency_keys.created_at < now() - $4::interval`,
		by.Caller.Team, by.Once.Key, by.Once.Request[:], answersLast)
	if isLockTimeout(err) {
		return false, daap.InProgress()
	}
	if err != nil {
		return false, fmt.Errorf("claim the idempotency key: %w", err)
	}
	return claimed.RowsAffected() == 1, nil
}

func keepAnswer(ctx context.Context, tx pgx.Tx, by daap.Grant, answer any) error {
	row, err := answerRow(answer)
	if err != nil {
		return fmt.Errorf("save the answer: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE idempotency_keys SET answer = $3 WHERE team = $1 AND key = $2`,
		by.Caller.Team, by.Once.Key, row)
	if err != nil {
		return fmt.Errorf("save the answer: %w", err)
	}
	return nil
}

// readAnswer returns the stored answer of the same request; pgx.ErrNoRows if there is none. An answer outside of the
// grant's scope belongs to another key of the same team: CodeIdempotencyKeyReused.
func readAnswer(ctx context.Context, tx pgx.Tx, by daap.Grant, answer any) error {
	var request, kept []byte
	err := tx.QueryRow(ctx, `
		SELECT request, answer FROM idempotency_keys
		WHERE  team = $1 AND key = $2 AND created_at >= now() - $3::interval`,
		by.Caller.Team, by.Once.Key, answersLast).Scan(&request, &kept)
	if err != nil {
		return fmt.Errorf("read the saved answer: %w", err)
	}
	if !bytes.Equal(request, by.Once.Request[:]) {
		return daap.KeyReused()
	}
	if err := decodeAnswer(kept, answer); err != nil {
		return fmt.Errorf("read the saved answer: %w", err)
	}
	if !covers(by.Scope, answer) {
		return daap.KeyReused()
	}
	return nil
}

// covers reports whether the subject of the answer is in the scope; API keys belong to no team.
func covers(scope daap.Scope, answer any) bool {
	switch a := answer.(type) {
	case *accepted:
		return scope.Covers(a.Database.OwnerTeam)
	case *daap.Operation:
		return scope.Covers(a.OwnerTeam)
	}
	return scope == daap.EveryTeam
}

// Remembered returns the stored answer of the request, and whether there is one; if so, it adds an audit log entry.
// Errors: CodeIdempotencyKeyReused.
func (s *Store) Remembered(ctx context.Context, by daap.Grant) (daap.Operation, bool, error) {
	var op daap.Operation
	if by.Once.Key == "" {
		return op, false, nil
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := readAnswer(ctx, tx, by, &op); err != nil {
			return err
		}
		return addAudit(ctx, tx, by.Replayed())
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return op, false, nil
	}
	return op, err == nil, because(err, "remember")
}

// Remember stores the answer of the request unless one is stored; without a key it does nothing.
func (s *Store) Remember(ctx context.Context, by daap.Grant, answer daap.Operation) error {
	if by.Once.Key == "" {
		return nil
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		claimed, err := claimKey(ctx, tx, by)
		if err != nil || !claimed {
			return err
		}
		return keepAnswer(ctx, tx, by, answer)
	})
	return because(err, "save the answer")
}

// forgetLimit bounds the removals of one call of ForgetAnswers, which keeps transactions short.
const forgetLimit = 1000

// ForgetAnswers removes some expired answers; safe to repeat.
func (s *Store) ForgetAnswers(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM idempotency_keys WHERE (team, key) IN (
			SELECT team, key FROM idempotency_keys WHERE created_at < now() - $1::interval LIMIT $2)`,
		answersLast, forgetLimit)
	return because(err, "remove expired answers")
}

func isLockTimeout(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable
}
