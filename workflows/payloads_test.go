package workflows_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/daap-dev/daap"
)

// harmless reports the part of a payload that may not be in a history: it may hold IDs, names of steps, and what people
// wrote or read about an operation; nothing else, secrets above all.
func harmless(data []byte) error {
	var value any
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	return harmlessValue("", value)
}

// told are fields that people wrote or read, or that identify the decider in the audit log.
var told = []string{
	"Code", "Message", "Remedy", "action", "actor", "reason", "team", "role", "request_id", "address",
}

func harmlessValue(field string, value any) error {
	switch value := value.(type) {
	case nil, bool, float64:
		return nil // nothing, a switch, or the number of a version
	case map[string]any:
		for name, inner := range value {
			if err := harmlessValue(name, inner); err != nil {
				return err
			}
		}
		return nil
	case string:
		_, notAnID := uuid.Parse(value)
		switch {
		case slices.Contains([]string{"Operation", "Database", "key_id"}, field) && notAnID == nil,
			(field == "Step" || field == "step") && len(value) <= 40 && !strings.Contains(value, " "),
			slices.Contains(told, field),
			field == "": // what a wait says of its progress
			return nil
		}
	}
	return fmt.Errorf("field %q holds %v, which is neither an ID nor made for people", field, value)
}

// alice decides through the API.
var alice = daap.Origin{
	Actor: "shop/alice", KeyID: uuid.New(), Team: "shop", Role: daap.RoleProductTeam,
	RequestID: uuid.NewString(), Address: "192.0.2.1", Success: 202,
}

// guard is a codec that checks every payload and changes none.
type guard struct {
	mu   sync.Mutex
	seen []string
	errs []error
}

func (g *guard) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, payload := range payloads {
		g.seen = append(g.seen, string(payload.GetData()))
		if err := harmless(payload.GetData()); err != nil {
			g.errs = append(g.errs, err)
		}
	}
	return payloads, nil
}

func (g *guard) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return payloads, nil
}

func TestPayloadsContainOnlyIDsAndShownTexts(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			secrets := w.passwords()
			w.failsOnceAt(kind.Steps()[1].Name)
			env := w.environment()
			g := &guard{}
			env.SetDataConverter(converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), g))
			env.RegisterDelayedCallback(func() {
				secrets = append(secrets, w.passwords()...)
				w.signal(daap.Decision{Action: daap.ActionRetry, Origin: alice, Reason: "raised"})
			}, time.Hour)
			w.run()
			secrets = append(secrets, w.passwords()...)
			if len(g.seen) == 0 || len(secrets) == 0 {
				t.Fatalf("%d payloads and %d secrets were seen; the test would find nothing", len(g.seen), len(secrets))
			}
			for _, err := range g.errs {
				t.Error(err)
			}
			for _, secret := range secrets {
				if strings.Contains(strings.Join(g.seen, "\n"), secret) {
					t.Error("a payload holds a password")
				}
			}
		})
	}
}

func TestUnexpectedPayloadIsFound(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"Operation": "not an id"}`, `{"Password": "x"}`, `{"Step": "a step with words"}`, `{"Operation": {"Spec": "y"}}`, `["x"]`,
	} {
		if harmless([]byte(payload)) == nil {
			t.Errorf("%s is found harmless", payload)
		}
	}
}
