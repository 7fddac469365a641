package activities

import (
	"time"
)

// recordTimeout limits a write of progress to DAAP's own PostgreSQL.
const recordTimeout = 5 * time.Second

// Times of a wait.
const (
	// recheckInterval is the time between checks without an event: a watch can miss events, and the wait must notice
	// that its operation is fenced off.
	recheckInterval = 5 * time.Second
	// firstDiagnosis is the time until a wait first asks for the cause. Each following pause is twice as long, up to
	// lastDiagnosis.
	firstDiagnosis = 5 * time.Second
	lastDiagnosis  = time.Minute
	// heartbeatInterval is well below the heartbeat timeout of waiting activities.
	heartbeatInterval = 5 * time.Second
	// finalReport is how long before its deadline a wait ends, to find and report the cause.
	finalReport = 6 * time.Second
	// waitAttempt is the length of one attempt of a wait; the workflow has the step's deadline, which is longer.
	waitAttempt = 5 * time.Minute
)
