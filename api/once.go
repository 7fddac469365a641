package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/ogen-go/ogen/middleware"

	"github.com/daap-dev/daap"
)

// idempotencyKey is the header by which a client names a request that it may send again.
const idempotencyKey = "Idempotency-Key"

// recognise tells the handlers by which key, and by what it asks for, a request is known again.
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
	// NUL keeps them apart: none but the body, which is the last, can hold one.
	_, _ = fmt.Fprintf(request, "%s\x00%s\x00%s\x00%s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, body)
	return daap.Once{Key: key, Request: [sha256.Size]byte(request.Sum(nil))}
}
