package config

import (
	"crypto/tls"
	"errors"
	"os"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// DefaultTemporalNamespace is where DAAP's workflows live unless TEMPORAL_NAMESPACE says otherwise.
const DefaultTemporalNamespace = "daap"

// switches are what TEMPORAL_TLS may be.
var switches = []string{"", "1", "0", "true", "false"}

// Temporal returns the client options that Temporal's own variables and profile file describe. It refuses what would go
// over the network unprotected against the operator's intent: an API key without TLS, and a TEMPORAL_TLS that
// Temporal's own reader takes for nothing.
func Temporal() (client.Options, error) {
	if !slices.Contains(switches, strings.ToLower(os.Getenv("TEMPORAL_TLS"))) {
		return client.Options{}, &Error{"TEMPORAL_TLS", "must be true or false"}
	}
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, &Error{"TEMPORAL_*", "do not configure a client: " + withoutValues(err)}
	}
	if options.Credentials != nil && options.ConnectionOptions.TLS == nil {
		return client.Options{}, &Error{"TEMPORAL_API_KEY", "requires TLS, but TEMPORAL_TLS turns it off"}
	}
	if options.ConnectionOptions.TLS != nil {
		options.ConnectionOptions.TLS.MinVersion = tls.VersionTLS12
	}
	if options.Namespace == "" {
		options.Namespace = DefaultTemporalNamespace
	}
	return options, nil
}

// withoutValues is the text of an error of Temporal's reader. A profile file that cannot be parsed is quoted by it, and
// may hold an API key: what is left of such an error is where it is.
func withoutValues(err error) string {
	var position interface{ ErrorWithPosition() string } // of the TOML reader
	if errors.As(err, &position) {
		return "the profile file is not TOML"
	}
	return err.Error()
}
