package daap

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// tierField is one field of a Profile with all that is fixed about it. tierFields has a row for each: validation, merge
// patches, previews, the audit log, the API and the rows in PostgreSQL go by that list.
type tierField struct {
	// name is the field's name in the API, in the audit log and in PostgreSQL. Rows that are stored have it: it never
	// changes.
	name string
	// get returns the value in the form that JSON has: a number, a boolean, a text or a list of texts.
	get func(Profile) any
	// set takes the value from JSON. Its error completes a sentence that begins with the name.
	set func(*Profile, []byte) error
	// check returns why the value is not allowed, as the end of a sentence that begins with the name; empty if it
	// is. It rewrites a value that can be written in several ways in the one way that is stored. Nil takes any value.
	check func(*Profile, Catalog) string
	// restarts says that PostgreSQL or its pod must restart to get another value.
	restarts bool
	// initial says that a database only begins with the value, and has one of its own from then on.
	initial bool
}

// Names of the fields that need more than their row.
const (
	fieldBackupEnabled = "backup_enabled"
	fieldDestination   = "object_storage_destination"
	fieldDescription   = "description" // of the tier itself
)

// tierFields are all fields of a Profile, in the order in which people read them. shared_buffers follow the memory, and
// a container beside PostgreSQL's archives WAL: both need a restart.
var tierFields = []tierField{
	field("instances", func(p *Profile) *int { return &p.Instances }, checkInstances),
	field("ha_replicas", func(p *Profile) *int { return &p.HAReplicas }, checkHAReplicas),
	restarting(quantity("cpu", func(p *Profile) *resource.Quantity { return &p.CPU }, cpuBound)),
	restarting(quantity("memory", func(p *Profile) *resource.Quantity { return &p.Memory }, memoryBound)),
	quantity("storage_size", func(p *Profile) *resource.Quantity { return &p.StorageSize }, storageBound),
	field("storage_class", func(p *Profile) *string { return &p.StorageClass }, checkStorageClass),
	restarting(field("pg_version", func(p *Profile) *string { return &p.PGVersion }, checkPGVersion)),
	field("pool_mode", func(p *Profile) *PoolMode { return &p.PoolMode }, checkPoolMode),
	restarting(field("max_connections", func(p *Profile) *int { return &p.MaxConnections }, checkMaxConnections)),
	field("destruction_strategy", func(p *Profile) *DestructionStrategy { return &p.DestructionStrategy }, checkStrategy),
	initially(field("deletion_protection", func(p *Profile) *bool { return &p.DeletionProtection }, nil)),
	pgAuditLog(),
	restarting(field(fieldBackupEnabled, func(p *Profile) *bool { return &p.BackupEnabled }, checkBackupEnabled)),
	field("backup_frequency", func(p *Profile) *string { return &p.BackupFrequency }, checkFrequency),
	field("backup_retention_days", func(p *Profile) *int { return &p.BackupRetentionDays }, checkRetention),
	field("wal_archiving_enabled", func(p *Profile) *bool { return &p.WALArchivingEnabled }, checkWALArchiving),
	field(fieldDestination, func(p *Profile) *string { return &p.ObjectStorageDestination }, checkDestination),
}

// field is the row of a field that JSON has as Go does.
func field[T any](name string, at func(*Profile) *T, check func(*Profile, Catalog) string) tierField {
	return tierField{
		name:  name,
		check: check,
		get:   func(p Profile) any { return *at(&p) },
		set: func(p *Profile, raw []byte) error {
			var value T
			if err := json.Unmarshal(raw, &value); err != nil {
				return fmt.Errorf("must be a value of type %T", value)
			}
			*at(p) = value
			return nil
		},
	}
}

// quantity is the row of a quantity, which JSON has as Kubernetes writes it.
func quantity(name string, at func(*Profile) *resource.Quantity, within bound) tierField {
	return tierField{
		name: name,
		get:  func(p Profile) any { return at(&p).String() },
		set: func(p *Profile, raw []byte) error {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil || !plainQuantity.MatchString(text) {
				return errors.New(within.text)
			}
			q, err := resource.ParseQuantity(text)
			if err != nil {
				return errors.New(within.text)
			}
			*at(p) = q
			return nil
		},
		check: func(p *Profile, _ Catalog) string {
			q := at(p)
			if q.Cmp(within.min) < 0 || q.Cmp(within.max) > 0 {
				return within.text
			}
			*q = within.whole(*q)
			return ""
		},
	}
}

