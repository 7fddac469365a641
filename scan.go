package daap

import "time"

// Scan is what a database's own PostgreSQL told when it was last asked.
type Scan struct {
	// AttemptedAt is when it was last asked; zero for never. Reason is one word of why that failed, Message is for people;
	// both are empty where it did not.
	AttemptedAt     time.Time
	Reason, Message string
	// ScannedAt is when it last answered, of which all else is; nil for never.
	ScannedAt *time.Time
	// UsedBytes is what is on the volume of the primary, WALBytes how much of that is WAL.
	UsedBytes, WALBytes int64
	// Connections is how many clients are connected, MaxConnections how many can be.
	Connections, MaxConnections int
}

// conditions are what the scan tells of a database of the profile.
func (s Scan) conditions(p Profile, now time.Time) Conditions {
	return nil
}
