// Package objectstore is what DAAP does in the object store of the platform: the archives of databases there, the
// accounts by which databases reach them, and the heads of the audit log.
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

// Store is the platform's object store, where backups go.
type Store struct{ Client *minio.Client }

// storeTimeout bounds what is done there for one activity.
const storeTimeout = 10 * time.Second

// removalTimeout bounds one removal of many objects.
const removalTimeout = time.Minute

// EnsureBucket makes the bucket where it is missing; diagnosis.Safe to repeat.
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
		var told minio.ErrorResponse
		if errors.As(err, &told) && told.Code == minio.BucketAlreadyOwnedByYou {
			return nil
		}
		return fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	return nil
}

// Reach says why the bucket does not answer, or is not there; nil where it does.
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

// Object is what is under one name, in its newest version.
type Object struct {
	// Size is in bytes.
	Size     int64
	Modified time.Time
}

// Objects returns all that is under the prefix by its name, which begins after it.
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

// Prefixes returns the first parts of all names under the prefix, which ends with a slash or is empty, that have more
// than one; none where there is no bucket.
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

// smallObject is how much is read of an object at most, in bytes.
const smallObject = 1 << 20

// Read returns an object of at most smallObject bytes; what is beyond is left out.
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

// removedAtOnce is how many objects one removal takes, as S3 does at most.
const removedAtOnce = 1000

// Removed is what was removed, versions and markers each for themselves.
type Removed struct {
	Objects int
	Bytes   int64
}

// RemoveSome removes at most removedAtOnce of the versions and markers under the prefix, which ends with a slash, of
// the names that which says, and says what they were: nothing where nothing is left, nor the bucket. Safe to repeat.
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

// Count counts all versions, markers and unfinished uploads under the prefix; nothing where there is no bucket.
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

// AbortUploads gives up every unfinished upload under the prefix. Safe to repeat.
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

// Probe writes, lists and deletes an object at the destination, whose bucket it makes where it is missing.
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
