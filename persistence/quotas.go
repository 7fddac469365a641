package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const selectQuota = `
	SELECT q.max_cpu_cores, q.max_memory_gib, q.max_storage_gib, q.max_databases,
	       u.cpu_millis, u.memory_bytes, u.storage_bytes, u.databases
	FROM   tier_usage u
	LEFT   JOIN tier_quotas q ON q.tier_id = u.tier_id
	WHERE  u.tier_id = $1`

// TierQuota returns the tier's quota and its use. Errors: CodeNotFound.
func (s *Store) TierQuota(ctx context.Context, id uuid.UUID) (daap.QuotaUse, error) {
	use, err := readQuota(ctx, s.pool, id)
	if err != nil {
		return daap.QuotaUse{}, missing(err, "read quota", "tier")
	}
	return use, nil
}

func readQuota(ctx context.Context, q querier, tier uuid.UUID) (daap.QuotaUse, error) {
	var use daap.QuotaUse
	err := q.QueryRow(ctx, selectQuota, tier).Scan(
		&use.MaxCPUCores, &use.MaxMemoryGiB, &use.MaxStorageGiB, &use.MaxDatabases,
		&use.Used.CPUMillis, &use.Used.MemoryBytes, &use.Used.StorageBytes, &use.Used.Databases)
	return use, err
}

// SetTierQuota sets the tier's quota. Errors: CodeNotFound, those of answerOnce.
func (s *Store) SetTierQuota(
	ctx context.Context, by daap.Grant, id uuid.UUID, quota daap.Quota,
) (daap.QuotaUse, error) {
	use, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.QuotaUse, error) {
		if _, err := lockTier(ctx, tx, id); err != nil {
			return daap.QuotaUse{}, err
		}
		was, err := readQuota(ctx, tx, id)
		if err != nil {
			return was, err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO tier_quotas (tier_id, max_cpu_cores, max_memory_gib, max_storage_gib, max_databases)
			VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tier_id) DO UPDATE
			SET max_cpu_cores = $2, max_memory_gib = $3, max_storage_gib = $4, max_databases = $5`,
			id, quota.MaxCPUCores, quota.MaxMemoryGiB, quota.MaxStorageGiB, quota.MaxDatabases)
		if err != nil {
			return was, err
		}
		is := daap.QuotaUse{Quota: quota, Used: was.Used}
		before, after := changed(quotaFields(was.Quota), quotaFields(quota))
		return is, addAudit(ctx, tx, by.Changed(theTier(id), before, after))
	})
	return use, because(err, "set quota")
}

func quotaFields(q daap.Quota) fields {
	return fields{
		"max_cpu_cores": q.MaxCPUCores, "max_memory_gib": q.MaxMemoryGiB, "max_storage_gib": q.MaxStorageGiB,
		"max_databases": q.MaxDatabases,
	}
}

// reserve takes the requested amount from the tier's quota for the operation. It comes last in its transaction, because
// other requests for the tier wait for it. A dimension without a request always fits. Errors: CodeQuotaExceeded.
func reserve(ctx context.Context, tx pgx.Tx, tier daap.Tier, op daap.Operation, asked daap.Cost) error {
	taken, err := tx.Exec(ctx, addUse+`
		AND (q.max_cpu_cores   IS NULL OR $2::bigint = 0 OR u.cpu_millis    + $2 <= q.max_cpu_cores * 1000)
		AND (q.max_memory_gib  IS NULL OR $3::bigint = 0 OR u.memory_bytes  + $3 <= q.max_memory_gib * 1073741824)
		AND (q.max_storage_gib IS NULL OR $4::bigint = 0 OR u.storage_bytes + $4 <= q.max_storage_gib * 1073741824)
		AND (q.max_databases   IS NULL OR $5::bigint = 0 OR u.databases     + $5 <= q.max_databases)`,
		tier.ID, asked.CPUMillis, asked.MemoryBytes, asked.StorageBytes, asked.Databases)
	if err != nil {
		return fmt.Errorf("reserve quota: %w", err)
	}
	if taken.RowsAffected() == 0 {
		use, err := readQuota(ctx, tx, tier.ID)
		if err != nil {
			return fmt.Errorf("read the exceeded quota: %w", err)
		}
		return use.Exceeded(tier.Name, asked)
	}
	return insertReservation(ctx, tx, tier, op, asked)
}

// addUse adds $2 to $5 to the use of tier $1.
const addUse = `
	UPDATE tier_usage u
	SET    cpu_millis = u.cpu_millis + $2::bigint, memory_bytes = u.memory_bytes + $3::bigint,
	       storage_bytes = u.storage_bytes + $4::bigint, databases = u.databases + $5::bigint
	FROM   tiers t LEFT JOIN tier_quotas q ON q.tier_id = t.id
	WHERE  u.tier_id = $1 AND t.id = u.tier_id`

// keep is reserve for what the database already uses, regardless of the limits.
func keep(ctx context.Context, tx pgx.Tx, tier daap.Tier, op daap.Operation, has daap.Cost) error {
	_, err := tx.Exec(ctx, addUse, tier.ID, has.CPUMillis, has.MemoryBytes, has.StorageBytes, has.Databases)
	if err != nil {
		return fmt.Errorf("read the reservation of the database: %w", err)
	}
	return insertReservation(ctx, tx, tier, op, has)
}

func insertReservation(ctx context.Context, tx pgx.Tx, tier daap.Tier, op daap.Operation, cost daap.Cost) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO reservations (operation_id, database_id, tier_id, cpu_millis, memory_bytes, storage_bytes, databases)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		op.ID, op.DatabaseID, tier.ID, cost.CPUMillis, cost.MemoryBytes, cost.StorageBytes, cost.Databases)
	if err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	return nil
}

// reserveMore reserves the increase in quota use by the operation, such as an unfreeze. Errors: CodeQuotaExceeded.
func reserveMore(ctx context.Context, tx pgx.Tx, db daap.Database, op daap.Operation) error {
	before, after := op.Cost(db.Profile)
	more := after.ExcessOver(before)
	if more == (daap.Cost{}) {
		return nil
	}
	return reserve(ctx, tx, daap.Tier{ID: *db.TierID, Name: db.Tier}, op, more)
}

// keepAfter records the database's quota use after the operation, if it differs. A new database counts since its
// request, and a deleted one no longer counts.
func keepAfter(ctx context.Context, tx pgx.Tx, op daap.Operation) error {
	db, err := readDatabase(ctx, tx, daap.EveryTeam, op.DatabaseID)
	if err != nil {
		return err
	}
	before, after := op.Cost(db.Profile)
	if op.Kind.Makes() || after == before || after == (daap.Cost{}) {
		return nil
	}
	if err := release(ctx, tx, reservationsOf{database: op.DatabaseID}); err != nil {
		return err
	}
	return keep(ctx, tx, daap.Tier{ID: *db.TierID}, op, after)
}

// reservationsOf selects the reservations of a database, or the one of an operation.
type reservationsOf struct{ database, operation uuid.UUID }

// release returns reservations to the quotas. Safe to repeat. It locks the counters in order of their tiers, so that
// two transactions cannot deadlock.
func release(ctx context.Context, tx pgx.Tx, of reservationsOf) error {
	_, err := tx.Exec(ctx, `
		SELECT FROM tier_usage
		WHERE  tier_id IN (SELECT tier_id FROM reservations WHERE database_id = $1 OR operation_id = $2)
		ORDER  BY tier_id FOR UPDATE`, of.database, of.operation)
	if err != nil {
		return fmt.Errorf("lock what is used: %w", err)
	}
	_, err = tx.Exec(ctx, `
		WITH freed AS (
			DELETE FROM reservations WHERE database_id = $1 OR operation_id = $2
			RETURNING tier_id, cpu_millis, memory_bytes, storage_bytes, databases
		), sums AS (
			SELECT tier_id, sum(cpu_millis) AS cpu, sum(memory_bytes) AS memory, sum(storage_bytes) AS storage,
			       sum(databases) AS databases
			FROM   freed GROUP BY tier_id
		)
		UPDATE tier_usage u
		SET    cpu_millis = u.cpu_millis - s.cpu, memory_bytes = u.memory_bytes - s.memory,
		       storage_bytes = u.storage_bytes - s.storage, databases = u.databases - s.databases
		FROM   sums s WHERE u.tier_id = s.tier_id`, of.database, of.operation)
	if err != nil {
		return fmt.Errorf("release the reservation: %w", err)
	}
	return nil
}

// reserved reads each database's reservation in its tier's quota.
func (s *Store) reserved(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Cost, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT d.id, sum(r.cpu_millis)::bigint, sum(r.memory_bytes)::bigint, sum(r.storage_bytes)::bigint,
		       sum(r.databases)::bigint
		FROM   databases d
		JOIN   reservations r ON r.database_id = d.id AND r.tier_id = d.tier_id
		WHERE  d.id = ANY ($1) GROUP BY d.id`, ids) // ForEachRow returns its error
	all := make(map[uuid.UUID]daap.Cost, len(ids))
	var id uuid.UUID
	var c daap.Cost
	_, err := pgx.ForEachRow(rows, []any{&id, &c.CPUMillis, &c.MemoryBytes, &c.StorageBytes, &c.Databases}, func() error {
		all[id] = c
		return nil
	})
	return all, err
}

