package main

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"

	"github.com/daap-dev/daap/cmd/internal/config"
	"github.com/daap-dev/daap/workflows"
)

// maxCodecBody bounds a request to the codec server: the largest answer of Temporal with its payloads in base64.
const maxCodecBody = 8 << 20

// codecDrain bounds the requests in progress when the codec server stops.
const codecDrain = 5 * time.Second

func codecCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "codec",
		Short: "Decrypt payloads for Temporal's UI and CLI",
		Long: `Decrypts payloads that were encrypted with DAAP_TEMPORAL_CODEC_KEYS, for Temporal's UI and CLI.

Everyone who can reach the server can read payloads. By default only users of this machine can. To serve others, run
it behind the proxy that authenticates users of the Temporal UI, on the same machine or in the same pod. It needs
only the keys, and no other access.

` + config.Help("codec"),
		Example: `  daap codec &
  temporal workflow show --codec-endpoint http://127.0.0.1:8234 --namespace daap --workflow-id …`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadCodec()
			if err != nil {
				return err
			}
			log, err := newLog(cfg.Logging)
			if err != nil {
				return fmt.Errorf("create a logger: %w", err)
			}
			log = log.With(zap.String("process", "codec"), zap.String("version", version))
			defer func() { _ = log.Sync() }() // as for every other service
			return serveCodec(cmd.Context(), cfg, log)
		},
	}
}

func serveCodec(ctx context.Context, cfg config.Codec, log *zap.Logger) error {
	codec, err := workflows.NewCodec(codecKeys(cfg.CodecKeys))
	if err != nil {
		return &config.Error{Variable: "DAAP_TEMPORAL_CODEC_KEYS", Problem: err.Error()}
	}
	if !config.OnLoopback(cfg.Addr) {
		log.Warn("The codec server is reachable from other machines and shows payloads to everyone who reaches it.")
	}
	return listener{
		what: "The codec server", variable: "DAAP_CODEC_ADDR", address: cfg.Addr, drain: codecDrain, log: log,
	}.serve(ctx, codecHandler(codec, cfg.Origin, log))
}

// codecHandler decodes and encodes payloads for those who come from no page in a browser, or from one of the origin.
func codecHandler(codec converter.PayloadCodec, origin string, log *zap.Logger) http.Handler {
	coding := http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(codec), maxCodecBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Add("Vary", "Origin")
		from := r.Header.Get("Origin")
		log.Info("codec",
			zap.String("method", r.Method), zap.String("address", r.RemoteAddr), zap.Bool("browser", from != ""))
		if from != "" && from != origin {
			http.Error(w, "requests from this page are not allowed; DAAP_CODEC_ORIGIN sets the allowed origin",
				http.StatusForbidden)
			return
		}
		if from != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true") // what the proxy in front knows people by
			w.Header().Set("Access-Control-Allow-Methods", http.MethodPost)
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
		}
		switch media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
		case r.Method == http.MethodOptions && from != "":
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPost && (err != nil || media != "application/json"):
			// A browser sends other types without asking first.
			http.Error(w, "the body must be application/json", http.StatusUnsupportedMediaType)
		default:
			coding.ServeHTTP(w, r)
		}
	})
}

// codecKeys are the keys of the settings, as the codec takes them.
func codecKeys(set config.CodecKeys) []workflows.CodecKey {
	keys := make([]workflows.CodecKey, len(set))
	for i, key := range set {
		keys[i] = workflows.CodecKey(key)
	}
	return keys
}
