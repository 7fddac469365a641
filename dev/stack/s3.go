package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// lockHeader makes a bucket one with locks, which has versions: what is
// overwritten or deleted in it can be had back.
const lockHeader = "X-Amz-Bucket-Object-Lock-Enabled"

// createBucket makes a bucket unless it is there. It is the one request that
// the stack makes of the object store, hence signed here by hand.
func createBucket(ctx context.Context, endpoint, name string, locks bool, user, password string) error {
	for _, method := range []string{http.MethodPut, http.MethodHead} {
		request, err := http.NewRequestWithContext(ctx, method, endpoint+"/"+name, nil)
		if err != nil {
			return err
		}
		if locks {
			request.Header.Set(lockHeader, "true")
		}
		sign(request, user, password, time.Now().UTC())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		there := method == http.MethodPut && response.StatusCode == http.StatusConflict
		if response.StatusCode != http.StatusOK && !there {
			return fmt.Errorf("%s bucket %s: %s", method, name, response.Status)
		}
	}
	return nil
}

// sign adds an AWS version 4 signature to a request without a body.
func sign(request *http.Request, user, password string, now time.Time) {
	const region = "us-east-1"
	empty := sha256.Sum256(nil)
	payload := hex.EncodeToString(empty[:])
	stamp, day := now.Format("20060102T150405Z"), now.Format("20060102")
	request.Header.Set("X-Amz-Date", stamp)
	request.Header.Set("X-Amz-Content-Sha256", payload)
	names := []string{"host", "x-amz-content-sha256", "x-amz-date"}
	headers := []string{"host:" + request.URL.Host, "x-amz-content-sha256:" + payload, "x-amz-date:" + stamp}
	if lock := request.Header.Get(lockHeader); lock != "" {
		name := strings.ToLower(lockHeader) // the names are in alphabetical order
		names = slices.Insert(names, 1, name)
		headers = slices.Insert(headers, 1, name+":"+lock)
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{
		request.Method, request.URL.EscapedPath(), "",
		strings.Join(headers, "\n"), "", signed, payload,
	}, "\n")
	scope := day + "/" + region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + password)
	for _, step := range []string{day, region, "s3", "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(step))
		key = mac.Sum(nil)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		user, scope, signed, hex.EncodeToString(key)))
}
