package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// BackUpDatabase takes a base backup of a database that stays ready. When cancelled, it abandons the backup.
func (w Workflows) BackUpDatabase(ctx workflow.Context, in Input) error {
	var (
		backups *activities.Backups
		rows    *activities.Records
	)
	return w.run(ctx, daap.BackUpDatabase, in, []step{
		{name: daap.StepBackup, do: backups.BackUpNow, undo: backups.Forget, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
