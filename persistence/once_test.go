package persistence_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func once(key string, request byte) daap.Grant {
	by := everyone
	by.Once = daap.Once{Key: key, Request: [32]byte{request}}
	return by
}

func (s suite) TheSameRequestMakesOneDatabaseAndGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := newDatabase(t, "shop", "orders")
	first, firstOp, err := f.CreateDatabase(t.Context(), once("a", 1), db, nil, op)
	f.must(err)
	again, anotherOp := newDatabase(t, "shop", "orders")
	second, secondOp, err := f.CreateDatabase(t.Context(), once("a", 1), again, nil, anotherOp)
	f.must(err)
	want(t, "database", second, first)
	want(t, "operation", secondOp, firstOp)
	all, err := f.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Page: daap.Page{Limit: 10}})
	f.must(err)
	want(t, "databases", len(all), 1)
}

func (s suite) AKeyIsRefusedForAnotherRequest(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := newDatabase(t, "shop", "orders")
	_, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, nil, op)
	f.must(err)
	other, otherOp := newDatabase(t, "shop", "carts")
	_, _, err = f.CreateDatabase(t.Context(), once("a", 2), other, nil, otherOp)
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
	_, err = f.patch(t.Context(), once("a", 3), db.ID, daap.DatabasePatch{})
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
	_, _, err = f.Remembered(t.Context(), once("a", 4))
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
}

func (s suite) ARefusedRequestLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.created("shop", "orders")
	db, op := newDatabase(t, "shop", "orders")
	_, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, nil, op)
	wantCode(t, err, daap.CodeNameTaken)
	db.Name = "carts"
	_, _, err = f.CreateDatabase(t.Context(), once("a", 2), db, nil, op)
	f.must(err)
}

func (s suite) TwinsAtOnceAreOneRequest(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	const twins = 8
	ids := make([]uuid.UUID, twins)
	dbs, ops := make([]daap.Database, twins), make([]daap.Operation, twins)
	for i := range twins {
		dbs[i], ops[i] = newDatabase(t, "shop", "orders")
	}
	for _, err := range atOnce(t.Context(), twins, func(ctx context.Context, i int) error {
		db, _, err := f.CreateDatabase(ctx, once("a", 1), dbs[i], nil, ops[i])
		ids[i] = db.ID
		return err
	}) {
		f.must(err)
	}
	for _, id := range ids {
		want(t, "database", id, ids[0])
	}
}

func TestATwinThatTakesTooLongIsInProgress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx, err := f.pool.Begin(t.Context())
	f.must(err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `INSERT INTO idempotency_keys (team, key, request, answer) VALUES ('platform', 'a', $1, 'null')`, make([]byte, 32))
	f.must(err)
	db, op := newDatabase(t, "shop", "orders")
	_, _, err = f.CreateDatabase(t.Context(), once("a", 0), db, nil, op)
	wantCode(t, err, daap.CodeRequestInProgress)
}

func TestAnAnswerIsForgottenAfterADay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, op := f.created("shop", "orders")
	f.must(f.Remember(t.Context(), once("old", 1), op))
	f.must(f.Remember(t.Context(), once("older", 1), op))
	f.must(f.Remember(t.Context(), once("new", 1), op))
	got, found, err := f.Remembered(t.Context(), once("old", 1))
	f.must(err)
	want(t, "found within the day", found, true)
	want(t, "answer", got.ID, op.ID)

	f.exec(`UPDATE idempotency_keys SET created_at = created_at - interval '25 h' WHERE key <> 'new'`)
	_, found, err = f.Remembered(t.Context(), once("old", 1))
	f.must(err)
	want(t, "found after a day", found, false)
	f.must(f.Remember(t.Context(), once("old", 2), op)) // its key is free for another request
	f.must(f.ForgetAnswers(t.Context()))
	var left int
	f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FROM idempotency_keys`).Scan(&left))
	want(t, "answers left", left, 2)
}

func (s suite) AKeyIsFreeForAnotherRequestAfterADay(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.created("shop", "orders")
	f.must(f.Remember(t.Context(), once("a", 1), op))
	f.must(f.Remember(t.Context(), once("a", 1), daap.Operation{})) // the first answer stays
	got, found, err := f.Remembered(t.Context(), once("a", 1))
	f.must(err)
	want(t, "found within the day", found, true)
	want(t, "answer", got.ID, op.ID)
	f.pass(25 * time.Hour)
	_, found, err = f.Remembered(t.Context(), once("a", 1))
	f.must(err)
	want(t, "found after a day", found, false)
	f.must(f.Remember(t.Context(), once("a", 2), op))
	f.must(f.ForgetAnswers(t.Context()))
	_, found, err = f.Remembered(t.Context(), once("a", 2))
	f.must(err)
	want(t, "found again", found, true)
}
