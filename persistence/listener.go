package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// keyCache is told of keys that have changed.
type keyCache interface {
	// Trust says that changes are told of from now on, Distrust that they are not any more.
	Trust()
	Distrust()
	// Evict says that the key has changed.
	Evict(id uuid.UUID)
}

const (
	// A connection that is half open is found after quietFor and pingTimeout.
	quietFor = 3 * time.Second
	// Between two tries to listen it waits this long, then twice as long each time.
	firstListen = 100 * time.Millisecond
	lastListen  = 2 * time.Second
)

// FollowAPIKeys tells the cache of keys that are rotated and revoked, until ctx is done, on a connection of its own.
// While it cannot, it says so to the cache, gives the error to report and tries again.
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

// listen tells the cache of changes until the connection is lost.
func (s *Store) listen(ctx context.Context, cache keyCache) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
		defer cancel()
		_ = conn.Close(closing) // it may be lost already
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

// next waits for one change, or looks whether the connection is still there where none comes.
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
