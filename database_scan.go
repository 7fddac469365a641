package daap

import (
	"strconv"
	"time"
)

// Scan is the result of the last scan of a database's own PostgreSQL.
type Scan struct {
	// AttemptedAt is when the last scan ran; zero if none did. If it failed, Reason is the reason in one word, and Message
	// is for people; both are empty otherwise.
	AttemptedAt     time.Time
	Reason, Message string
	// ScannedAt is when storage and connections were last read, ListedAt when all extensions were; nil for never. If an
	// owner denies DAAP access to a PostgreSQL database, only its extensions are missing.
	ScannedAt, ListedAt *time.Time
	// UsedBytes is the use of the primary's volume, WALBytes the part that is WAL; zero if unknown, in which case
	// UsedBytes does not include it.
	UsedBytes, WALBytes int64
	// Connections is the number of client connections, MaxConnections their maximum without reserved ones.
	Connections, MaxConnections int
}

// StorageFillsUpFrom is the volume usage, in percent, at which StorageHeadroom becomes False; at almostFullFrom its
// reason changes. ConnectionHeadroom becomes False at connectionsFrom.
const (
	StorageFillsUpFrom = 80
	almostFullFrom     = 90
	connectionsFrom    = 90
)

// StorageState describes how full the volume of a database is.
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

// Storage returns how full the volume of a database with the profile is; unknown if the scan is too old.
func (s Scan) Storage(p Profile, now time.Time) StorageState {
	used := percent(s.UsedBytes, p.StorageSize.Value())
	switch {
	case !isFresh(s.ScannedAt, now) || p.StorageSize.Sign() <= 0:
		return StorageUnknown
	case used >= almostFullFrom:
		return StorageAlmostFull
	case used >= StorageFillsUpFrom:
		return StorageFillingUp
	}
	return StorageOK
}

// ExtensionsState describes how current a list of extensions is.
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

// Extensions returns how current the list of extensions is, and why it is not fresh: in one word and for people, both
// empty if it is.
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

// ScanValidSince returns the oldest time of a scan that counts as fresh now.
func ScanValidSince(now time.Time) time.Time { return now.Add(-scanValidFor) }

// isFresh reports whether a scan at the time counts as fresh now.
func isFresh(at *time.Time, now time.Time) bool {
	return at != nil && !at.Before(ScanValidSince(now))
}

// conditions returns the conditions that the scan determines for a database with the profile.
func (s Scan) conditions(p Profile, now time.Time) Conditions {
	storage, connections := ConditionStorageHeadroom, ConditionConnectionHeadroom
	told := s.extensionsScanned(now)
	switch {
	case s.ScannedAt == nil:
		return Conditions{storage.neverScanned(), connections.neverScanned(), told}
	case !isFresh(s.ScannedAt, now):
		return Conditions{storage.staleScan(), connections.staleScan(), told}
	}
	return Conditions{s.storageHeadroom(p, now), s.connectionHeadroom(), told}
}

// storageHeadroom requires a fresh scan.
func (s Scan) storageHeadroom(p Profile, now time.Time) Condition {
	c, size := ConditionStorageHeadroom, p.StorageSize.Value()
	wal := "the share of WAL is unknown"
	if s.WALBytes > 0 {
		wal = percentText(s.WALBytes, size) + " is WAL"
	}
	const full = "%s of the volume of %s is used; %s. Use PATCH /databases/{id} to change the database to a tier with " +
		"more storage."
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

// connectionHeadroom requires a fresh scan.
func (s Scan) connectionHeadroom() Condition {
	c, used := ConditionConnectionHeadroom, percent(int64(s.Connections), int64(s.MaxConnections))
	if s.MaxConnections <= 0 {
		return c.is(ConditionUnknown, "LimitUnknown", "The connection limit is unknown.")
	}
	return c.wellIf(used < connectionsFrom, "FewLeft",
		"%s of the %d client connections are in use. Connect through the pool, close idle connections, or use PATCH "+
			"/databases/{id} to change the database to a tier with more connections.",
		percentText(int64(s.Connections), int64(s.MaxConnections)), s.MaxConnections)
}

// extensionsScanned reports whether all extensions are known.
func (s Scan) extensionsScanned(now time.Time) Condition {
	c := ConditionExtensionsScanned
	switch {
	case s.AttemptedAt.IsZero():
		return c.neverScanned()
	case !isFresh(&s.AttemptedAt, now):
		return c.staleScan()
	}
	return c.wellIf(s.Reason == "", s.Reason, "%s", s.Message)
}

func (t ConditionType) neverScanned() Condition {
	return t.is(ConditionUnknown, "NeverScanned", "PostgreSQL has reported nothing yet.")
}

func (t ConditionType) staleScan() Condition {
	return t.is(ConditionUnknown, "Stale", "PostgreSQL has reported nothing for %d minutes.",
		int(scanValidFor.Minutes()))
}

// percent returns the part of the whole in percent, 0 if the whole is 0. It rounds down, so that the displayed value
// and the comparison agree.
func percent(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(float64(part) * 100 / float64(whole))
}

// percentText returns percent for people; it does not change with every byte.
func percentText(part, whole int64) string { return strconv.Itoa(percent(part, whole)) + " %" }
