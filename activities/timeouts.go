package activities

import "time"

// How long one call to the outside may take.
const (
	// recordTimeout bounds a write of progress to DAAP's own PostgreSQL.
	recordTimeout = 5 * time.Second
	// connectTimeout bounds a connection and one statement in a team's PostgreSQL.
	connectTimeout = 5 * time.Second
)

// How long and how often Kubernetes is asked whether it has seen a right that was given.
const (
	enterInterval = 10 * time.Millisecond
	enterTimeout  = 2 * time.Second
)

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