// pgAuditLog is the row of the classes that pgAudit logs. A profile without any has those that are always logged.
func pgAuditLog() tierField {
	f := field("pgaudit_log", func(p *Profile) *[]PGAuditClass { return &p.PGAuditLog }, checkPGAudit)
	f.get = func(p Profile) any { return p.pgAuditClasses() }
	return f
}

func restarting(f tierField) tierField {
	f.restarts = true
	return f
}

func initially(f tierField) tierField {
	f.initial = true
	return f
}

// text is the field's value as people read it.
func (f tierField) text(p Profile) string {
	switch value := f.get(p).(type) {
	case []PGAuditClass:
		return joined(value)
	default:
		return fmt.Sprint(value)
	}
}

// TierFields returns the names of all fields of a Profile, in the order in which people read them.
func TierFields() []string {
	names := make([]string, 0, len(tierFields))
	for _, f := range tierFields {
		names = append(names, f.name)
	}
	return names
}

// Values returns all fields of the profile by their names, each in the form that JSON has: a number, a boolean, a text
// or a list of texts.
func (p Profile) Values() map[string]any {
	values := make(map[string]any, len(tierFields))
	for _, f := range tierFields {
		values[f.name] = f.get(p)
	}
	return values
}

// ProfileOf returns the profile that has the values, which are those of Values in JSON. A field without a value stays
// empty and an unknown name is ignored: rows may be of an earlier or a later version. It returns an error for a value
// of another kind than the field's, and checks no rule.
func ProfileOf(values map[string]json.RawMessage) (Profile, error) {
	var p Profile
	for _, f := range tierFields {
		raw, given := values[f.name]
		if !given {
			continue
		}
		if err := f.set(&p, raw); err != nil {
			return Profile{}, fmt.Errorf("read profile: %s %w", f.name, err)
		}
	}
	return p, nil
}

func checkInstances(p *Profile, _ Catalog) string {
	if p.Instances < 1 || p.Instances > MaxInstances {
		return fmt.Sprintf("must be a whole number from 1 to %d", MaxInstances)
	}
	return ""
}

func checkHAReplicas(p *Profile, _ Catalog) string {
	if p.HAReplicas < 0 || p.HAReplicas >= max(1, p.Instances) {
		return "must be a whole number from 0 to one less than instances"
	}
	return ""
}

func checkStorageClass(p *Profile, _ Catalog) string {
	if p.StorageClass != "" && (len(p.StorageClass) > maxDNSName || !dnsName.MatchString(p.StorageClass)) {
		return "must be the name of a Kubernetes storage class, or empty for the platform's default"
	}
	return ""
}

func checkPGVersion(p *Profile, offered Catalog) string {
	if _, known := offered[p.PGVersion]; !known {
		return "must be a version that the platform offers: " + strings.Join(offered.Versions(), ", ")
	}
	return ""
}

func checkPoolMode(p *Profile, _ Catalog) string {
	if !slices.Contains(PoolModes(), p.PoolMode) {
		return "must be session or transaction"
	}
	return ""
}

func checkMaxConnections(p *Profile, _ Catalog) string {
	if p.MaxConnections < MinMaxConnections || p.MaxConnections > MaxMaxConnections {
		return fmt.Sprintf("must be a whole number from %d to %d", MinMaxConnections, MaxMaxConnections)
	}
	return ""
}

func checkStrategy(p *Profile, _ Catalog) string {
	switch {
	case !slices.Contains(DestructionStrategies(), p.DestructionStrategy):
		return "must be freeze, archive or hard_delete"
	case p.DestructionStrategy == StrategyArchive && !p.BackupEnabled:
		return "must not be archive if backup_enabled is false: there would be no archive"
	}
	return ""
}
