//go:build chaos

package chaos

import (
	"context"
	"testing"

	"github.com/daap-dev/daap/api/oas"
)

// killedWhileAsked kills something and asks for the operation at that moment. Without Temporal the first request is
// accepted all the same; of the API and PostgreSQL it is asked until somebody answers, and makes one operation.
func killedWhileAsked(ctx context.Context, t *testing.T, c cell) {
	r := requestOf(ctx, t, c.kind)
	asked := 0
	counted := func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		asked++
		return r(ctx)
	}
	s := newStrike(victimOf(c.fault))
	harm <- struct{}{}
	sent := make(chan struct{})
	go func() { //nolint:contextcheck // the harm is done whatever becomes of the request
		defer close(sent)
		s.strike()
	}()
	if c.fault == "temporal" {
		<-sent // it is certainly down
	}
	x := ask(ctx, t, counted, nil)
	<-sent
	s.prove(ctx, t)
	if c.fault == "temporal" && asked != 1 {
		t.Errorf("the operation was asked for %d times until it was accepted, want once", asked)
	}
	x.succeedsOnce(ctx, t, r, c)
}

// succeedsOnce sends the same request again: it answers as before, and the operation is the only one of its kind.
func (x *experiment) succeedsOnce(ctx context.Context, t *testing.T, r request, c cell) {
	t.Helper()
	again := insist(ctx, t, "ask again", r)
	if got := again.Response.Meta.OperationID; got != x.operation {
		t.Errorf("the same request made operation %s, and before %s", got, x.operation)
	}
	if made := count(ctx, t, `SELECT count(*) FROM operations WHERE database_id = $1 AND kind = $2`,
		x.database, c.kind); made != 1 {
		t.Errorf("the request made %d operations of kind %s, want one", made, c.kind)
	}
	x.succeeds(ctx, t)
}
