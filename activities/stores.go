package activities

import (
	"context"
	"sync"

	"github.com/daap-dev/daap"
)

// stores says of each bucket whether it answers, and asks it once: who looks at many databases waits once for what is
// away.
type stores struct {
	buckets buckets
	mu      sync.Mutex
	asked   map[string]func() error
}

func newStores(buckets buckets) *stores {
	return &stores{buckets: buckets, asked: map[string]func() error{}}
}

// away is why nothing can be archived where the database's backups are; nil where that answers.
func (s *stores) away(ctx context.Context, db daap.Database) error {
	if s.buckets == nil {
		return noStore()
	}
	bucket, _ := bucketOf(db.Destination())
	s.mu.Lock()
	ask, is := s.asked[bucket]
	if !is {
		ask = sync.OnceValue(func() error { return s.buckets.Reach(ctx, bucket) })
		s.asked[bucket] = ask
	}
	s.mu.Unlock()
	return ask()
}