// CheckQuotas compares the tiers' counters with the reservations, and the reservations with the databases, including
// those that are changing to the tier. A mismatch is a fault of the service and returned as an ErrQuotaDrift that names
// the tiers.
func (s *Store) CheckQuotas(ctx context.Context) error {
	rows, _ := s.pool.Query(ctx, `
		SELECT t.name FROM tiers t
		JOIN   tier_usage u ON u.tier_id = t.id
		LEFT   JOIN LATERAL (
			SELECT COALESCE(sum(cpu_millis), 0) AS cpu, COALESCE(sum(memory_bytes), 0) AS memory,
			       COALESCE(sum(storage_bytes), 0) AS storage, COALESCE(sum(databases), 0) AS databases
			FROM   reservations r WHERE r.tier_id = t.id) r ON true
		WHERE  (u.cpu_millis, u.memory_bytes, u.storage_bytes, u.databases)
		       IS DISTINCT FROM (r.cpu, r.memory, r.storage, r.databases)
		OR     u.databases <> (SELECT count(*) FROM databases d WHERE d.tier_id = t.id)
		       + (SELECT count(*) FROM operations o JOIN databases d ON d.id = o.database_id
		          WHERE  o.tier IS NOT NULL AND o.state IN `+openStates+`
		          AND    (o.tier ->> 'id')::uuid = t.id AND d.tier_id <> t.id)
		ORDER  BY t.name`) // Collect returns its error
	drifted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return because(err, "check quotas")
	}
	if len(drifted) > 0 {
		return fmt.Errorf("%w: those of tiers %v", daap.ErrQuotaDrift, drifted)
	}
	return nil
}
