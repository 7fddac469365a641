package migrations

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// rights are the final privileges of the service's role, whatever it had before. It can write rows but create nothing,
// not even a temporary table. It can only append to the audit log and to events, so a compromised service cannot change
// their past. Tables without a line of their own allow all four kinds of access; privileges that are not used are
// revoked.
var rights = []string{
	`REVOKE CREATE, TEMPORARY ON DATABASE $database FROM PUBLIC, $role`,
	`REVOKE CREATE ON SCHEMA public FROM PUBLIC, $role`,
	`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, $role`,
	`GRANT CONNECT ON DATABASE $database TO $role`,
	`GRANT USAGE ON SCHEMA public TO $role`,
	`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO $role`,
	`REVOKE UPDATE, DELETE ON audit_log, audit_chain, events FROM $role`,
	`REVOKE UPDATE ON audit_unsealed, reservations FROM $role`,
	`REVOKE DELETE ON api_keys, backup_states, database_health, database_scans, databases, operation_steps, operations,
	 tier_quotas, tier_usage FROM $role`,
	`REVOKE ALL ON audit_retention, goose_db_version FROM $role`,
	`GRANT EXECUTE ON FUNCTION audit_forget(integer) TO $role`,
}

// Grant gives the role what the service needs of the schema that belongs to the URL's user, and takes from it, and
// from everyone, what is beyond. It does nothing where both are the same: the service may do everything then. Any
// number of processes may run it at once and again.
func Grant(ctx context.Context, ownerURL, role string) error {
	return asOwner(ctx, ownerURL, func(tx pgx.Tx) error {
		var owner, database string
		if err := tx.QueryRow(ctx, `SELECT current_user, current_database()`).Scan(&owner, &database); err != nil {
			return fmt.Errorf("read the owner: %w", err)
		}
		if role == owner || role == "" {
			return nil
		}
		names := strings.NewReplacer("$role", quoted(role), "$database", quoted(database))
		for _, right := range rights {
			if _, err := tx.Exec(ctx, names.Replace(right)); err != nil {
				return fmt.Errorf("grant privileges to role %s: %w", role, err)
			}
		}
		return nil
	})
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// KeepAudit sets how long entries of the audit log are kept: a day or longer. Safe to repeat.
func KeepAudit(ctx context.Context, ownerURL string, keep time.Duration) error {
	return asOwner(ctx, ownerURL, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO audit_retention (keep) VALUES ($1)
			ON CONFLICT (only_row) DO UPDATE SET keep = excluded.keep`, keep)
		if err != nil {
			return fmt.Errorf("set the retention of the audit log: %w", err)
		}
		return nil
	})
}

// asOwner makes a change in one transaction as the user of the URL, one process at a time and none while another
// migrates: PostgreSQL refuses grants that meet.
func asOwner(ctx context.Context, ownerURL string, change func(pgx.Tx) error) error {
	cfg, err := parse(ownerURL)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect as the owner: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, sessionLock); err != nil {
			return fmt.Errorf("wait for other migrations: %w", err)
		}
		return change(tx)
	})
}
