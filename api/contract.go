package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/daap-dev/daap/api/oas"
)

// contract gives the edge access to openapi.yaml: for the rules that clients broke, and to refuse requests that the
// generated server accepts by mistake.
type contract struct {
	operations map[string]operation
	document   oas.GetOpenAPIOK
}

// operation describes the request of one operation of the contract.
type operation struct {
	// noun is what the path's ID identifies, for people; resource is its name in the audit log.
	noun, resource string
	// success is the lowest status of a successful response.
	success int
	params  map[parameter]*openapi3.Schema
	// bodies maps media types to schemas.
	bodies map[string]*openapi3.Schema
}

// parameter identifies a parameter by its location, such as "query", and its name.
type parameter struct{ in, name string }

// newContract parses the contract. It panics on failure: the contract is part of the program.
func newContract(yaml []byte) *contract {
	doc, err := openapi3.NewLoader().LoadFromData(yaml)
	if err != nil {
		panic(fmt.Sprintf("api: read the contract: %v", err))
	}
	c := &contract{operations: make(map[string]operation), document: documentOf(doc)}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			c.operations[op.OperationID] = newOperation(path, item, op)
		}
	}
	return c
}

func newOperation(path string, item *openapi3.PathItem, op *openapi3.Operation) operation {
	o := operation{
		noun:     nounOf(path),
		resource: kindOf(path),
		success:  successOf(op),
		params:   make(map[parameter]*openapi3.Schema),
		bodies:   make(map[string]*openapi3.Schema),
	}
	for _, params := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range params {
			o.params[parameter{p.Value.In, p.Value.Name}] = p.Value.Schema.Value
		}
	}
	if op.RequestBody != nil {
		for mediaType, content := range op.RequestBody.Value.Content {
			o.bodies[mediaType] = content.Schema.Value
		}
	}
	return o
}

// successOf returns the status of a successful response; if the operation can also take time, the status without that.
func successOf(op *openapi3.Operation) int {
	success := http.StatusBadRequest
	for status := range op.Responses.Map() {
		if n, err := strconv.Atoi(status); err == nil {
			success = min(success, n)
		}
	}
	return success
}

// nounOf returns what the IDs in a path identify, for people.
func nounOf(path string) string {
	words := strings.Split(kindOf(path), "_")
	if words[0] == "api" {
		words[0] = "API"
	}
	return strings.Join(words, " ")
}

// kindOf returns what the IDs in a path identify, for the audit log and the log: the path's first segment, in the
// singular.
func kindOf(path string) string {
	collection, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return strings.ReplaceAll(strings.TrimSuffix(collection, "s"), "-", "_")
}

func documentOf(doc *openapi3.T) oas.GetOpenAPIOK {
	var document oas.GetOpenAPIOK
	raw, err := doc.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(raw, &document)
	}
	if err != nil {
		panic(fmt.Sprintf("api: contract as JSON: %v", err))
	}
	return document
}

// ruleOf returns the rule of a schema as a sentence.
func ruleOf(schema *openapi3.Schema) string {
	if rule, ok := schema.Extensions["x-rule"].(string); ok {
		return rule
	}
	return "must match the API's contract"
}
