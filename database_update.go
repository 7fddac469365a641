package daap

import (
	"fmt"
	"maps"
	"slices"
)

// Has reports whether the database has the tier in its current definition.
func (db Database) Has(t Tier) bool {
	return db.TierID != nil && *db.TierID == t.ID && db.Tier == t.Name && len(db.Profile.difference(t.Profile)) == 0
}

// With returns the database with the tier.
func (db Database) With(t Tier) Database {
	db.Tier, db.TierID, db.Profile = t.Name, &t.ID, t.Profile
	return db
}

// CheckTier explains why the database cannot change to the tier, as an Error of CodeValidationFailed; nil if it can.
// The limits are CloudNativePG's: volumes only grow and cannot move, and PostgreSQL cannot be downgraded.
func (db Database) CheckTier(t Tier) error {
	var c checks
	was, is := db.Profile, t.Profile
	if is.StorageSize.Cmp(was.StorageSize) < 0 {
		c.fail("tier", "has %s of storage, less than the database's %s; volumes cannot shrink",
			is.StorageSize.String(), was.StorageSize.String())
	}
	if is.StorageClass != was.StorageClass {
		c.fail("tier", "has another storage class than the database; volumes cannot be moved")
	}
	switch {
	case was.BackupEnabled && !is.BackupEnabled:
		c.fail("tier", "has no backups, but the database has; the change would end them")
	case was.BackupEnabled && is.ObjectStorageDestination != was.ObjectStorageDestination:
		c.fail("tier", "stores backups in another location than the database; existing backups cannot be moved")
	}
	if compareVersions(is.PGVersion, was.PGVersion) < 0 {
		c.fail("tier", "has PostgreSQL %s, older than the database's %s; PostgreSQL cannot be downgraded",
			is.PGVersion, was.PGVersion)
	}
	return c.err()
}

// ReversiblePart returns the reversible part of the change to profile to. Growing volumes and upgrading PostgreSQL are
// irreversible and wait; commits do not wait for standbys that do not exist yet.
func (p Profile) ReversiblePart(to Profile) Profile {
	first := to
	first.StorageSize, first.PGVersion = p.StorageSize, p.PGVersion
	first.HAReplicas = min(p.HAReplicas, to.HAReplicas)
	return first
}

// Restarts reports whether PostgreSQL must restart for the profile to. Pool clients always lose their connections: a
// tier change replaces PgBouncer.
func (p Profile) Restarts(to Profile) bool {
	return slices.ContainsFunc(tierFields, func(f tierField) bool { return f.restarts && f.text(p) != f.text(to) })
}

// FieldChange is one changed field in display form; nil means no value.
type FieldChange struct {
	Field    string
	From, To *string
}

// shown is a field in display form.
type shown struct{ field, value string }

// difference returns the fields that differ in the profile to.
func (p Profile) difference(to Profile) []FieldChange { return changes(p.shown(), to.shown()) }

// shown are the fields of the profile in which databases differ, as people read them.
func (p Profile) shown() []shown {
	var all []shown
	for _, f := range tierFields {
		if !f.initial {
			all = append(all, shown{f.name, f.text(p)})
		}
	}
	return all
}

// shown returns all guarantees, named as in the API.
func (g Guarantees) shown() []shown {
	return []shown{
		{"high_availability", g.HighAvailability},
		{"connections", g.Connections},
		{"storage", g.Storage},
		{"backups", g.Backups},
		{"deletion", g.Deletion},
	}
}

// shown returns the fields of the database that a request can change. A product team sees the guarantees instead of
// infrastructure details.
func (db Database) shown(to Scope) []shown {
	all := []shown{
		{"name", db.Name},
		{"owner_team", db.OwnerTeam},
		{"tier", db.Tier},
		{"description", db.Description},
		{"deletion_protection", fmt.Sprint(db.DeletionProtection)},
	}
	for _, key := range slices.Sorted(maps.Keys(db.Labels)) {
		all = append(all, shown{"labels." + key, db.Labels[key]})
	}
	if _, limited := to.Team(); limited {
		return append(all, db.Profile.Guarantees().shown()...)
	}
	return append(all, db.Profile.shown()...)
}

// changes returns the fields that differ, are gone or are new, in order.
func changes(was, is []shown) []FieldChange {
	var all []FieldChange
	for _, f := range is {
		from := find(was, f.field)
		if from == nil || *from != f.value {
			all = append(all, FieldChange{f.field, from, &f.value})
		}
	}
	for _, f := range was {
		if find(is, f.field) == nil {
			all = append(all, FieldChange{f.field, &f.value, nil})
		}
	}
	return all
}

func find(all []shown, field string) *string {
	for _, f := range all {
		if f.field == field {
			return &f.value
		}
	}
	return nil
}

// Preview is the effect of a request, returned for a dry run.
type Preview struct {
	// Operation is the kind of the operation that would carry out the request; empty if the change takes no time.
	Operation OperationKind
	// Restarts reports whether PostgreSQL would restart.
	Restarts bool
	Changes  []FieldChange
	// Quotas are the tiers' quotas whose use would change.
	Quotas []QuotaEffect
}

// QuotaEffect is a tier's quota now, and its use after the request.
type QuotaEffect struct {
	Tier string
	Now  QuotaUse
	Then Cost
}

// After returns the quota with the use after the request.
func (e QuotaEffect) After() QuotaUse { return QuotaUse{Quota: e.Now.Quota, Used: e.Then} }
