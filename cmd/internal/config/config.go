// Package config reads the settings of DAAP's processes from the environment, once, at start.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config is every setting there is. Beside these, Temporal's own variables (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_TLS…, TEMPORAL_API_KEY) and KUBECONFIG mean what they mean everywhere.
type Config struct {
	// DatabaseURL leads to DAAP's own PostgreSQL. It holds a password: it is never shown.
	DatabaseURL string `env:"DAAP_DATABASE_URL,required,notEmpty"`
	// HTTPAddr is where the API listens.
	HTTPAddr string `env:"DAAP_HTTP_ADDR" envDefault:"127.0.0.1:8080"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"DAAP_LOG_LEVEL" envDefault:"info"`
	// LogFormat is json, or console for people.
	LogFormat string `env:"DAAP_LOG_FORMAT" envDefault:"json"`
	// ShutdownTimeout bounds how long a process that is told to stop finishes what it has begun; 1s to 5m.
	ShutdownTimeout time.Duration `env:"DAAP_SHUTDOWN_TIMEOUT" envDefault:"20s"`
	// StepDeadline is after how long a step that is not done needs a person, unless its own deadline is sooner;
	// 10s to 30m.
	StepDeadline time.Duration `env:"DAAP_STEP_DEADLINE" envDefault:"30m"`
	// Backlog is how many accepted operations may wait for their start before no more are accepted; 1 to 100000.
	Backlog int `env:"DAAP_BACKLOG" envDefault:"1000"`
	// PostgresImage is the image of the databases; its tag begins with the PostgreSQL version. Empty: CNPG's default.
	PostgresImage string `env:"DAAP_POSTGRES_IMAGE"`
	// PoolerImage is the image of PgBouncer. Empty: CNPG's default.
	PoolerImage string `env:"DAAP_POOLER_IMAGE"`
	// StorageClass is that of the databases' volumes. Empty: the Kubernetes cluster's default.
	StorageClass string `env:"DAAP_STORAGE_CLASS"`
}

// Error is a setting that is missing or wrong; its text is one line that names the variable.
type Error struct{ Variable, Problem string }

func (e *Error) Error() string { return e.Variable + " " + e.Problem }

// Load reads and checks the environment. Its errors are of type *Error, or several of them joined.
func Load() (Config, error) {
	cfg, err := env.ParseAs[Config]()
	if err != nil {
		return Config{}, named(err)
	}
	if err := cfg.check(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

func (c Config) check() error {
	var errs []error
	wrong := func(variable, problem string) { errs = append(errs, &Error{variable, problem}) }
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Host == "" {
		wrong("DAAP_DATABASE_URL", "must be a URL such as postgres://user:password@host:5432/daap")
	}
	if _, port, err := net.SplitHostPort(c.HTTPAddr); err != nil || port == "" {
		wrong("DAAP_HTTP_ADDR", "must be host:port such as 127.0.0.1:8080")
	}
	if _, err := zapcore.ParseLevel(c.LogLevel); err != nil {
		wrong("DAAP_LOG_LEVEL", "must be debug, info, warn or error")
	}
	if c.LogFormat != "json" && c.LogFormat != "console" {
		wrong("DAAP_LOG_FORMAT", "must be json or console")
	}
	if c.ShutdownTimeout < time.Second || c.ShutdownTimeout > 5*time.Minute {
		wrong("DAAP_SHUTDOWN_TIMEOUT", "must be from 1s to 5m")
	}
	if c.StepDeadline < 10*time.Second || c.StepDeadline > 30*time.Minute {
		wrong("DAAP_STEP_DEADLINE", "must be from 10s to 30m")
	}
	if c.Backlog < 1 || c.Backlog > 100_000 {
		wrong("DAAP_BACKLOG", "must be a whole number from 1 to 100000")
	}
	return errors.Join(errs...)
}

// named turns what the library says of fields into what people know: variables. Values are left out, as one
// of them may be a secret.
func named(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, err := range all.Errors {
		var missing env.VarIsNotSetError
		var empty env.EmptyVarError
		var parse env.ParseError
		switch {
		case errors.As(err, &missing):
			errs = append(errs, &Error{missing.Key, "is not set"})
		case errors.As(err, &empty):
			errs = append(errs, &Error{empty.Key, "is empty"})
		case errors.As(err, &parse):
			errs = append(errs, &Error{variable(parse.Name), "must be a " + example(parse.Type)})
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// example says what a value of the type looks like.
func example(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "time such as 20s"
	}
	return "whole number"
}

func variable(field string) string {
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok {
		return field
	}
	return f.Tag.Get("env")
}

// DefaultTemporalNamespace is where DAAP's workflows live unless TEMPORAL_NAMESPACE says otherwise.
const DefaultTemporalNamespace = "daap"

// Temporal returns the client options that Temporal's own variables and profile file describe.
func Temporal() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, &Error{"TEMPORAL_*", fmt.Sprintf("do not make a client: %v", err)}
	}
	if options.Namespace == "" {
		options.Namespace = DefaultTemporalNamespace
	}
	return options, nil
}

// Kubernetes returns the access that KUBECONFIG gives, or that of the pod this process runs in.
func Kubernetes() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, &Error{"KUBECONFIG", fmt.Sprintf("does not lead to a cluster: %v", err)}
	}
	config.UserAgent = "daap"
	config.QPS = -1 // the API server's own priority and fairness bounds it better
	return config, nil
}
