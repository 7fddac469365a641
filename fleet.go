package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Fleet is how all databases that are not deleted are doing, and what works on them, at one moment.
type Fleet struct {
	// Databases is how many there are.
	Databases int
	ByStatus  map[DatabaseStatus]int
	// ByHealth is of the databases that run.
	ByHealth map[DatabaseHealth]FleetHealth
	// ByTier and ByPGVersion are in order of their names, ByTeam has those with the most databases first, at most
	// MaxFleetTeams.
	ByTier, ByTeam, ByPGVersion []FleetGroup
	// Open are the operations that are not over, by kind; Parked those of them that need attention, by cause.
	Open   []OpenOperations
	Parked []ParkedOperations
	Sweep  FleetSweep
}

// FleetGroup is how many databases have a tier, a team or a version of PostgreSQL in common.
type FleetGroup struct {
	Name      string
	Databases int
}

// FleetHealth is how many databases are of a health, and which one has been so for the longest time.
type FleetHealth struct {
	Databases int
	// Oldest is nil for HealthHealthy. One that nobody has looked at yet is so since it was asked for.
	Oldest *OldestDatabase
}

// OldestDatabase is a database that has been as it is for longer than all others that are so.
type OldestDatabase struct {
	ID    uuid.UUID
	Since time.Time
}

// OpenOperations are the operations of one kind that are not over.
type OpenOperations struct {
	Kind OperationKind
	// How many are in each of the states.
	Pending, Running, NeedsAttention, Cancelling int
	Oldest                                       OldestOperation
}

// Operations is how many there are.
func (o OpenOperations) Operations() int {
	return o.Pending + o.Running + o.NeedsAttention + o.Cancelling
}

// ParkedOperations are the operations that need attention for one cause.
type ParkedOperations struct {
	Cause      CauseCode
	Operations int
	Oldest     OldestOperation
}

// OldestOperation is the one of several that was asked for first.
type OldestOperation struct {
	ID        uuid.UUID
	CreatedAt time.Time
}

// FleetSweep is when the databases that run were looked at.
type FleetSweep struct {
	// LastAt is the last look at any of them, FirstAt the last look at the one that was not looked at for the longest
	// time; both are nil where nobody has looked.
	LastAt, FirstAt *time.Time
	// Databases is how many run, Late how many of them nobody has looked at for SweepLate.
	Databases, Late int
}

// SweepLate is after which time without a look a database is late: looks come each minute.
const SweepLate = 2 * time.Minute

// MaxFleetTeams bounds Fleet.ByTeam to the teams with the most databases.
const MaxFleetTeams = 1000

// fleetStore counts.
type fleetStore interface {
	// Fleet counts all databases that are not deleted and all operations that are open, as they are at one moment.
	Fleet(ctx context.Context, now time.Time) (Fleet, error)
}

// Fleet returns how all databases are doing. Errors: CodeUnauthenticated, CodeForbidden.
func (d *Databases) Fleet(ctx context.Context, req Request) (Fleet, error) {
	if _, err := req.authorize(MayGetFleet); err != nil {
		return Fleet{}, err
	}
	return d.store.Fleet(ctx, time.Now())
}
