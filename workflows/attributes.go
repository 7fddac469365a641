package workflows

import (
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
)

// Search attributes by which people find workflows. They contain only IDs, names and short words: they are stored in
// plain text, and one that is too long would fail the workflow.
var (
	attributeDatabaseID = temporal.NewSearchAttributeKeyKeyword("DaapDatabaseId")
	attributeTeam       = temporal.NewSearchAttributeKeyKeyword("DaapTeam")
	attributeState      = temporal.NewSearchAttributeKeyKeyword("DaapState")
	attributeStep       = temporal.NewSearchAttributeKeyKeyword("DaapStep")
	attributeErrorType  = temporal.NewSearchAttributeKeyKeyword("DaapErrorType")
)

// SearchAttributes returns every search attribute with its type; a namespace must have them before any
// workflow starts in it.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	all := map[string]enumspb.IndexedValueType{}
	for _, key := range []temporal.SearchAttributeKeyKeyword{
		attributeDatabaseID, attributeTeam, attributeState, attributeStep, attributeErrorType,
	} {
		all[key.GetName()] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return all
}

// startAttributes returns the attributes of an operation that begins.
func startAttributes(op daap.Operation) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		attributeDatabaseID.ValueSet(op.DatabaseID.String()),
		attributeTeam.ValueSet(op.OwnerTeam),
		attributeState.ValueSet(string(op.OnTheWay())),
	)
}

func markParked(ctx workflow.Context, at daap.StepName, cause daap.Cause) error {
	err := workflow.UpsertTypedSearchAttributes(ctx,
		attributeState.ValueSet(string(daap.OperationNeedsAttention)),
		attributeStep.ValueSet(string(at)),
		attributeErrorType.ValueSet(string(cause.Code)),
	)
	if err != nil {
		return fmt.Errorf("mark the workflow as parked: %w", err)
	}
	return nil
}

// markOnTheWay records that the operation continues.
func (r *runner) markOnTheWay(ctx workflow.Context) error {
	state := daap.OnTheWay(r.cancelling)
	err := workflow.UpsertTypedSearchAttributes(ctx,
		attributeState.ValueSet(string(state)), attributeStep.ValueUnset(), attributeErrorType.ValueUnset())
	if err != nil {
		return fmt.Errorf("mark the workflow as %s: %w", state, err)
	}
	return nil
}

// Versions of the commands of a run: an operation that began under an earlier version stays with it.
const (
	// takesBack: a cancelled run rolls back; before, it ended where it was.
	takesBack = "takes-back"
	// showsEnd: the search attributes record the end of a run.
	showsEnd = "shows-end"
)

// markEnd records how the operation ended.
func markEnd(ctx workflow.Context, end daap.OperationState) error {
	if workflow.GetVersion(ctx, showsEnd, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, attributeState.ValueSet(string(end))); err != nil {
		return fmt.Errorf("mark the workflow as %s: %w", end, err)
	}
	return nil
}
