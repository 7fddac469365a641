package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// nameOfTier is the unique index on the names of tiers.
const nameOfTier = "tiers_name_is_one"

const selectTiers = `
	SELECT t.id, t.name, t.description, t.instances, t.ha_replicas, t.cpu_millis, t.memory_bytes, t.storage_bytes,
	       t.storage_class, t.pg_version, t.pool_mode, t.max_connections, t.destruction_strategy, t.backup_enabled,
	       t.backup_frequency, t.backup_retention_days, t.wal_archiving_enabled, t.object_storage_destination,
	       t.deletion_protection, t.pgaudit_log, t.created_at, t.updated_at
	FROM   tiers t`

// Tier returns the tier. Errors: CodeNotFound.
func (s *Store) Tier(ctx context.Context, id uuid.UUID) (daap.Tier, error) {
	rows, _ := s.pool.Query(ctx, selectTiers+` WHERE t.id = $1`, id) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if err != nil {
		return daap.Tier{}, missing(err, "read tier", "tier")
	}
	return t, nil
}

// Tiers returns the tiers that the filter selects, newest first, at most one page.
func (s *Store) Tiers(ctx context.Context, f daap.TierFilter) ([]daap.Tier, error) {
	var w filter
	if f.Page.After != uuid.Nil {
		w.andWith(`t.id < $`, f.Page.After)
	}
	sql := selectTiers + w.where() + ` ORDER BY t.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	tiers, err := pgx.CollectRows(rows, scanTier)
	if err != nil {
		return nil, because(err, "read tiers")
	}
	return tiers, nil
}

// CreateTier records the tier. Errors: CodeNameTaken and those of answerOnce.
func (s *Store) CreateTier(ctx context.Context, by daap.Grant, t daap.Tier) (daap.Tier, error) {
	made, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		err := tx.QueryRow(ctx, `
			INSERT INTO tiers (id, name, description, instances, ha_replicas, cpu_millis, memory_bytes, storage_bytes,
			                   storage_class, pg_version, pool_mode, max_connections, destruction_strategy, backup_enabled,
			                   backup_frequency, backup_retention_days, wal_archiving_enabled, object_storage_destination,
			                   deletion_protection, pgaudit_log)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
			RETURNING created_at, updated_at`, tierColumns(t)...).Scan(&t.CreatedAt, &t.UpdatedAt)
		if err != nil {
			return t, err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO tier_usage (tier_id) VALUES ($1)`, t.ID); err != nil {
			return t, err
		}
		return t, addAudit(ctx, tx, by.Changed(theTier(t.ID), nil, tierFields(t)))
	})
	if violates(err, nameOfTier) {
		return daap.Tier{}, daap.TierNameTaken(t.Name)
	}
	return made, because(err, "create tier")
}

// PatchTier applies the patch to the locked tier. Errors: CodeNotFound, CodeValidationFailed, those of answerOnce.
func (s *Store) PatchTier(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.TierPatch, catalog daap.Catalog,
) (daap.Tier, error) {
	t, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		was, err := lockTier(ctx, tx, id)
		if err != nil {
			return was, err
		}
		t, err := patch.Apply(was, catalog)
		if err != nil {
			return t, err
		}
		err = tx.QueryRow(ctx, `
			UPDATE tiers
			SET    name = $2, description = $3, instances = $4, ha_replicas = $5, cpu_millis = $6, memory_bytes = $7,
			       storage_bytes = $8, storage_class = $9, pg_version = $10, pool_mode = $11, max_connections = $12,
			       destruction_strategy = $13, backup_enabled = $14, backup_frequency = $15, backup_retention_days = $16,
			       wal_archiving_enabled = $17, object_storage_destination = $18, deletion_protection = $19,
			       pgaudit_log = $20, updated_at = now()
			WHERE  id = $1
			RETURNING updated_at`, tierColumns(t)...).Scan(&t.UpdatedAt)
		if err != nil {
			return t, err
		}
		before, after := changed(tierFields(was), tierFields(t))
		return t, addAudit(ctx, tx, by.Changed(theTier(id), before, after))
	})
	return t, because(err, "patch tier")
}

