// Package config reads the settings of DAAP's processes from the environment, once, at start.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/daap-dev/daap/activities/manifest"
)

// Config is every setting there is. Beside these, Temporal's own variables (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_TLS…, TEMPORAL_API_KEY) and KUBECONFIG mean what they mean everywhere.
type Config struct {
	Logging
	// DatabaseURL leads to DAAP's own PostgreSQL. It holds a password: it is never shown.
	DatabaseURL string `env:"DAAP_DATABASE_URL,required,notEmpty"`
	// MigrationURL leads to the same PostgreSQL as the one who owns what is in it, for daap migrate alone. Empty:
	// DatabaseURL. It holds a password: it is never shown.
	MigrationURL string `env:"DAAP_MIGRATION_URL"`
	// HTTPAddr is where the API listens.
	HTTPAddr string `env:"DAAP_HTTP_ADDR" envDefault:"127.0.0.1:8080"`
	// ShutdownTimeout bounds the work in progress at a shutdown; 1s to 5m.
	ShutdownTimeout time.Duration `env:"DAAP_SHUTDOWN_TIMEOUT" envDefault:"20s"`
	// StepDeadline is after how long a step that is not done needs a person, unless its own deadline is sooner;
	// 10s to 30m.
	StepDeadline time.Duration `env:"DAAP_STEP_DEADLINE" envDefault:"30m"`
	// Backlog is how many accepted operations may wait for their start before no more are accepted; 1 to 100000.
	Backlog int `env:"DAAP_BACKLOG" envDefault:"1000"`
	// PostgresVersions are the PostgreSQL major versions that tiers may have, each with the image of the databases; its
	// tag begins with the version.
	PostgresVersions map[string]string `env:"DAAP_POSTGRES_VERSIONS" envKeyValSeparator:"="`
	// PoolerImage is the image of PgBouncer. Empty: CNPG's default.
	PoolerImage string `env:"DAAP_POOLER_IMAGE"`
	// StorageClass is the storage class of the databases' volumes. Empty: the Kubernetes cluster's default.
	StorageClass string `env:"DAAP_STORAGE_CLASS"`
	// TrustedProxies are the proxies whose word on where a request comes from is taken.
	TrustedProxies []netip.Prefix `env:"DAAP_TRUSTED_PROXIES"`
	// RateLimit is how many requests a second each API key may send, and twice as many at once; 0 is no limit.
	RateLimit float64 `env:"DAAP_RATE_LIMIT" envDefault:"100"`
	// Argon2 is what the hashes of API keys cost: 19 MiB and two passes unless set otherwise, as OWASP advises.
	// A cheaper hash is replaced when its key is used.
	Argon2 Argon2 `envPrefix:"DAAP_ARGON2_"`
	// AuditRetention is how long entries of the audit log are kept; 24h to 87600h. daap migrate sets it.
	AuditRetention time.Duration `env:"DAAP_AUDIT_RETENTION" envDefault:"8760h"`
	// AuditHeads is the bucket, and the prefix in it, for heads of the audit log. Empty: they are not kept.
	AuditHeads string `env:"DAAP_AUDIT_HEADS"`
	S3         S3     `envPrefix:"DAAP_S3_"`
	// S3Allow are networks at which object stores are dialed although loopback, link-local and metadata addresses are not.
	S3Allow []netip.Prefix `env:"DAAP_S3_ALLOW"`
	// Backup is the object store that databases are backed up to, as they reach it themselves. Without an endpoint no
	// tier can have backups.
	Backup S3 `envPrefix:"DAAP_BACKUP_"`
	// BackupKeys says by which keys databases reach that object store: KeysMinIO or KeysShared.
	BackupKeys string `env:"DAAP_BACKUP_KEYS" envDefault:"minio"`
	// Network is whom databases talk with.
	Network Network `envPrefix:"DAAP_NETWORK_"`
	// CodecKeys encrypt what workflows and activities give to Temporal. None: it is kept as it is, and what is
	// encrypted already cannot be read.
	CodecKeys CodecKeys `env:"DAAP_TEMPORAL_CODEC_KEYS"`
}

// Network is whom databases talk with beside their own pods and their teams, as manifest.Peer reads it.
type Network struct {
	Operator []manifest.Peer `env:"OPERATOR" envDefault:"cnpg-system/app.kubernetes.io/name=cloudnative-pg"`
	Worker   []manifest.Peer `env:"WORKER" envDefault:"daap/app.kubernetes.io/name=daap-worker"`
	Metrics  []manifest.Peer `env:"METRICS" envDefault:"monitoring"`
	DNS      []manifest.Peer `env:"DNS" envDefault:"kube-system/k8s-app=kube-dns"`
	// APIServers are the endpoints of the Kubernetes API, Store is where DAAP_BACKUP_ENDPOINT leads.
	APIServers []manifest.Peer `env:"API_SERVERS"`
	Store      []manifest.Peer `env:"STORE"`
}

