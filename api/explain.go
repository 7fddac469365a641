package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/ogen-go/ogen/ogenerrors"
	"github.com/ogen-go/ogen/validate"

	"github.com/daap-dev/daap"
)

// explain turns the generated server's refusal of a request into an error for people. The generated server reports that
// a rule was broken; the contract supplies the rule.
func (c *contract) explain(r *http.Request, err error) error {
	var params *ogenerrors.DecodeParamsError
	var body *ogenerrors.DecodeRequestError
	switch {
	case errors.As(err, &params):
		return c.operations[params.OperationID()].explainParams(r, err)
	case errors.As(err, &body):
		return c.operations[body.OperationID()].explainBody(r, err)
	}
	return err
}

// explainParams treats an ID that cannot exist like any other missing ID.
func (o operation) explainParams(r *http.Request, err error) error {
	var param *ogenerrors.DecodeParamError
	if !errors.As(err, &param) {
		return err
	}
	p := parameter{string(param.In), param.Name}
	if p.in == openapi3.ParameterInPath {
		return daap.NotFound(o.noun)
	}
	details := []daap.Detail{{Field: p.name, Message: brokenRule(o.params[p], p.values(r))}}
	for _, loose := range o.loose(r) {
		if loose.Field != p.name {
			details = append(details, loose)
		}
	}
	return daap.Invalid(details...)
}

// values returns all values of the parameter in the request.
func (p parameter) values(r *http.Request) []string {
	if p.in == openapi3.ParameterInHeader {
		return r.Header.Values(p.name)
	}
	query, _ := url.ParseQuery(r.URL.RawQuery) // looseQuery reports the error
	return query[p.name]
}

// brokenRule returns the rule that the parameter's values break.
func brokenRule(schema *openapi3.Schema, values []string) string {
	if !schema.Type.Is(openapi3.TypeArray) {
		if len(values) > 1 {
			return "must be given once"
		}
		return ruleOf(schema)
	}
	items := make([]any, len(values))
	for i, value := range values {
		items[i] = value
	}
	var broken *openapi3.SchemaError
	if errors.As(schema.VisitJSON(items), &broken) {
		return ruleOf(broken.Schema)
	}
	return ruleOf(schema)
}

func (o operation) explainBody(r *http.Request, err error) error {
	var tooLarge *http.MaxBytesError
	mediaType, _, unreadable := mime.ParseMediaType(r.Header.Get("Content-Type"))
	schema := o.bodies[mediaType]
	switch {
	case unreadable != nil || schema == nil:
		return o.unsupported()
	case errors.As(err, &tooLarge):
		return err
	case errors.Is(err, validate.ErrBodyRequired):
		return malformed("The body is empty; it must be a JSON object.")
	}
	body, readErr := io.ReadAll(r.Body)
	if readErr != nil {
		return malformed("The body could not be read completely.")
	}
	return explainJSON(schema, body)
}

func (o operation) unsupported() error {
	accepted := strings.Join(slices.Sorted(maps.Keys(o.bodies)), " or ")
	return &daap.Error{Code: codeUnsupportedMediaType, Message: "The body's Content-Type must be " + accepted + "."}
}

func malformed(message string) error {
	return &daap.Error{Code: codeMalformedRequest, Message: message}
}

func explainJSON(schema *openapi3.Schema, body []byte) error {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, &raw); errors.As(err, &syntax) {
		return malformed(fmt.Sprintf("The body is not valid JSON; the error is at byte %d.", syntax.Offset))
	}
	if tooDeep(body) {
		return malformed(fmt.Sprintf("The body is nested more than %d levels deep; no valid request is.", maxDepth))
	}
	details := duplicateKeys(body)
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // a number too large for a float64 is a wrong type like any other
	if err := decoder.Decode(&value); err != nil {
		return malformed("The body is not valid JSON.")
	}
	details = append(details, brokenRules(schema.VisitJSON(value, openapi3.MultiErrors()))...)
	if len(details) == 0 {
		return malformed("The body is not valid JSON.")
	}
	return daap.Invalid(details...)
}

// maxDepth is the maximum nesting of a body; the contract's deepest is two.
const maxDepth = 16

// tooDeep reports whether the JSON is nested more than maxDepth.
func tooDeep(body []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(body))
	for depth := 0; depth <= maxDepth; {
		token, err := decoder.Token()
		if err != nil { // the end of the body
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return true
}

// maxDetails bounds the response to a body with many errors.
const maxDetails = 100

// brokenRules returns each broken rule of each field once.
func brokenRules(err error) []daap.Detail {
	var details []daap.Detail
	told := make(map[daap.Detail]bool)
	objects := make(map[string]bool)
	add := func(path []string, message string) {
		detail := daap.Detail{Field: fieldOf(path), Message: message}
		if len(details) < maxDetails && !told[detail] {
			told[detail] = true
			details = append(details, detail)
		}
	}
	for _, broken := range schemaErrors(err) {
		path := broken.JSONPointer()
		switch broken.SchemaField {
		case "required":
			add(path, "is required")
		case "properties": // one error for each unknown field, but without its name
			if object := fieldOf(path); !objects[object] {
				objects[object] = true
				for _, key := range unknownFields(broken) {
					add(append(path, key), "is not a known field")
				}
			}
		default:
			add(path, ruleOf(broken.Schema))
		}
	}
	return details
}

func schemaErrors(err error) []*openapi3.SchemaError {
	var all []*openapi3.SchemaError
	var one *openapi3.SchemaError
	var many openapi3.MultiError
	switch {
	case errors.As(err, &many):
		for _, e := range many {
			all = append(all, schemaErrors(e)...)
		}
	case errors.As(err, &one):
		all = append(all, one)
	}
	return all
}

func unknownFields(broken *openapi3.SchemaError) []string {
	object, _ := broken.Value.(map[string]any)
	var unknown []string
	for key := range object {
		if broken.Schema.Properties[key] == nil {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// fieldOf returns the path of a field, such as labels.env; the whole is the body.
func fieldOf(path []string) string {
	if len(path) == 0 {
		return "body"
	}
	return shorten(strings.Join(path, "."))
}

// shorten limits the length of client text in responses and logs, and replaces unprintable characters.
func shorten(s string) string {
	const limit = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return s
}
