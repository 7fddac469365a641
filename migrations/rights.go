package migrations

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// rights are what the service's role gets, in this order. It may read and write all, but of the audit log only add:
// what is written there stays, whatever becomes of the service.
var rights = []string{
	`GRANT USAGE ON SCHEMA public TO $role`,
	`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO $role`,
	`REVOKE UPDATE, DELETE, TRUNCATE ON audit_log, audit_chain FROM $role`,
	`REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON audit_retention, goose_db_version FROM $role`,
	`GRANT EXECUTE ON FUNCTION audit_forget(integer) TO $role`,
}

// Grant gives the role what the service needs of the schema that belongs to the URL's user, and takes from it what
// it may have had beyond. It does nothing where both are the same: the service may do everything then. Safe to
// repeat.
func Grant(ctx context.Context, ownerURL, role string) error {
	return asOwner(ctx, ownerURL, func(tx pgx.Tx) error {
		var owner string
		if err := tx.QueryRow(ctx, `SELECT current_user`).Scan(&owner); err != nil {
			return fmt.Errorf("read who the owner is: %w", err)
		}
		if role == owner || role == "" {
			return nil
		}
		quoted := pgx.Identifier{role}.Sanitize()
		for _, right := range rights {
			if _, err := tx.Exec(ctx, strings.ReplaceAll(right, "$role", quoted)); err != nil {
				return fmt.Errorf("give role %s its rights: %w", role, err)
			}
		}
		return nil
	})
}

// KeepAudit sets how long entries of the audit log are kept. Safe to repeat.
func KeepAudit(ctx context.Context, ownerURL string, keep time.Duration) error {
	return asOwner(ctx, ownerURL, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE audit_retention SET keep = $1 WHERE keep <> $1`, keep); err != nil {
			return fmt.Errorf("set how long the audit log is kept: %w", err)
		}
		return nil
	})
}

// asOwner makes a change in one transaction as the user of the URL.
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
	return pgx.BeginFunc(ctx, conn, change)
}
