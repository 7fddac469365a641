// Package objectstore is DAAP's client of the platform's object store: the archives of databases, the accounts that
// databases use, and the heads of the audit log.
package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
)

// Store is the platform's object store, the destination of backups.
type Store struct{ Client *minio.Client }

// storeTimeout limits the requests of one call.
const storeTimeout = 10 * time.Second

// removalTimeout limits one removal of many objects.
const removalTimeout = time.Minute

// EnsureBucket creates the bucket if it is missing; safe to repeat.
func (s *Store) EnsureBucket(ctx context.Context, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	exists, err := s.Client.BucketExists(ctx, bucket)
	if err != nil {
		return fmt.Errorf("check bucket %s: %w", bucket, err)
	}
	if exists {
		return nil
	}
	if err := s.Client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		var refused minio.ErrorResponse
		if errors.As(err, &refused) && refused.Code == minio.BucketAlreadyOwnedByYou {
			return nil
		}
		return fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	return nil
}

// Reach returns why the bucket does not respond or does not exist; nil if it responds.
func (s *Store) Reach(ctx context.Context, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	exists, err := s.Client.BucketExists(ctx, bucket)
	if err != nil {
		return fmt.Errorf("check bucket %s: %w", bucket, err)
	}
	if !exists {
		return fmt.Errorf("check bucket %s: it does not exist", bucket)
	}
	return nil
}

// Object is the newest version of an object.
type Object struct {
	// Size is in bytes.
	Size     int64
	Modified time.Time
}

// Objects returns all objects under the prefix, by name without the prefix.
func (s *Store) Objects(ctx context.Context, bucket, prefix string) (map[string]Object, error) {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	all := map[string]Object{}
	for object := range s.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", bucket, object.Err)
		}
		all[strings.TrimPrefix(object.Key, prefix)] = Object{object.Size, object.LastModified}
	}
	return all, nil
}

// Prefixes returns the first path elements of all names under the prefix that have more than one; none if there is no
// bucket. The prefix ends with a slash or is empty.
func (s *Store) Prefixes(ctx context.Context, bucket, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var all []string
	for object := range s.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if minio.ToErrorResponse(object.Err).Code == minio.NoSuchBucket {
			return nil, nil
		}
		if object.Err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", bucket, object.Err)
		}
		if name, more := strings.CutSuffix(strings.TrimPrefix(object.Key, prefix), "/"); more {
			all = append(all, name)
		}
	}
	return all, nil
}

// smallObject is the maximum number of bytes that Read returns.
const smallObject = 1 << 20

// Read returns the first smallObject bytes of an object.
func (s *Store) Read(ctx context.Context, bucket, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	object, err := s.Client.GetObject(ctx, bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s from bucket %s: %w", name, bucket, err)
	}
	defer func() { _ = object.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(object, smallObject))
	if err != nil {
		return nil, fmt.Errorf("read %s from bucket %s: %w", name, bucket, err)
	}
	return text, nil
}

// removedAtOnce is the number of objects per removal, which is S3's limit.
const removedAtOnce = 1000

// Removed is the number and size of removed objects; each version and delete marker counts.
type Removed struct {
	Objects int
	Bytes   int64
}

// RemoveSome removes at most removedAtOnce versions and delete markers of the selected names under the prefix, and
// returns their number and size: zero if none is left, or if there is no bucket. The function which selects names,
// without the prefix, which ends with a slash. Safe to repeat.
func (s *Store) RemoveSome(
	ctx context.Context, bucket, prefix string, which func(name string) bool,
) (Removed, error) {
	var removed Removed
	if !strings.HasSuffix(prefix, "/") || strings.Trim(prefix, "/") == "" {
		return removed, fmt.Errorf("remove %q from bucket %s: it is not the prefix of one database", prefix, bucket)
	}
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	exists, err := s.Client.BucketExists(ctx, bucket)
	if err != nil || !exists {
		return removed, err
	}
	listing, endListing := context.WithCancel(ctx)
	defer endListing()
	var found []minio.ObjectInfo
	for object := range s.Client.ListObjects(listing, bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, WithVersions: true,
	}) {
		if object.Err != nil {
			return removed, fmt.Errorf("list bucket %s: %w", bucket, object.Err)
		}
		if !which(strings.TrimPrefix(object.Key, prefix)) {
			continue
		}
		found, removed.Bytes = append(found, object), removed.Bytes+object.Size
		if len(found) == removedAtOnce {
			break
		}
	}
	batch := make(chan minio.ObjectInfo, len(found))
	for _, object := range found {
		batch <- object
	}
	close(batch)
	var failed error
	for object := range s.Client.RemoveObjects(ctx, bucket, batch, minio.RemoveObjectsOptions{}) {
		failed = cmp.Or(failed, fmt.Errorf("remove %s from bucket %s: %w", object.ObjectName, bucket, object.Err))
	}
	removed.Objects = len(found)
	return removed, failed
}

// Count counts all versions, delete markers and unfinished uploads under the prefix; zero if there is no bucket.
func (s *Store) Count(ctx context.Context, bucket, prefix string) (Removed, error) {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	var there Removed
	exists, err := s.Client.BucketExists(ctx, bucket)
	if err != nil || !exists {
		return there, err
	}
	for object := range s.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, WithVersions: true,
	}) {
		if object.Err != nil {
			return there, fmt.Errorf("list bucket %s: %w", bucket, object.Err)
		}
		there.Objects, there.Bytes = there.Objects+1, there.Bytes+object.Size
	}
	for upload := range s.Client.ListIncompleteUploads(ctx, bucket, prefix, true) {
		if upload.Err != nil {
			return there, fmt.Errorf("list uploads to bucket %s: %w", bucket, upload.Err)
		}
		there.Objects, there.Bytes = there.Objects+1, there.Bytes+upload.Size
	}
	return there, nil
}

// AbortUploads aborts every unfinished upload under the prefix. Safe to repeat.
func (s *Store) AbortUploads(ctx context.Context, bucket, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	exists, err := s.Client.BucketExists(ctx, bucket)
	if err != nil || !exists {
		return err
	}
	for upload := range s.Client.ListIncompleteUploads(ctx, bucket, prefix, true) {
		if upload.Err != nil {
			return fmt.Errorf("list uploads to bucket %s: %w", bucket, upload.Err)
		}
		if err := s.Client.RemoveIncompleteUpload(ctx, bucket, upload.Key); err != nil {
			return fmt.Errorf("abort the upload of %s to bucket %s: %w", upload.Key, bucket, err)
		}
	}
	return nil
}

// Probe writes, lists and deletes an object at the destination. It creates the bucket if it is missing.
func (s *Store) Probe(ctx context.Context, destination string) error {
	bucket, prefix := Locate(destination)
	if err := s.EnsureBucket(ctx, bucket); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	name, text := path.Join(prefix, ".daap-probe-"+uuid.NewString()), "DAAP checks that it may write here."
	_, err := s.Client.PutObject(ctx, bucket, name, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	if err != nil {
		return fmt.Errorf("write to bucket %s: %w", bucket, err)
	}
	found := false
	for object := range s.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: name}) {
		if object.Err != nil {
			return fmt.Errorf("list bucket %s: %w", bucket, object.Err)
		}
		found = found || object.Key == name
	}
	if !found {
		return fmt.Errorf("list bucket %s: the test object is missing", bucket)
	}
	if err := s.Client.RemoveObject(ctx, bucket, name, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("delete from bucket %s: %w", bucket, err)
	}
	return nil
}

// Locate splits s3://bucket/prefix.
func Locate(destination string) (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(destination, "s3://"), "/")
	return bucket, prefix
}
