package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// BackUpDatabase takes a base backup of a database that stays ready. When cancelled, it abandons the backup.
func (w Workflows) BackUpDatabase(ctx workflow.Context, in Input) error {
	var (
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.BackUpDatabase, in, []step{
		{name: daap.StepBackup, do: steps.TakeBaseBackup, undo: steps.DeleteBackupObjects, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