// DeleteTier removes the tier. Errors: CodeNotFound, CodeTierInUse, those of answerOnce.
func (s *Store) DeleteTier(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Tier, error) {
	t, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Tier, error) {
		t, err := lockTier(ctx, tx, id)
		if err != nil {
			return t, err
		}
		var databases int
		err = tx.QueryRow(ctx, `
			SELECT count(*) FROM (
				SELECT id FROM databases WHERE tier_id = $1
				UNION SELECT database_id FROM reservations WHERE tier_id = $1) AS has_it`, id).Scan(&databases)
		if err != nil {
			return t, err
		}
		if databases > 0 {
			return t, daap.TierInUse(databases)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM tiers WHERE id = $1`, id); err != nil {
			return t, err
		}
		return t, addAudit(ctx, tx, by.Changed(theTier(id), tierFields(t), nil))
	})
	return t, because(err, "delete tier")
}

// theTier identifies a tier in the audit log.
func theTier(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceTier, ID: id} }

// tierFields are the fields of a tier, as in the audit log.
func tierFields(t daap.Tier) fields {
	s := t.Spec()
	return fields{
		"name": s.Name, "description": s.Description, "instances": s.Instances, "ha_replicas": s.HAReplicas,
		"cpu": s.CPU, "memory": s.Memory, "storage_size": s.StorageSize, "storage_class": s.StorageClass,
		"pg_version": s.PGVersion, "pool_mode": s.PoolMode, "max_connections": s.MaxConnections,
		"destruction_strategy": s.DestructionStrategy, "deletion_protection": s.DeletionProtection,
		"pgaudit_log":    s.PGAuditLog,
		"backup_enabled": s.BackupEnabled, "backup_frequency": s.BackupFrequency,
		"backup_retention_days": s.BackupRetentionDays,
		"wal_archiving_enabled": s.WALArchivingEnabled, "object_storage_destination": s.ObjectStorageDestination,
	}
}

// lockTier locks the tier against changes, and against new databases.
func lockTier(ctx context.Context, tx pgx.Tx, id uuid.UUID) (daap.Tier, error) {
	rows, _ := tx.Query(ctx, selectTiers+` WHERE t.id = $1 FOR UPDATE`, id) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if err != nil {
		return daap.Tier{}, missing(err, "lock tier", "tier")
	}
	return t, nil
}

// chooseTier finds the tier by its ID or its name, and prevents its deletion during the transaction. Errors:
// CodeValidationFailed if there is none.
func chooseTier(ctx context.Context, tx pgx.Tx, named string) (daap.Tier, error) {
	by, arg := `t.name = $1`, any(named)
	if id, err := uuid.Parse(named); err == nil {
		by, arg = `t.id = $1`, id
	} else if !daap.NameRule.Pattern.MatchString(named) { // PostgreSQL cannot compare text that it cannot store
		return daap.Tier{}, daap.TierNotFound()
	}
	rows, _ := tx.Query(ctx, selectTiers+` WHERE `+by+` FOR KEY SHARE`, arg) // Collect returns its error
	t, err := pgx.CollectExactlyOneRow(rows, scanTier)
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.Tier{}, daap.TierNotFound()
	}
	if err != nil {
		return daap.Tier{}, fmt.Errorf("choose tier: %w", err)
	}
	return t, nil
}

func tierColumns(t daap.Tier) []any {
	return []any{
		t.ID, t.Name, t.Description, t.Instances, t.HAReplicas, t.CPU.MilliValue(), t.Memory.Value(),
		t.StorageSize.Value(), t.StorageClass, t.PGVersion, t.PoolMode, t.MaxConnections, t.DestructionStrategy,
		t.BackupEnabled, t.BackupFrequency, t.BackupRetentionDays, t.WALArchivingEnabled, t.ObjectStorageDestination,
		t.DeletionProtection, t.PGAuditLog,
	}
}

func scanTier(row pgx.CollectableRow) (daap.Tier, error) {
	var t daap.Tier
	var cpu, memory, storage int64
	err := row.Scan(&t.ID, &t.Name, &t.Description, &t.Instances, &t.HAReplicas, &cpu, &memory, &storage,
		&t.StorageClass, &t.PGVersion, &t.PoolMode, &t.MaxConnections, &t.DestructionStrategy, &t.BackupEnabled,
		&t.BackupFrequency, &t.BackupRetentionDays, &t.WALArchivingEnabled, &t.ObjectStorageDestination,
		&t.DeletionProtection, &t.PGAuditLog, &t.CreatedAt, &t.UpdatedAt)
	t.CPU = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	t.Memory = *resource.NewQuantity(memory, resource.BinarySI)
	t.StorageSize = *resource.NewQuantity(storage, resource.BinarySI)
	return t, err
}
