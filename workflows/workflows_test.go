package workflows_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/daap-dev/daap"
)

func TestEveryKindOfOperationHasItsWorkflow(t *testing.T) {
	t.Parallel()
	if have, want := slices.Sorted(maps.Keys(kinds)), daap.OperationKinds(); !slices.Equal(have, want) {
		t.Errorf("Workflows.Of has %v, want %v", have, want)
	}
}