// Logging is how a process logs.
type Logging struct {
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"DAAP_LOG_LEVEL" envDefault:"info"`
	// LogFormat is json, or console for people.
	LogFormat string `env:"DAAP_LOG_FORMAT" envDefault:"json"`
}

// The ways by which databases get keys to the object store.
const (
	// KeysMinIO has each database have keys of its own, made by MinIO's API for administrators, which reach its own
	// backups alone. Those of DAAP_BACKUP_ stay with the worker.
	KeysMinIO = "minio"
	// KeysShared gives those of DAAP_BACKUP_ to all databases, for object stores that have no such API.
	KeysShared = "shared"
)

// Argon2 is what a hash costs.
type Argon2 struct {
	// MemoryKiB is from 8192 to 1048576, Time from 1 to 10, Threads from 1 to 16.
	MemoryKiB uint32 `env:"MEMORY_KIB" envDefault:"19456"`
	Time      uint32 `env:"TIME" envDefault:"2"`
	Threads   uint8  `env:"THREADS" envDefault:"1"`
}

// S3 is access to an object store. That of DAAP_S3_ is the platform's own, which databases never get.
type S3 struct {
	// Endpoint is a URL such as https://s3.example.com.
	Endpoint  string `env:"ENDPOINT"`
	AccessKey string `env:"ACCESS_KEY"`
	// SecretKey is never shown.
	SecretKey string `env:"SECRET_KEY"`
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
	if !leadsToPostgres(c.DatabaseURL) {
		wrong("DAAP_DATABASE_URL", "must be a URL such as postgres://user:password@host:5432/daap")
	}
	if c.MigrationURL != "" && !leadsToPostgres(c.MigrationURL) {
		wrong("DAAP_MIGRATION_URL", "must be a URL such as postgres://owner:password@host:5432/daap")
	}
	if _, port, err := net.SplitHostPort(c.HTTPAddr); err != nil || port == "" {
		wrong("DAAP_HTTP_ADDR", "must be host:port such as 127.0.0.1:8080")
	}
	c.Logging.check(wrong)
	if c.ShutdownTimeout < time.Second || c.ShutdownTimeout > 5*time.Minute {
		wrong("DAAP_SHUTDOWN_TIMEOUT", "must be from 1s to 5m")
	}
	if c.StepDeadline < 10*time.Second || c.StepDeadline > 30*time.Minute {
		wrong("DAAP_STEP_DEADLINE", "must be from 10s to 30m")
	}
	if c.Backlog < 1 || c.Backlog > 100_000 {
		wrong("DAAP_BACKLOG", "must be a whole number from 1 to 100000")
	}
	if c.RateLimit < 0 || c.RateLimit > 1_000_000 {
		wrong("DAAP_RATE_LIMIT", "must be a number from 0 to 1000000")
	}
	if c.AuditRetention < 24*time.Hour || c.AuditRetention > 87_600*time.Hour {
		wrong("DAAP_AUDIT_RETENTION", "must be from 24h to 87600h")
	}
	for version, image := range c.PostgresVersions {
		if !majorVersion.MatchString(version) || image == "" {
			wrong("DAAP_POSTGRES_VERSIONS", "must be pairs such as 17=registry.example.com/postgresql:17.5,18=…")
		}
	}
	c.checkHeads(wrong)
	if c.Backup.Endpoint != "" {
		c.Backup.check("DAAP_BACKUP_", "DAAP_BACKUP_ENDPOINT is set", wrong)
	}
	if c.BackupKeys != KeysMinIO && c.BackupKeys != KeysShared {
		wrong("DAAP_BACKUP_KEYS", "must be minio or shared")
	}
	return errors.Join(errs...)
}

func (l Logging) check(wrong func(variable, problem string)) {
	if _, err := zapcore.ParseLevel(l.LogLevel); err != nil {
		wrong("DAAP_LOG_LEVEL", "must be debug, info, warn or error")
	}
	if l.LogFormat != "json" && l.LogFormat != "console" {
		wrong("DAAP_LOG_FORMAT", "must be json or console")
	}
}

// majorVersion is what PostgreSQL's major versions look like.
var majorVersion = regexp.MustCompile(`^[1-9][0-9]$`)

// leadsToPostgres says whether the text is a URL of a PostgreSQL. An @ after the host is none: there the password has a
// character that ends it unless it is escaped, and its rest would be taken for the database, and shown.
func leadsToPostgres(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && u.Host != "" &&
		!strings.Contains(u.Path+u.RawQuery+u.Fragment, "@")
}

// checkHeads checks the settings for heads of the audit log.
func (c Config) checkHeads(wrong func(variable, problem string)) {
	if c.AuditHeads == "" {
		return
	}
	if _, _, ok := c.HeadsBucket(); !ok {
		wrong("DAAP_AUDIT_HEADS", "must be s3://bucket or s3://bucket/prefix")
	}
	c.S3.check("DAAP_S3_", "DAAP_AUDIT_HEADS is set", wrong)
}

// check checks the access settings. Their names begin with prefix; where names the setting that requires them.
func (s S3) check(prefix, where string, wrong func(variable, problem string)) {
	if !leadsToStore(s.Endpoint) {
		wrong(prefix+"ENDPOINT", "must be a URL such as https://s3.example.com if "+where)
	}
	if s.AccessKey == "" || s.SecretKey == "" {
		wrong(prefix+"ACCESS_KEY", "and "+prefix+"SECRET_KEY must be set if "+where)
	}
}

// leadsToStore says whether the text is a URL of a host and nothing else: what it said beyond that would be left out.
func leadsToStore(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		strings.EqualFold(strings.TrimSuffix(text, "/"), u.Scheme+"://"+u.Host)
}

// HeadsBucket is the bucket and the prefix that AuditHeads names, and whether it names any.
func (c Config) HeadsBucket() (bucket, prefix string, ok bool) {
	at, isS3 := strings.CutPrefix(c.AuditHeads, "s3://")
	bucket, prefix, _ = strings.Cut(at, "/")
	return bucket, strings.Trim(prefix, "/"), isS3 && bucket != ""
}

// Peers is whom the worker lets databases talk with. Nothing runs without the Kubernetes API, nor is anything backed up
// without the object store: where they are must be set. Errors are of type *Error.
func (c Config) Peers() (manifest.Network, error) {
	var errs []error
	if len(c.Network.APIServers) == 0 {
		errs = append(errs, &Error{
			"DAAP_NETWORK_API_SERVERS",
			"must be the addresses that kubectl get endpointslices kubernetes shows, such as 10.0.0.10:6443",
		})
	}
	if c.Backup.Endpoint != "" && len(c.Network.Store) == 0 {
		errs = append(errs, &Error{
			"DAAP_NETWORK_STORE", "must be the addresses of DAAP_BACKUP_ENDPOINT, such as 10.0.0.0/24:9000, or its namespace",
		})
	}
	return manifest.Network(c.Network), errors.Join(errs...)
}

// Owner is the URL by which daap migrate reaches PostgreSQL.
func (c Config) Owner() string {
	if c.MigrationURL != "" {
		return c.MigrationURL
	}
	return c.DatabaseURL
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
			errs = append(errs, &Error{variable(parse.Name), "must be " + example(parse.Type)})
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// example says what a value of the type looks like.
func example(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a time such as 20s"
	case reflect.TypeFor[map[string]string]():
		return "a list such as 17=registry.example.com/postgresql:17.5"
	case reflect.TypeFor[float64]():
		return "a number"
	case reflect.TypeFor[[]netip.Prefix]():
		return "a list such as 10.0.0.0/8,192.0.2.1/32"
	case reflect.TypeFor[[]manifest.Peer]():
		return "a list of 10.0.0.0/24, 10.0.0.10:6443, namespace or namespace/label=value"
	case reflect.TypeFor[CodecKeys]():
		return strings.TrimPrefix(codecKeysWanted, "must be ")
	}
	return "a whole number"
}

// variable is the one that a field of Config, or of a group in it, is read from. Codec shares some of these names.
func variable(field string) string {
	all := reflect.TypeFor[Config]()
	if f, ok := all.FieldByName(field); ok {
		return f.Tag.Get("env")
	}
	for i := range all.NumField() {
		group := all.Field(i)
		if prefix := group.Tag.Get("envPrefix"); prefix != "" {
			if f, ok := group.Type.FieldByName(field); ok {
				return prefix + f.Tag.Get("env")
			}
		}
	}
	return field
}

// Kubernetes returns the access from KUBECONFIG, or from the pod in which this process runs.
func Kubernetes() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, &Error{"KUBECONFIG", fmt.Sprintf("does not configure a cluster: %v", err)}
	}
	config.UserAgent = "daap"
	config.QPS = -1 // the API server's own priority and fairness bounds it better
	return config, nil
}
