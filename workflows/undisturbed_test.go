package workflows_test

import (
	"sync"
	"testing"

	"github.com/daap-dev/daap"
)

// before and after return all objects before and after an undisturbed operation of the kind.
func before(t *testing.T, kind daap.OperationKind) string {
	t.Helper()
	return undisturbed(t, kind).before
}

func after(t *testing.T, kind daap.OperationKind) string {
	t.Helper()
	return undisturbed(t, kind).after
}

// around are all objects before and after an operation.
type around struct {
	once          sync.Once
	before, after string
}

// undisturbedRuns are the undisturbed operations by kind; each runs once for all tests.
var undisturbedRuns = func() map[daap.OperationKind]*around {
	all := map[daap.OperationKind]*around{}
	for kind := range kinds {
		all[kind] = &around{}
	}
	return all
}()

func undisturbed(t *testing.T, kind daap.OperationKind) *around {
	t.Helper()
	run := undisturbedRuns[kind]
	run.once.Do(func() {
		w := newWorld(t, kind)
		run.before = w.objects()
		w.run()
		run.after = w.objects()
	})
	if run.after == "" && kind.After() == daap.DatabaseReady {
		t.Fatalf("an undisturbed %s leaves nothing", kind)
	}
	return run
}
