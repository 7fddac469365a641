package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// keyCache is notified of changed keys.
type keyCache interface {
	// Trust means that changes are received from now on, Distrust that they no longer are.
	Trust()
	Distrust()
	// Evict means that the key changed.
	Evict(id uuid.UUID)
}

const (
	// A half-open connection is detected after quietFor and pingTimeout.
	quietFor = 3 * time.Second
	// The delay before the next attempt to listen; it doubles each time.
	firstListen = 100 * time.Millisecond
	lastListen  = 2 * time.Second
)

// FollowAPIKeys notifies the cache of rotated and revoked keys until ctx is done, on its own connection. While it
// cannot, it calls Distrust, passes the error to report and retries.
func (s *Store) FollowAPIKeys(ctx context.Context, cache keyCache, report func(error)) {
	pause := firstListen
	for ctx.Err() == nil {
		began := time.Now()
		err := s.listen(ctx, cache)
		cache.Distrust()
		if ctx.Err() != nil {
			return
		}
		report(fmt.Errorf("listen for changes of API keys: %w", err))
		if time.Since(began) > lastListen {
			pause = firstListen
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastListen)
	}
}

// listen notifies the cache of changes until the connection is lost.
func (s *Store) listen(ctx context.Context, cache keyCache) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
		defer cancel()
		_ = conn.Close(closing) // it may already be lost
	}()
	beginning, cancel := context.WithTimeout(ctx, connectTimeout)
	_, err = conn.Exec(beginning, `LISTEN `+keyChanges)
	cancel()
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	cache.Trust()
	for {
		if err := s.next(ctx, conn, cache); err != nil {
			return err
		}
	}
}

// next waits for a change, and pings the connection if none arrives.
func (s *Store) next(ctx context.Context, conn *pgx.Conn, cache keyCache) error {
	quiet, cancel := context.WithTimeout(ctx, quietFor)
	change, err := conn.WaitForNotification(quiet)
	cancel()
	if err == nil {
		id, err := uuid.Parse(change.Payload)
		if err != nil {
			return fmt.Errorf("notification %q is not a key", change.Payload)
		}
		cache.Evict(id)
		return nil
	}
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("wait: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := conn.Ping(ping); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}
