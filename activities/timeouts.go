package activities

import "time"

// How long one call to the outside may take.
const (
	// recordTimeout bounds a write of progress to DAAP's own PostgreSQL.
	recordTimeout = 5 * time.Second
	// connectTimeout bounds a session with a team's PostgreSQL, from the connection to the last statement.
	connectTimeout = 5 * time.Second
	// scanTimeout bounds all sessions with one team's PostgreSQL that ask what it has. It is well under the heartbeat
	// timeout of what asks.
	scanTimeout = 30 * time.Second
	// roleTimeout is how long one try waits for the worker's role in a PostgreSQL, and rolePoll how often it looks.
	roleTimeout, rolePoll = 10 * time.Second, 200 * time.Millisecond
	// clientsTimeout is how long one try waits for the connections of clients to end, and clientsPoll how often it looks.
	clientsTimeout, clientsPoll = 2 * time.Second, 50 * time.Millisecond
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
