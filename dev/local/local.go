// Package local is what a person on the local stack has at hand: the API, Kubernetes and psql.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"github.com/ogen-go/ogen/ogenerrors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/api/oas"
)

// Actor is how timelines and the audit log name the bearer of the stack's own key.
const Actor = "platform/local"

// Stack is the running local stack.
type Stack struct {
	API        *oas.Client
	Kubernetes client.Client
	// Access is that to Kubernetes.
	Access *rest.Config
	// URL is the API's address.
	URL string
}

// Open returns the stack that the environment describes, as `stack env` prints it.
func Open() (*Stack, error) {
	address := os.Getenv("DAAP_HTTP_ADDR")
	if address == "" {
		return nil, errors.New("DAAP_HTTP_ADDR is not set; " +
			"start the stack with make up and load what `go run ./dev/stack env` prints")
	}
	url := "http://" + address
	key, err := os.ReadFile(os.Getenv("DAAP_API_KEY_FILE"))
	if err != nil {
		return nil, fmt.Errorf("read the API key that DAAP_API_KEY_FILE leads to: %w", err)
	}
	api, err := NewClient(url, strings.TrimSpace(string(key)))
	if err != nil {
		return nil, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	access, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load KUBECONFIG: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("create a scheme: %w", err)
	}
	kube, err := client.New(access, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("create a Kubernetes client: %w", err)
	}
	return &Stack{API: api, Kubernetes: kube, Access: access, URL: url}, nil
}

// NewClient returns a client of the API at the URL that sends the key.
func NewClient(url, key string) (*oas.Client, error) {
	api, err := oas.NewClient(url, apiKey(key))
	if err != nil {
		return nil, fmt.Errorf("make an API client: %w", err)
	}
	return api, nil
}

// Tier is the tier of what is provisioned here: the least that runs.
const Tier = "local"

// MakeTier offers the tier, unless it is offered already.
func (s *Stack) MakeTier(ctx context.Context) error {
	return s.OfferTier(ctx, oas.CreateTierRequest{
		Name: Tier, Description: oas.NewOptString("The least that runs on the local stack"),
		CPU: "100m", Memory: "512Mi", StorageSize: "1Gi",
	})
}

// OfferTier offers a tier of the stack's PostgreSQL whose databases are deleted for good, unless one of its name is
// offered already.
func (s *Stack) OfferTier(ctx context.Context, asked oas.CreateTierRequest) error {
	asked.PgVersion, asked.DestructionStrategy = "17", oas.DestructionStrategyHardDelete
	_, err := s.API.CreateTier(ctx, &asked, oas.CreateTierParams{})
	var refused *oas.ErrorStatusCodeWithHeaders
	if errors.As(err, &refused) && refused.Response.Error.Code == oas.ErrorCodeNameTaken {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make tier %s: %w", asked.Name, err)
	}
	return nil
}

// Accepted is what the API answers to a change that takes time; an error where it answered something else.
func Accepted(answer any, err error) (*oas.DatabaseAcceptedHeaders, error) {
	if err != nil {
		return nil, err
	}
	accepted, is := answer.(*oas.DatabaseAcceptedHeaders)
	if !is {
		return nil, fmt.Errorf("the API answered with %T, not that it accepts the change", answer)
	}
	return accepted, nil
}

// apiKey is sent in the header X-API-Key.
type apiKey string

// ApiKey returns the key.
func (k apiKey) ApiKey(context.Context, oas.OperationName) (oas.ApiKey, error) {
	return oas.ApiKey{APIKey: string(k)}, nil
}

// Bearer leaves the other header out.
func (apiKey) Bearer(context.Context, oas.OperationName) (oas.Bearer, error) {
	return oas.Bearer{}, ogenerrors.ErrSkipClientSecurity
}

// followInterval is how often Follow looks: often enough that a person sees each step happen.
const followInterval = 100 * time.Millisecond

// Follow shows the operation each time it is looked at, until it is over or needs attention, and returns it
// then. The end of ctx is an error.
func (s *Stack) Follow(ctx context.Context, id uuid.UUID, show func(oas.Operation)) (oas.Operation, error) {
	look := time.NewTicker(followInterval)
	defer look.Stop()
	for {
		found, err := s.API.GetOperation(ctx, oas.GetOperationParams{ID: id})
		if err != nil {
			return oas.Operation{}, fmt.Errorf("get operation %s: %w", id, err)
		}
		if show != nil {
			show(found.Data)
		}
		switch found.Data.State {
		case oas.OperationStatePending, oas.OperationStateRunning, oas.OperationStateCancelling:
		default:
			return found.Data, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return found.Data, fmt.Errorf("operation %s is %s: %w", id, found.Data.State, ctx.Err())
		}
	}
}
