//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/dev/local"
)

// aside is the name under which the node keeps the image meanwhile: without a name it would be thrown away.
const aside = "localhost/aside:chaos"

// imageMissing takes the image of the databases from the node, until it is put back.
func imageMissing(ctx context.Context, t *testing.T, c cell) {
	image, putBack := hidden.image(ctx, t)
	parksUntilThereIsItsImage(ctx, t, begin(ctx, t, c.kind, nil), image, putBack)
}

func parksUntilThereIsItsImage(
	ctx context.Context, t *testing.T, x *experiment, image string, putBack func(context.Context),
) {
	t.Helper()
	op := x.parked(ctx, t, daap.CauseImagePull)
	if !strings.Contains(op.Error.Value.Message, image) {
		t.Errorf("the cause does not name the image %s: %s", image, op.Error.Value.Message)
	}
	putBack(ctx)
	retry(ctx, t, op)
	x.succeeds(ctx, t)
}

// postgresImage is the image of the databases: the stack offers one version.
func postgresImage() string {
	_, image, _ := strings.Cut(os.Getenv("DAAP_POSTGRES_VERSIONS"), "=")
	return image
}

// hideImage takes the image from the node.
func hideImage(ctx context.Context, t *testing.T, image string) {
	t.Helper()
	ctr(ctx, t, "tag", "--force", image, aside)
	ctr(ctx, t, "rm", image)
	if names := ctr(ctx, t, "ls", "--quiet"); strings.Contains(names, image+"\n") {
		t.Fatalf("the node still has %s", image)
	}
}

// showImage puts the image back.
func showImage(ctx context.Context, t *testing.T, image string) {
	t.Helper()
	ctr(ctx, t, "tag", "--force", aside, image)
	ctr(ctx, t, "rm", aside)
}

// ctr does something with the images of the node.
func ctr(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	socket := filepath.Join(local.StateDir(), "containerd", "containerd.sock")
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", socket, "-n", "k8s.io", "images"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ctr images %s: %v", strings.Join(args, " "), fmt.Errorf("%w: %s", err, out))
	}
	return string(out)
}
