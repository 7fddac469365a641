package persistence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// answersLast is how long an answer is kept for the request that got it.
const answersLast = 24 * time.Hour

// accepted is the answer to a change of a database. Operation is nil where it took no time.
type accepted struct {
	Database  daap.Database
	Operation *daap.Operation
}

// errDryRun ends the transaction of a change that is only looked at.
var errDryRun = errors.New("dry run")

// answerOnce makes a change in one transaction and keeps its answer there, so that there is no moment at which
// one could be without the other. A request that was carried out before changes nothing and gets its answer
// again, which the audit log is told; one whose twin is under way waits for it. A change that fails leaves
// nothing, the key neither; so does one that is only a dry run. Errors: those of the change,
// CodeIdempotencyKeyReused, CodeRequestInProgress.
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
				by = by.TakesTime()
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

// claimKey takes the key for this transaction, and says whether it was free. It waits for another transaction
// that has it.
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
	_, err := tx.Exec(ctx, `UPDATE idempotency_keys SET answer = $3 WHERE team = $1 AND key = $2`,
		by.Caller.Team, by.Once.Key, answer)
	if err != nil {
		return fmt.Errorf("save the answer: %w", err)
	}
	return nil
}

// readAnswer reads what was kept for the same request; pgx.ErrNoRows when there is nothing. An answer that is out of
// the grant's scope was another key's of the same team: CodeIdempotencyKeyReused.
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
	if err := json.Unmarshal(kept, answer); err != nil {
		return fmt.Errorf("decode the saved answer: %w", err)
	}
	if !covers(by.Scope, answer) {
		return daap.KeyReused()
	}
	return nil
}

// covers says whether what the answer is about is in the scope; keys are no team's.
func covers(scope daap.Scope, answer any) bool {
	switch a := answer.(type) {
	case *accepted:
		return scope.Covers(a.Database.OwnerTeam)
	case *daap.Database:
		return scope.Covers(a.OwnerTeam)
	case *daap.Operation:
		return scope.Covers(a.OwnerTeam)
	}
	return scope == daap.EveryTeam
}

// Remembered finds the answer that was kept for the request, and says whether there was one; the audit log is told
// then. Errors: CodeIdempotencyKeyReused.
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

// Remember keeps the answer for the request, unless one is kept already; it does nothing without a key.
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

// forgetLimit bounds what one call of ForgetAnswers removes, so that no transaction grows long.
const forgetLimit = 1000

// ForgetAnswers removes some of the answers that were kept for their time; safe to repeat.
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
