package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/daap-dev/daap"
)

// answersLast is how long an answer is kept.
const answersLast = 24 * time.Hour

// errDryRun discards the changes of a dry run.
var errDryRun = errors.New("dry run")

// requestKey names a request: each team has idempotency keys of its own.
type requestKey struct{ team, key string }

// answer is the kept answer to a request.
type answer struct {
	once   daap.Once
	at     time.Time
	answer any
}

// accepted is the answer to a change of a database. op is nil where the change takes no time.
type accepted struct {
	db daap.Database
	op *daap.Operation
}

func (a accepted) both(err error) (daap.Database, daap.Operation, error) {
	if err != nil {
		return daap.Database{}, daap.Operation{}, err
	}
	return a.db, *a.op, nil
}

// once makes a change and keeps its answer. A repeated request changes nothing and gets the kept answer.
func once[T any](ctx context.Context, s *Store, by daap.Grant, make func(r *rows) (T, error)) (T, error) {
	var result T
	err := s.change(ctx, func(r *rows) error {
		named := by.Once.Key != "" && !by.DryRun
		if named {
			kept, found, err := kept[T](r, by)
			if err != nil || found {
				result = kept
				return err
			}
		}
		var err error
		if result, err = make(r); err != nil {
			return err
		}
		if by.DryRun {
			return errDryRun
		}
		if named {
			r.answers[requestKey{by.Caller.Team, by.Once.Key}] = answer{by.Once, r.now, result}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		var none T
		return none, err
	}
	return result, nil
}

// kept returns the answer that is kept for the request, and records in the audit log that it was given again.
func kept[T any](r *rows, by daap.Grant) (result T, found bool, err error) {
	kept, found := r.answers[requestKey{by.Caller.Team, by.Once.Key}]
	if !found || kept.at.Before(r.now.Add(-answersLast)) {
		return result, false, nil
	}
	if kept.once.Request != by.Once.Request || !covers(by.Scope, kept.answer) {
		return result, false, daap.KeyReused()
	}
	result, is := kept.answer.(T)
	if !is {
		return result, false, fmt.Errorf("the kept answer is a %T, not a %T", kept.answer, result)
	}
	if a, is := kept.answer.(accepted); is && a.op != nil {
		by = by.AsAccepted()
	}
	r.log(by.Replayed())
	return result, true, nil
}

// covers reports whether the subject of an answer is in the scope. Tiers and keys belong to no team.
func covers(scope daap.Scope, answer any) bool {
	switch a := answer.(type) {
	case accepted:
		return scope.Covers(a.db.OwnerTeam)
	case daap.Operation:
		return scope.Covers(a.OwnerTeam)
	}
	return scope == daap.EveryTeam
}

// Remembered returns the answer that is kept for the request, and whether there is one.
func (s *Store) Remembered(ctx context.Context, by daap.Grant) (op daap.Operation, found bool, err error) {
	if by.Once.Key == "" {
		return op, false, nil
	}
	err = s.change(ctx, func(r *rows) (err error) {
		op, found, err = kept[daap.Operation](r, by)
		return err
	})
	return op, found, err
}

// Remember keeps the answer for the request, unless one is kept already.
func (s *Store) Remember(ctx context.Context, by daap.Grant, op daap.Operation) error {
	if by.Once.Key == "" {
		return nil
	}
	return s.change(ctx, func(r *rows) error {
		key := requestKey{by.Caller.Team, by.Once.Key}
		if was, found := r.answers[key]; !found || was.at.Before(r.now.Add(-answersLast)) {
			r.answers[key] = answer{by.Once, r.now, op}
		}
		return nil
	})
}

// ForgetAnswers removes answers that have been kept for their time.
func (s *Store) ForgetAnswers(ctx context.Context) error {
	return s.change(ctx, func(r *rows) error {
		maps.DeleteFunc(r.answers, func(_ requestKey, a answer) bool { return a.at.Before(r.now.Add(-answersLast)) })
		return nil
	})
}
