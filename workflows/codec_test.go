package workflows_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/workflows"
)

// codecKey is a key of that ID; another ID is another secret.
func codecKey(id string) workflows.CodecKey {
	return workflows.CodecKey{ID: id, Secret: bytes.Repeat([]byte(id[:1]), 32)}
}

func newCodec(t *testing.T, ids ...string) converter.PayloadCodec {
	t.Helper()
	var keys []workflows.CodecKey
	for _, id := range ids {
		keys = append(keys, codecKey(id))
	}
	codec, err := workflows.NewCodec(keys)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

func somePayloads() []*commonpb.Payload {
	return []*commonpb.Payload{
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"Database":"0190a0a0"}`)},
		{Metadata: map[string][]byte{"encoding": []byte("binary/null")}},
	}
}

func encoded(t *testing.T, codec converter.PayloadCodec) []*commonpb.Payload {
	t.Helper()
	sealed, err := codec.Encode(somePayloads())
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestPayloadsRoundTripEncrypted(t *testing.T) {
	t.Parallel()
	codec := newCodec(t, "new")
	sealed := encoded(t, codec)
	for _, payload := range sealed {
		raw, err := proto.Marshal(payload)
		if err != nil || bytes.Contains(raw, []byte("0190a0a0")) || bytes.Contains(raw, []byte("json/plain")) {
			t.Errorf("an encrypted payload shows what it was (%v)", err)
		}
	}
	again := encoded(t, codec)
	if bytes.Equal(sealed[0].GetData(), again[0].GetData()) {
		t.Error("the same payload is encrypted to the same twice")
	}
	opened, err := codec.Decode(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range somePayloads() {
		if !proto.Equal(opened[i], want) {
			t.Errorf("payload %d is %v afterwards, want %v", i, opened[i], want)
		}
	}
}

func TestPlainPayloadsStayReadable(t *testing.T) {
	t.Parallel()
	codec := newCodec(t, "new", "old")
	for name, payloads := range map[string][]*commonpb.Payload{
		"another key was the first": encoded(t, newCodec(t, "old")),
		"nothing was encrypted":     somePayloads(),
	} {
		opened, err := codec.Decode(payloads)
		if err != nil || !proto.Equal(opened[0], somePayloads()[0]) {
			t.Errorf("%s: %v, %v; want what it was", name, opened, err)
		}
	}
	if id := string(encoded(t, codec)[0].GetMetadata()["encryption-key-id"]); id != "new" {
		t.Errorf("key %q encrypts, want the first", id)
	}
}

func TestTamperedPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	codec := newCodec(t, "new", "old")
	changed := func(change func(*commonpb.Payload)) []*commonpb.Payload {
		sealed := encoded(t, codec)
		change(sealed[0])
		return sealed
	}
	for name, tt := range map[string]struct {
		payloads []*commonpb.Payload
		says     string
	}{
		"key unknown":   {encoded(t, newCodec(t, "lost")), `key "lost" is not configured`},
		"data changed":  {changed(func(p *commonpb.Payload) { p.Data[len(p.Data)-1] ^= 1 }), `not encrypted with key "new"`},
		"nonce changed": {changed(func(p *commonpb.Payload) { p.Data[0] ^= 1 }), `not encrypted with key "new"`},
		"data cut":      {changed(func(p *commonpb.Payload) { p.Data = p.Data[:5] }), `too short for key "new"`},
		"key's name changed": {
			changed(func(p *commonpb.Payload) { p.Metadata["encryption-key-id"] = []byte("old") }), `not encrypted with key "old"`,
		},
		"key's name gone": {changed(func(p *commonpb.Payload) { delete(p.Metadata, "encryption-key-id") }), `key "" is not configured`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened, err := codec.Decode(tt.payloads)
			if !errors.Is(err, workflows.ErrUnreadable) || !strings.Contains(err.Error(), tt.says) || opened != nil {
				t.Errorf("Decode = %v, %v; want an error with %q", opened, err, tt.says)
			}
		})
	}
}

func TestKeyOfTheWrongSizeIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := workflows.NewCodec([]workflows.CodecKey{{ID: "short", Secret: []byte("too short")}}); err == nil {
		t.Error("it is taken")
	}
}

// TestNothingIsEncryptedUntilAKeyIsFirst: off is plain, and so is the time in which not every process has the key yet.
func TestNothingIsEncryptedUntilAKeyIsFirst(t *testing.T) {
	t.Parallel()
	plain := workflows.CodecKey{ID: "plain"}
	for name, keys := range map[string][]workflows.CodecKey{"off": nil, "not yet": {plain, codecKey("new")}} {
		codec, err := workflows.NewCodec(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := encoded(t, codec); !proto.Equal(got[0], somePayloads()[0]) {
			t.Errorf("%s: it is %v, want it plain", name, got[0])
		}
		opened, err := codec.Decode(encoded(t, newCodec(t, "new")))
		if read := err == nil && proto.Equal(opened[0], somePayloads()[0]); read != (len(keys) > 0) {
			t.Errorf("%s: what is encrypted is %v (%v)", name, opened, err)
		}
		var options client.Options
		if err := workflows.Encrypt(&options, keys); err != nil {
			t.Fatal(err)
		}
		if failure := options.FailureConverter.ErrorToFailure(errors.New("it fails")); failure.GetMessage() != "it fails" {
			t.Errorf("%s: the failure says %q", name, failure.GetMessage())
		}
	}
}

// encrypted are a client's options with encryption under the keys.
func encrypted(t *testing.T, ids ...string) client.Options {
	t.Helper()
	var options client.Options
	var keys []workflows.CodecKey
	for _, id := range ids {
		keys = append(keys, codecKey(id))
	}
	if err := workflows.Encrypt(&options, keys); err != nil {
		t.Fatal(err)
	}
	return options
}

// TestEncryptedHistoriesReplay proves that operations continue if encryption was switched on before them, or while they
// ran, and where the keys were rotated meanwhile.
func TestEncryptedHistoriesReplay(t *testing.T) {
	t.Parallel()
	for name, file := range histories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain, sealed := read(t, file), read(t, file)
			encryptAll(t, sealed, newCodec(t, "old"))
			for situation, history := range map[string]*historypb.History{"switched on": plain, "rotated": sealed} {
				if err := replay(t, encrypted(t, "new", "old"), history); err != nil {
					t.Errorf("%s: %v", situation, err)
				}
			}
		})
	}
}

// TestWorkflowWaitsForAWorkerWithTheKey: a worker that lacks it must fail the task, which is tried again, and not the
// workflow, which would be over.
func TestWorkflowWaitsForAWorkerWithTheKey(t *testing.T) {
	t.Parallel()
	history := read(t, histories(t)[string(daap.ProvisionDatabase)])
	encryptAll(t, history, newCodec(t, "lost"))
	for name, options := range map[string]client.Options{"another key": encrypted(t, "new"), "no key": encrypted(t)} {
		err := replay(t, options, history)
		var panicked interface{ StackTrace() string } // of a workflow's code, for which Temporal fails the task alone
		if !errors.As(err, &panicked) || !strings.Contains(err.Error(), `key "lost" is not configured`) {
			t.Errorf("replay with %s: %v, want a panic that names the key", name, err)
		}
	}
}

func replay(t *testing.T, options client.Options, history *historypb.History) error {
	t.Helper()
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		DataConverter: options.DataConverter, FailureConverter: options.FailureConverter,
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, run := range kinds {
		replayer.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: string(kind)})
	}
	return replayer.ReplayWorkflowHistory(nil, history)
}

// encryptAll encrypts every payload of the history.
func encryptAll(t *testing.T, history *historypb.History, codec converter.PayloadCodec) {
	t.Helper()
	err := proxy.VisitPayloads(context.Background(), history, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return codec.Encode(payloads)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFailuresAreEncrypted: what an activity says of its failure is for people, and still names hosts and objects.
func TestFailuresAreEncrypted(t *testing.T) {
	t.Parallel()
	options := encrypted(t, "new")
	cause := daap.NewCause(daap.CauseConnectFailed, "connect to pooler.daap-0190a0a0.svc")
	failure := options.FailureConverter.ErrorToFailure(temporal.NewApplicationErrorWithOptions(cause.Message, string(cause.Code),
		temporal.ApplicationErrorOptions{Details: []any{cause}}))
	raw, err := proto.Marshal(failure)
	if err != nil || bytes.Contains(raw, []byte("0190a0a0")) {
		t.Errorf("the failure shows what it says (%v): %v", err, failure)
	}
	var read *temporal.ApplicationError
	var details daap.Cause
	if !errors.As(options.FailureConverter.FailureToError(failure), &read) || read.Message() != cause.Message ||
		read.Details(&details) != nil || details.Code != cause.Code {
		t.Errorf("the failure is %v afterwards, with %+v", read, details)
	}
}

// TestRunSendsNothingPlainToTemporal runs every operation with encryption on: it does what it does without, and no payload
// that Temporal gets has an ID in it.
func TestRunSendsNothingPlainToTemporal(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			w.failsOnceAt(kind.Steps()[1].Name)
			env := w.environment()
			last := &wire{}
			env.SetDataConverter(converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), last, newCodec(t, "new")))
			env.RegisterDelayedCallback(func() {
				w.signal(daap.Decision{Action: daap.ActionRetry, Origin: alice, Reason: "raised"})
			}, time.Hour)
			w.run()
			if last.payloads == 0 {
				t.Fatal("no payload was seen")
			}
			if last.plain > 0 {
				t.Errorf("%d of %d payloads show the operation or its database", last.plain, last.payloads)
			}
		})
	}
}

// wire is a codec that records the payloads for Temporal and changes nothing.
type wire struct {
	mu              sync.Mutex
	payloads, plain int
}

func (w *wire) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, payload := range payloads {
		raw, err := proto.Marshal(payload)
		if err != nil {
			return nil, err
		}
		w.payloads++
		for _, shown := range []string{input.Database.String(), input.Operation.String(), alice.Actor} {
			if bytes.Contains(raw, []byte(shown)) {
				w.plain++
				break
			}
		}
	}
	return payloads, nil
}

func (w *wire) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return payloads, nil
}
