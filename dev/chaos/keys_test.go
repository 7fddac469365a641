//go:build chaos

package chaos

import (
	"context"
	"testing"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/dev/local"
)

// keysWrong has the object store refuse the database's keys until the operation is parked for it. It is there that they
// are made invalid: the plugin keeps what it read of the Secret for ten seconds.
func keysWrong(ctx context.Context, t *testing.T, c cell) {
	id := source.get(ctx, t)
	set := func(status string) {
		until(ctx, t, "the database's account is "+status, func(ctx context.Context) error {
			return local.SetAccounts(ctx, id, status)
		})
	}
	set(local.AccountDisabled)
	x := begin(ctx, t, c.kind, nil)
	op := x.parked(ctx, t, daap.CauseS3Denied)
	set(local.AccountEnabled)
	retry(ctx, t, op)
	x.succeeds(ctx, t)
}
