package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/ogen-go/ogen/middleware"

	"github.com/daap-dev/daap"
)

// idempotencyKey is the header with the client's key for a request that may be repeated.
const idempotencyKey = "Idempotency-Key"

// recognise passes the key and the hash of the request to the handlers.
func recognise(req middleware.Request, next middleware.Next) (middleware.Response, error) {
	exchangeOf(req.Context).once = onceFrom(req.Raw, req.RawBody)
	return next(req)
}

func onceFrom(r *http.Request, body []byte) daap.Once {
	key := r.Header.Get(idempotencyKey)
	if key == "" {
		return daap.Once{}
	}
	request := sha256.New()
	// NUL separates them: only the body, which comes last, can contain one.
	_, _ = fmt.Fprintf(request, "%s\x00%s\x00%s\x00%s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, body)
	return daap.Once{Key: key, Request: [sha256.Size]byte(request.Sum(nil))}
}
