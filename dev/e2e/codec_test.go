//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/workflows"
)

// TestEncryptedHistoryIsReadWithTheCodecServerAlone starts an operation's workflow as an API that encrypts does, in a
// Temporal namespace in which no worker is.
func TestEncryptedHistoryIsReadWithTheCodecServerAlone(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	encoded := base64.StdEncoding.EncodeToString(secret)
	watching.secrets.Add("the codec key of a test", encoded)
	const namespace = "e2e-encrypted"
	temporal := encrypting(t, namespace, workflows.CodecKey{ID: "e2e", Secret: secret})
	if err := workflows.Prepare(ctx, temporal, namespace, func(err error) { t.Log(err) }); err != nil {
		t.Fatal(err)
	}
	op := daap.Operation{ID: uuid.New(), DatabaseID: uuid.New(), Kind: daap.ProvisionDatabase, DatabaseName: "hidden-orders", OwnerTeam: "e2e"}
	var err error
	until(ctx, t, "the namespace takes workflows", func() bool { // it is known a little later
		err = workflows.Engine{Client: temporal}.StartWorkflow(ctx, op)
		return err == nil
	})
	t.Cleanup(func() {
		if err := temporal.TerminateWorkflow(context.WithoutCancel(ctx), op.WorkflowID(), "", "the test is over"); err != nil {
			t.Errorf("terminate the workflow: %v", err)
		}
	})

	show := `temporal workflow show --namespace ` + namespace + ` --workflow-id "$workflow" --output json $codec |
		jq -r '.events[0] | .userMetadata.summary, .workflowExecutionStartedEventAttributes.input.payloads[]
			| (.metadata.encoding | @base64d) as $encoding | $encoding, (.data | if $encoding == "json/plain" then @base64d else . end)'`
	workflow := "workflow=" + op.WorkflowID()
	plain := shell(ctx, t, show, workflow, "codec=", "TEMPORAL_CODEC_ENDPOINT=")
	if strings.Contains(plain, op.DatabaseID.String()) || strings.Contains(plain, op.DatabaseName) ||
		!strings.Contains(plain, "binary/encrypted") {
		t.Errorf("without the keys it shows\n%s", plain)
	}
	read := shell(ctx, t, show, workflow, "codec=--codec-endpoint http://"+codecServer(ctx, t, "e2e="+encoded))
	listed(t, read, op.DatabaseID.String(), op.ID.String(), op.DatabaseName)
}

func encrypting(t *testing.T, namespace string, key workflows.CodecKey) client.Client {
	t.Helper()
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		t.Fatal(err)
	}
	options.Namespace, options.Logger = namespace, sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	if err := workflows.Encrypt(&options, []workflows.CodecKey{key}); err != nil {
		t.Fatal(err)
	}
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(temporal.Close)
	return temporal
}

// codecServer runs daap codec until the test ends, and returns its address.
func codecServer(ctx context.Context, t *testing.T, keys string) string {
	t.Helper()
	free, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(stateDir(), "bin", "daap"), "codec")
	// Nothing of the stack's environment: it needs nothing else.
	server.Env = []string{"DAAP_TEMPORAL_CODEC_KEYS=" + keys, "DAAP_CODEC_ADDR=" + address}
	var says strings.Builder
	server.Stdout, server.Stderr = &says, &says
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		if err := server.Wait(); err != nil {
			t.Errorf("daap codec ends with %v", err)
		}
		watching.keep("what the codec server prints", []byte(says.String()))
	})
	until(ctx, t, fmt.Sprintf("the codec server answers at %s", address), func() bool {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return address
}
