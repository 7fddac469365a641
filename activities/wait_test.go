package activities

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/daap-dev/daap"
)

func TestWhyIsAskedSoonAndThenMoreAndMoreSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asked []time.Duration
		d := newDiagnosisSchedule(func(context.Context) (*daap.Cause, error) {
			asked = append(asked, time.Since(began))
			return nil, nil
		})
		for time.Since(began) < 5*time.Minute {
			d.ifDue(t.Context())
			<-time.After(time.Second) // of the test's own clock: it takes no time
		}
		if len(asked) < 7 || len(asked) > 9 || asked[0] != 5*time.Second || asked[1] != 15*time.Second {
			t.Errorf("asked at %v, want at 5 s, 15 s, 35 s … and once a minute in the end", asked)
		}
	})
}

func TestWhyThatCannotBeFoundOutIsTheCauseBeforeOrThatKubernetesIsDown(t *testing.T) {
	t.Parallel()
	quota := daap.NewCause(daap.CauseQuota, "full")
	for name, tt := range map[string]struct {
		err  error
		want daap.CauseCode
	}{
		"unknown": {errors.New("no"), daap.CauseQuota},
		"away":    {unreachableError(), daap.CauseKubernetesDown},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		d := newDiagnosisSchedule(func(context.Context) (*daap.Cause, error) { return nil, tt.err })
		d.found = &quota
		look := func(ctx context.Context) (daap.CauseCode, error) { return d.now(ctx).Code, nil }
		env.RegisterActivity(look)
		value, err := env.ExecuteActivity(look)
		if err != nil {
			t.Fatal(err)
		}
		var got daap.CauseCode
		if err := value.Get(&got); err != nil || got != tt.want {
			t.Errorf("%s: cause = %s (%v), want %s", name, got, err, tt.want)
		}
	}
}
