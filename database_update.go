package daap

import (
	"fmt"
	"maps"
	"slices"
)

// Has says whether the database has all of the tier as that is now.
func (db Database) Has(t Tier) bool {
	return db.TierID != nil && *db.TierID == t.ID && db.Tier == t.Name && len(db.Profile.difference(t.Profile)) == 0
}

// With is the database with all of the tier.
func (db Database) With(t Tier) Database {
	db.Tier, db.TierID, db.Profile = t.Name, &t.ID, t.Profile
	return db
}

// CheckTier says why the database cannot get the tier, as an Error of CodeValidationFailed; nil where it can. The
// reasons are CloudNativePG's: volumes only grow and stay where they are, and PostgreSQL does not go back.
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

// Toward is what of the profile to comes first: all that can be changed back. Volumes do not shrink and PostgreSQL
// does not go back, so both wait; and commits do not wait for standbys that are not there yet.
func (p Profile) Toward(to Profile) Profile {
	first := to
	first.StorageSize, first.PGVersion = p.StorageSize, p.PGVersion
	first.HAReplicas = min(p.HAReplicas, to.HAReplicas)
	return first
}

// Restarts says whether PostgreSQL has to be started anew for the profile to. Clients of the pool lose their
// connections in any case: with a tier, its PgBouncer is replaced.
func (p Profile) Restarts(to Profile) bool {
	return slices.ContainsFunc(p.difference(to), func(c FieldChange) bool { return restarting[c.Field] })
}

// restarting are the fields that PostgreSQL or its pod takes up by a start alone; shared_buffers follow the memory, and
// what archives is a container beside PostgreSQL's.
var restarting = map[string]bool{
	"cpu": true, "memory": true, "max_connections": true, "pg_version": true, "backup_enabled": true,
}

// FieldChange is one field of what is changed, as people read it; nil is where there is none.
type FieldChange struct {
	Field    string
	From, To *string
}

// shown is a field as people read it.
type shown struct{ field, value string }

// difference is what is another in the profile to.
func (p Profile) difference(to Profile) []FieldChange { return changes(p.shown(), to.shown()) }

// shown are all fields of the profile, by the names that tiers have for them.
func (p Profile) shown() []shown {
	return []shown{
		{"instances", fmt.Sprint(p.Instances)},
		{"ha_replicas", fmt.Sprint(p.HAReplicas)},
		{"cpu", p.CPU.String()},
		{"memory", p.Memory.String()},
		{"storage_size", p.StorageSize.String()},
		{"storage_class", p.StorageClass},
		{"pg_version", p.PGVersion},
		{"pool_mode", string(p.PoolMode)},
		{"max_connections", fmt.Sprint(p.MaxConnections)},
		{"destruction_strategy", string(p.DestructionStrategy)},
		{"pgaudit_log", p.PGAuditText()},
		{"backup_enabled", fmt.Sprint(p.BackupEnabled)},
		{"backup_frequency", p.BackupFrequency},
		{"backup_retention_days", fmt.Sprint(p.BackupRetentionDays)},
		{"wal_archiving_enabled", fmt.Sprint(p.WALArchivingEnabled)},
		{"object_storage_destination", p.ObjectStorageDestination},
	}
}

// shown are all that is promised, by the names that the API has for it.
func (g Guarantees) shown() []shown {
	return []shown{
		{"high_availability", g.HighAvailability},
		{"connections", g.Connections},
		{"storage", g.Storage},
		{"backups", g.Backups},
		{"deletion", g.Deletion},
	}
}

// shown are what a request may change of the database. A product team is shown what it is promised, and nothing of
// the infrastructure.
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

// changes are the fields that are others than before, gone or new, in their order.
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

// Preview is what a request would change, were it no dry run.
type Preview struct {
	// Operation is the kind of the one that would carry it out; empty where nothing takes time.
	Operation OperationKind
	// Restarts says whether PostgreSQL would be started anew.
	Restarts bool
	Changes  []FieldChange
	// Quotas are those of the tiers of which more or less would be used.
	Quotas []QuotaEffect
}

// QuotaEffect is a tier's quota as it stands, and what would be used of it then.
type QuotaEffect struct {
	Tier string
	Now  QuotaUse
	Then Cost
}

// After is the quota with what would be used of it.
func (e QuotaEffect) After() QuotaUse { return QuotaUse{Quota: e.Now.Quota, Used: e.Then} }
