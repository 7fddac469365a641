package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/objectstore/minioadmin"
	"github.com/daap-dev/daap/cmd/internal/config"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// service is what every command has: its settings and a log. The rest is opened by those who need it.
type service struct {
	config config.Config
	log    *zap.Logger
}

func newService(name string) (service, error) {
	cfg, err := config.Load()
	if err != nil {
		return service{}, err
	}
	log, err := newLog(cfg.Logging)
	if err != nil {
		return service{}, fmt.Errorf("create a logger: %w", err)
	}
	log = log.With(zap.String("process", name), zap.String("version", version))
	ctrllog.SetLogger(logr.FromSlogHandler(zapslog.NewHandler(log.Core())))
	return service{config: cfg, log: log}, nil
}

func (s service) close() { _ = s.log.Sync() } // a terminal cannot be synced, which is no loss

func newLog(cfg config.Logging) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		return nil, err
	}
	settings := zap.NewProductionConfig()
	if cfg.LogFormat == "console" {
		settings = zap.NewDevelopmentConfig()
	}
	settings.Level = zap.NewAtomicLevelAt(level)
	settings.Sampling = nil // every line may matter
	settings.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	settings.DisableStacktrace = true
	return settings.Build()
}

// report returns a function that logs an error that is only retried.
func (s service) report(what string) func(error) {
	return func(err error) { s.log.Warn(what, zap.Error(err)) }
}

// store opens DAAP's own PostgreSQL. The caller closes the pool.
func (s service) store(ctx context.Context) (*persistence.Store, *pgxpool.Pool, error) {
	pool, err := persistence.Open(ctx, s.config.DatabaseURL)
	if err != nil {
		return nil, nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	return persistence.New(pool), pool, nil
}

// temporal returns a client that connects when it is first used, and the namespace it works in.
func (s service) temporal() (client.Client, string, error) {
	options, err := config.Temporal()
	if err != nil {
		return nil, "", err
	}
	if err := workflows.Encrypt(&options, codecKeys(s.config.CodecKeys)); err != nil {
		return nil, "", &config.Error{Variable: "DAAP_TEMPORAL_CODEC_KEYS", Problem: err.Error()}
	}
	options.Logger = sdklog.NewStructuredLogger(slog.New(zapslog.NewHandler(s.log.Core())))
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, "", fmt.Errorf("create a Temporal client: %w", err)
	}
	return c, options.Namespace, nil
}

// newScheme knows the kinds of objects that DAAP reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("create a scheme: %w", err)
	}
	return scheme, nil
}

// storeTries is the number of attempts of a request to an object store; the caller retries after that.
const storeTries = 3

// storeTransport returns the endpoint of an object store and the guarded way to it, which uses no proxy.
func (s service) storeTransport(access config.S3) (*url.URL, *http.Transport, error) {
	endpoint, err := url.Parse(access.Endpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the object store's endpoint: %w", err)
	}
	transport, err := objectstore.DialGuard{Allowed: s.config.S3Allow}.Transport(endpoint.Scheme == "https")
	return endpoint, transport, err
}

// objectStore is a client of an object store. It follows no redirects.
func (s service) objectStore(access config.S3) (*minio.Client, error) {
	endpoint, transport, err := s.storeTransport(access)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(access.AccessKey, access.SecretKey, ""),
		Secure: endpoint.Scheme == "https", Transport: transport, MaxRetries: storeTries,
	})
	if err != nil {
		return nil, fmt.Errorf("create an object store client: %w", err)
	}
	return client, nil
}

// storeAdmin is a client of MinIO's admin API.
func (s service) storeAdmin(access config.S3) (*minioadmin.Client, error) {
	endpoint, transport, err := s.storeTransport(access)
	if err != nil {
		return nil, err
	}
	return minioadmin.New(endpoint, access.AccessKey, access.SecretKey, transport), nil
}
