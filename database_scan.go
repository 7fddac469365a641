package daap

import (
	"strconv"
	"time"
)

// Scan is what a database's own PostgreSQL told when it was last asked.
type Scan struct {
	// AttemptedAt is when it was last asked; zero for never. Reason is one word of why that failed, Message is for people;
	// both are empty where it did not.
	AttemptedAt     time.Time
	Reason, Message string
	// ScannedAt is when it last told of its storage and its connections, ListedAt when it last told all of its extensions;
	// nil for never. Who keeps DAAP out of a database keeps it from its extensions alone.
	ScannedAt, ListedAt *time.Time
	// UsedBytes is what is on the volume of the primary, WALBytes how much of that is WAL; zero where that is not known,
	// and then it is not in UsedBytes.
	UsedBytes, WALBytes int64
	// Connections is how many there are, MaxConnections how many there can be but for those that are reserved.
	Connections, MaxConnections int
}

// StorageFillsUpFrom is from how much of a volume on people are warned, in percent; again from almostFullFrom on. They
// are warned of connections from connectionsFrom on.
const (
	StorageFillsUpFrom = 80
	almostFullFrom     = 90
	connectionsFrom    = 90
)

// StorageState says how full the volume of a database is.
type StorageState string

// The states of storage.
const (
	StorageOK         StorageState = "ok"
	StorageFillingUp  StorageState = "filling_up"
	StorageAlmostFull StorageState = "almost_full"
	StorageUnknown    StorageState = "unknown"
)

// StorageStates returns all states of storage.
func StorageStates() []StorageState {
	return []StorageState{StorageOK, StorageFillingUp, StorageAlmostFull, StorageUnknown}
}

// Storage says how full the volume of a database of the profile is; unknown where nobody was told for too long.
func (s Scan) Storage(p Profile, now time.Time) StorageState {
	used := percent(s.UsedBytes, p.StorageSize.Value())
	switch {
	case !believed(s.ScannedAt, now) || p.StorageSize.Sign() <= 0:
		return StorageUnknown
	case used >= almostFullFrom:
		return StorageAlmostFull
	case used >= StorageFillsUpFrom:
		return StorageFillingUp
	}
	return StorageOK
}

// ExtensionsState says what a list of a database's extensions is worth.
type ExtensionsState string

// The states of a list of extensions.
const (
	ExtensionsFresh ExtensionsState = "fresh"
	ExtensionsStale ExtensionsState = "stale"
	ExtensionsNever ExtensionsState = "never"
)

// ExtensionsStates returns all states of a list of extensions.
func ExtensionsStates() []ExtensionsState {
	return []ExtensionsState{ExtensionsFresh, ExtensionsStale, ExtensionsNever}
}

// Extensions says what the list of extensions is worth, and why it is not fresh in one word and for people; both are
// empty where it is.
func (s Scan) Extensions(now time.Time) (state ExtensionsState, reason, message string) {
	scanned := s.extensionsScanned(now)
	switch {
	case s.ListedAt == nil:
		return ExtensionsNever, scanned.Reason, scanned.Message
	case scanned.Status == ConditionTrue:
		return ExtensionsFresh, "", ""
	}
	return ExtensionsStale, scanned.Reason, scanned.Message
}

// ScanBelievedSince is from when on a scan must be to be fresh now.
func ScanBelievedSince(now time.Time) time.Time { return now.Add(-scanBelievedFor) }

// believed says whether what was told at the time is still believed.
func believed(at *time.Time, now time.Time) bool {
	return at != nil && !at.Before(ScanBelievedSince(now))
}

// conditions are what the scan tells of a database of the profile.
func (s Scan) conditions(p Profile, now time.Time) Conditions {
	storage, connections := ConditionStorageHeadroom, ConditionConnectionHeadroom
	told := s.extensionsScanned(now)
	switch {
	case s.ScannedAt == nil:
		return Conditions{storage.neverScanned(), connections.neverScanned(), told}
	case !believed(s.ScannedAt, now):
		return Conditions{storage.staleScan(), connections.staleScan(), told}
	}
	return Conditions{s.storageHeadroom(p, now), s.connectionHeadroom(), told}
}

// storageHeadroom is of a scan that is believed.
func (s Scan) storageHeadroom(p Profile, now time.Time) Condition {
	c, size := ConditionStorageHeadroom, p.StorageSize.Value()
	wal := "the share of WAL is unknown"
	if s.WALBytes > 0 {
		wal = percentText(s.WALBytes, size) + " is WAL"
	}
	const full = "%s of the volume of %s is used; %s. Change the database to a tier with more storage with PATCH " +
		"/databases/{id}."
	used, volume := percentText(s.UsedBytes, size), p.StorageSize.String()
	switch s.Storage(p, now) {
	case StorageAlmostFull:
		return c.is(ConditionFalse, "AlmostFull", full+" PostgreSQL stops when the volume is full.", used, volume, wal)
	case StorageFillingUp:
		return c.is(ConditionFalse, "FillingUp", full, used, volume, wal)
	case StorageOK:
		return c.is(ConditionTrue, "AsExpected", "")
	default:
		return c.is(ConditionUnknown, "SizeUnknown", "The size of the volume is unknown.")
	}
}

// connectionHeadroom is of a scan that is believed.
func (s Scan) connectionHeadroom() Condition {
	c, used := ConditionConnectionHeadroom, percent(int64(s.Connections), int64(s.MaxConnections))
	if s.MaxConnections <= 0 {
		return c.is(ConditionUnknown, "LimitUnknown", "The connection limit is unknown.")
	}
	return c.wellIf(used < connectionsFrom, "FewLeft",
		"%s of the %d client connections are in use. Connect through the pool, close idle connections, or change the "+
			"database to a tier with more connections with PATCH /databases/{id}.",
		percentText(int64(s.Connections), int64(s.MaxConnections)), s.MaxConnections)
}

// extensionsScanned says whether all extensions are known.
func (s Scan) extensionsScanned(now time.Time) Condition {
	c := ConditionExtensionsScanned
	switch {
	case s.AttemptedAt.IsZero():
		return c.neverScanned()
	case !believed(&s.AttemptedAt, now):
		return c.staleScan()
	}
	return c.wellIf(s.Reason == "", s.Reason, "%s", s.Message)
}

func (t ConditionType) neverScanned() Condition {
	return t.is(ConditionUnknown, "NeverScanned", "PostgreSQL has reported nothing yet.")
}

func (t ConditionType) staleScan() Condition {
	return t.is(ConditionUnknown, "Stale", "PostgreSQL has reported nothing for %d minutes.",
		int(scanBelievedFor.Minutes()))
}

// percent is how much of the whole the part is, 0 where there is no whole. It is rounded down, so that what is told of
// it and what is made of it agree.
func percent(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(float64(part) * 100 / float64(whole))
}

// percentText is percent for people: it does not change with each byte.
func percentText(part, whole int64) string { return strconv.Itoa(percent(part, whole)) + " %" }
