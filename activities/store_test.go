package activities

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/daap-dev/daap/activities/objectstore"
)

// store is an object store that has every bucket, or fails.
type store struct {
	mu  sync.Mutex
	err error
	// asked are the requested buckets, listed is the number of listings, reached the number of checks of a bucket.
	asked           []string
	listed, reached int
	// objects are the objects by bucket and name.
	objects map[string]objectstore.Object
	// info are the contents of objects.
	info map[string]string
}

// put adds an object that was written at that time.
func (s *store) put(name string, size int64, at time.Time) {
	if s.objects == nil {
		s.objects = map[string]objectstore.Object{}
	}
	s.objects[name] = objectstore.Object{Size: size, Modified: at}
}

func (s *store) EnsureBucket(_ context.Context, bucket string) error {
	s.asked = append(s.asked, bucket)
	return s.err
}

func (s *store) Reach(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached++
	return s.err
}

func (s *store) Count(ctx context.Context, bucket, prefix string) (objectstore.Removed, error) {
	objects, err := s.Objects(ctx, bucket, prefix)
	var there objectstore.Removed
	for _, object := range objects {
		there.Objects, there.Bytes = there.Objects+1, there.Bytes+object.Size
	}
	return there, err
}

func (s *store) AbortUploads(context.Context, string, string) error { return s.err }

// removedBySome is the number of objects per removal; tests have more.
const removedBySome = 3

func (s *store) RemoveSome(_ context.Context, bucket, prefix string, which func(string) bool) (objectstore.Removed, error) {
	var removed objectstore.Removed
	for name, object := range s.objects {
		under, is := strings.CutPrefix(name, bucket+"/"+prefix)
		if !is || !which(under) || removed.Objects == removedBySome {
			continue
		}
		delete(s.objects, name)
		removed.Objects, removed.Bytes = removed.Objects+1, removed.Bytes+object.Size
	}
	return removed, s.err
}

func (s *store) Objects(_ context.Context, bucket, prefix string) (map[string]objectstore.Object, error) {
	s.listed++
	found := map[string]objectstore.Object{}
	for name, object := range s.objects {
		if under, is := strings.CutPrefix(name, bucket+"/"+prefix); is {
			found[under] = object
		}
	}
	return found, s.err
}

func (s *store) Prefixes(ctx context.Context, bucket, prefix string) ([]string, error) {
	objects, err := s.Objects(ctx, bucket, prefix)
	first := map[string]bool{}
	var all []string
	for name := range objects {
		part, _, more := strings.Cut(name, "/")
		if more && !first[part] {
			all = append(all, part)
		}
		first[part] = true
	}
	return all, err
}

func (s *store) Read(_ context.Context, bucket, name string) ([]byte, error) {
	return []byte(s.info[bucket+"/"+name]), s.err
}
