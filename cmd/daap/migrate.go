package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"go.uber.org/zap"

	"github.com/daap-dev/daap/cmd/internal/config"
	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/workflows"
)

// migrate brings PostgreSQL and Temporal to what this version needs.
func migrate(ctx context.Context, s service) error {
	if err := migratePostgres(ctx, s.config); err != nil {
		return fmt.Errorf("migrate PostgreSQL: %w", err)
	}
	s.log.Info("PostgreSQL is up to date.")
	temporal, namespace, err := s.temporal()
	if err != nil {
		return err
	}
	defer temporal.Close()
	waits := s.report("Temporal is slow or unavailable; the migration waits for it.")
	if err := workflows.Prepare(ctx, temporal, namespace, waits); err != nil {
		return fmt.Errorf("prepare Temporal: %w", err)
	}
	s.log.Info("Temporal is up to date.", zap.String("namespace", namespace))
	return nil
}

// migratePostgres brings the schema up to date as its owner, and gives the service's role what it needs of it.
func migratePostgres(ctx context.Context, cfg config.Config) error {
	if err := migrations.Up(ctx, cfg.Owner()); err != nil {
		return err
	}
	service, err := url.Parse(cfg.DatabaseURL)
	if err != nil {
		return errors.New("DAAP_DATABASE_URL is malformed") // the parser's own words may quote the password
	}
	if err := migrations.Grant(ctx, cfg.Owner(), service.User.Username()); err != nil {
		return err
	}
	return migrations.KeepAudit(ctx, cfg.Owner(), cfg.AuditRetention)
}
