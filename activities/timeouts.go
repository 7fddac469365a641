package activities

import (
	"time"
)

// recordTimeout bounds a write of progress to DAAP's own PostgreSQL.
const recordTimeout = 5 * time.Second

// How a wait spends its time.
const (
	// recheckInterval is how often a wait looks without an event: watches can miss, and the fence must be seen.
	recheckInterval = 5 * time.Second
	// firstDiagnosis is after how long a wait asks why; each time after waits twice as long, up to lastDiagnosis.
	firstDiagnosis = 5 * time.Second
	lastDiagnosis  = time.Minute
	// heartbeatInterval is well under the heartbeat timeout of waiting activities.
	heartbeatInterval = 5 * time.Second
	// lastWords is how long before its deadline a wait ends, to find out why and say so.
	lastWords = 6 * time.Second
	// waitAttempt is how long one attempt of a wait lasts; its step's deadline is longer and lies in the workflow.
	waitAttempt = 5 * time.Minute
)
