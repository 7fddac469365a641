package daap

import _ "embed"

// OpenAPI is the API's contract, openapi.yaml, as it was when this program was built.
//
//go:embed openapi.yaml
var OpenAPI []byte
