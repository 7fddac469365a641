package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-faster/jx"
	"github.com/ogen-go/ogen/middleware"

	"github.com/daap-dev/daap"
)

// strict refuses requests that the generated server accepts but that must be mistakes: a misspelled filter would list
// everything, and of two values for one field either may be wrong.
func (c *contract) strict(req middleware.Request, next middleware.Next) (middleware.Response, error) {
	details := c.operations[req.OperationID].loose(req.Raw)
	if len(req.RawBody) > 0 {
		details = append(details, duplicateKeys(req.RawBody)...)
	}
	if len(details) > 0 {
		return middleware.Response{}, daap.Invalid(details...)
	}
	return next(req)
}

// loose returns the problems of a request's headers and query beyond the rules of its parameters.
func (o operation) loose(r *http.Request) []daap.Detail {
	return append(o.looseHeaders(r), o.looseQuery(r)...)
}

func (o operation) looseHeaders(r *http.Request) []daap.Detail {
	var details []daap.Detail
	for p := range o.params {
		if p.in == openapi3.ParameterInHeader && len(r.Header.Values(p.name)) > 1 {
			details = append(details, daap.Detail{Field: p.name, Message: "must be given once"})
		}
	}
	return details
}

// looseQuery returns the problems of a query beyond the rules of its parameters.
func (o operation) looseQuery(r *http.Request) []daap.Detail {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	var details []daap.Detail
	if err != nil {
		details = append(details, daap.Detail{
			Field: "query", Message: "must be percent-encoded name=value pairs separated by &",
		})
	}
	for name, values := range query {
		switch {
		case o.params[parameter{openapi3.ParameterInQuery, name}] == nil:
			details = append(details, daap.Detail{Field: shorten(name), Message: "is not a known parameter"})
		case slices.ContainsFunc(values, unprintable):
			details = append(details, daap.Detail{Field: name, Message: "must be UTF-8 text without control characters"})
		}
	}
	slices.SortFunc(details, func(a, b daap.Detail) int { return strings.Compare(a.Field, b.Field) })
	return details[:min(len(details), maxDetails)]
}

// unprintable is true for text that PostgreSQL cannot compare with stored values.
func unprintable(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
}

// duplicateKeys returns the fields that a JSON body contains more than once.
func duplicateKeys(body []byte) []daap.Detail {
	var details []daap.Detail
	var walk func(d *jx.Decoder, path []string) error
	object := func(d *jx.Decoder, path []string) error {
		seen := make(map[string]bool)
		return d.Obj(func(d *jx.Decoder, key string) error {
			at := append(path, key) // each child is walked before the next one overwrites the slice
			if seen[key] && len(details) < maxDetails {
				details = append(details, daap.Detail{Field: fieldOf(at), Message: "is given more than once"})
			}
			seen[key] = true
			return walk(d, at)
		})
	}
	walk = func(d *jx.Decoder, path []string) error {
		switch d.Next() {
		case jx.Object:
			return object(d, path)
		case jx.Array:
			return d.Arr(func(d *jx.Decoder) error { return walk(d, path) })
		default:
			return d.Skip()
		}
	}
	_ = walk(jx.DecodeBytes(body), nil) // invalid JSON is refused elsewhere
	return slices.Compact(details)
}
