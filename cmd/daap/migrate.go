package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/workflows"
)

// prepareTimeout bounds what is asked of Temporal.
const prepareTimeout = time.Minute

// migrate brings PostgreSQL and Temporal to what this version needs.
func migrate(ctx context.Context, s service) error {
	if err := migrations.Up(ctx, s.config.DatabaseURL); err != nil {
		return fmt.Errorf("migrate PostgreSQL: %w", err)
	}
	s.log.Info("PostgreSQL is up to date.")
	temporal, namespace, err := s.temporal()
	if err != nil {
		return err
	}
	defer temporal.Close()
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := workflows.Prepare(ctx, temporal, namespace); err != nil {
		return fmt.Errorf("prepare Temporal: %w", err)
	}
	s.log.Info("Temporal is up to date.", zap.String("namespace", namespace))
	return nil
}
