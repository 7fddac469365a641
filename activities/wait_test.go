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

func TestDiagnosisRunsSoonAndThenLessOften(t *testing.T) {
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
			<-time.After(time.Second) // by the test's own clock, which takes no real time
		}
		if len(asked) < 7 || len(asked) > 9 || asked[0] != 5*time.Second || asked[1] != 15*time.Second {
			t.Errorf("diagnosed at %v, want at 5 s, 15 s, 35 s … and finally once a minute", asked)
		}
	})
}

func TestFailedDiagnosisKeepsTheCauseOrReportsKubernetes(t *testing.T) {
	t.Parallel()
	quota := daap.NewCause(daap.CauseQuota, "full")
	for name, tt := range map[string]struct {
		err  error
		want daap.CauseCode
	}{
		"unknown":     {errors.New("no"), daap.CauseQuota},
		"unreachable": {unreachableError(), daap.CauseKubernetesDown},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		d := newDiagnosisSchedule(func(context.Context) (*daap.Cause, error) { return nil, tt.err })
		d.found = &quota
		diagnose := func(ctx context.Context) (daap.CauseCode, error) { return d.now(ctx).Code, nil }
		env.RegisterActivity(diagnose)
		value, err := env.ExecuteActivity(diagnose)
		if err != nil {
			t.Fatal(err)
		}
		var got daap.CauseCode
		if err := value.Get(&got); err != nil || got != tt.want {
			t.Errorf("%s: cause = %s (%v), want %s", name, got, err, tt.want)
		}
	}
}
