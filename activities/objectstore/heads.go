package objectstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/daap-dev/daap"
)

// AuditHeads stores heads of the audit log's chain in a bucket, where a writer of DAAP's database cannot change them.
// The name of an object contains the whole head, so that a listing is enough to read all heads.
type AuditHeads struct {
	Client *minio.Client
	Bucket string
	// Prefix is the heads' prefix in the bucket; empty means its root.
	Prefix string
}

// headTimeout limits one request to the object store.
const headTimeout = 10 * time.Second

// PutHead stores the head. It is safe to repeat: the same head is the same object.
func (h AuditHeads) PutHead(ctx context.Context, head daap.Seal) error {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	hash := hex.EncodeToString(head.Hash[:])
	body, err := json.Marshal(map[string]any{"position": head.Position, "entry_id": head.EntryID, "hash": hash})
	if err != nil {
		return fmt.Errorf("encode head %d: %w", head.Position, err)
	}
	name := path.Join(h.Prefix, fmt.Sprintf("%020d-%s.json", head.Position, hash))
	_, err = h.Client.PutObject(ctx, h.Bucket, name, bytes.NewReader(body), int64(len(body)),
		minio.PutObjectOptions{ContentType: "application/json"})
	if err != nil {
		return fmt.Errorf("put %s into bucket %s: %w", name, h.Bucket, err)
	}
	return nil
}

// Heads returns all stored heads in order of position. An object that is not a head is an error: it may be the result
// of tampering.
func (h AuditHeads) Heads(ctx context.Context) ([]daap.Seal, error) {
	prefix := h.Prefix
	if prefix != "" {
		prefix += "/"
	}
	ctx, cancel := context.WithCancel(ctx) // ends the listing after an error
	defer cancel()
	var heads []daap.Seal
	for object := range h.Client.ListObjects(ctx, h.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", h.Bucket, object.Err)
		}
		head, ok := parseHead(strings.TrimPrefix(object.Key, prefix))
		if !ok {
			return nil, fmt.Errorf("bucket %s: object %q is not a head of the audit log", h.Bucket, object.Key)
		}
		heads = append(heads, head)
	}
	slices.SortFunc(heads, func(a, b daap.Seal) int { return int(a.Position - b.Position) })
	return heads, nil
}

func parseHead(name string) (daap.Seal, bool) {
	position, hash, found := strings.Cut(strings.TrimSuffix(name, ".json"), "-")
	n, err := strconv.ParseInt(position, 10, 64)
	raw, notHex := hex.DecodeString(hash)
	var head daap.Seal
	if !found || err != nil || notHex != nil || len(raw) != len(head.Hash) {
		return head, false
	}
	head.Position = n
	copy(head.Hash[:], raw)
	return head, true
}
