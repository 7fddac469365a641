package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Fleet summarizes all databases that are not deleted and their open operations at one moment.
type Fleet struct {
	// Databases is their number.
	Databases int
	ByStatus  map[DatabaseStatus]int
	// ByHealth counts running databases.
	ByHealth map[DatabaseHealth]FleetHealth
	// ByTier and ByPGVersion are sorted by name, ByTeam by the number of databases, descending, with at most
	// MaxFleetTeams.
	ByTier, ByTeam, ByPGVersion []FleetGroup
	// Open are the open operations by kind; Parked are those that need attention, by cause.
	Open   []OpenOperations
	Parked []ParkedOperations
	Sweep  FleetSweep
}

// FleetGroup is the number of databases with the same tier, team or PostgreSQL version.
type FleetGroup struct {
	Name      string
	Databases int
}

// FleetHealth is the number of databases with a health, and the one that has had it for the longest time.
type FleetHealth struct {
	Databases int
	// Oldest is nil for HealthHealthy. A database without an observation counts from its creation.
	Oldest *OldestDatabase
}

// OldestDatabase is the database that has had its health for the longest time.
type OldestDatabase struct {
	ID    uuid.UUID
	Since time.Time
}

// OpenOperations are the open operations of one kind.
type OpenOperations struct {
	Kind OperationKind
	// The number in each of the states.
	Pending, Running, NeedsAttention, Cancelling int
	Oldest                                       OldestOperation
}

// Operations is the total number.
func (o OpenOperations) Operations() int {
	return o.Pending + o.Running + o.NeedsAttention + o.Cancelling
}

// ParkedOperations are the operations that need attention for one cause.
type ParkedOperations struct {
	Cause      CauseCode
	Operations int
	Oldest     OldestOperation
}

// OldestOperation is the operation that was created first.
type OldestOperation struct {
	ID        uuid.UUID
	CreatedAt time.Time
}

// FleetSweep describes when running databases were last checked.
type FleetSweep struct {
	// LastAt is the most recent check of any database, FirstAt the last check of the database that was checked the longest
	// ago; both are nil before the first check.
	LastAt, FirstAt *time.Time
	// Databases is the number of running databases, Late the number that was not checked for SweepLate.
	Databases, Late int
}

// SweepLate is the time without a check after which a database is late: checks run every minute.
const SweepLate = 2 * time.Minute

// MaxFleetTeams bounds Fleet.ByTeam to the teams with the most databases.
const MaxFleetTeams = 1000

// fleetStore counts databases and operations.
type fleetStore interface {
	// Fleet counts all databases that are not deleted and all open operations at one moment.
	Fleet(ctx context.Context, now time.Time) (Fleet, error)
}

// Fleet returns the summary of all databases. Errors: CodeUnauthenticated, CodeForbidden.
func (d *Databases) Fleet(ctx context.Context, req Request) (Fleet, error) {
	if _, err := req.authorize(MayGetFleet); err != nil {
		return Fleet{}, err
	}
	return d.store.Fleet(ctx, time.Now())
}
