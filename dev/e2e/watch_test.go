//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/dev/leak"
)

// watch learns every secret that there is while the tests run, and keeps of what is gone at their end what may have shown
// one: answers of the API, objects and events of Kubernetes, logs of pods, arguments of processes.
type watch struct {
	began   time.Time
	secrets leak.Secrets
	// dir is where things are kept, on the file system of the stack's state.
	dir  string
	stop func()
	over sync.WaitGroup

	mu    sync.Mutex
	files map[string]*os.File
	// logs are the files of pods that are kept, commands the arguments that were seen.
	logs     map[uint64]bool
	commands map[string]bool
	plants   []plant
}

// lookEvery is how often logs and processes are looked at.
const lookEvery = 300 * time.Millisecond

func startWatch(ctx context.Context) (*watch, error) {
	dir, err := os.MkdirTemp(stateDir(), "e2e-kept-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	w := &watch{
		began: time.Now(), dir: dir, stop: stop,
		files: map[string]*os.File{}, logs: map[uint64]bool{}, commands: map[string]bool{},
	}
	if err := errors.Join(w.learnStack(), w.followKubernetes(ctx)); err != nil {
		stop()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	http.DefaultTransport = recorder{w, http.DefaultTransport} // which all clients of the API in the tests use
	w.over.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for ctx.Err() == nil {
			w.keepLogs()
			w.keepCommands()
			select {
			case <-look.C:
			case <-ctx.Done():
			}
		}
	})
	return w, nil
}

// learnStack takes in the secrets of the stack itself.
func (w *watch) learnStack() error {
	files, err := filepath.Glob(filepath.Join(stateDir(), "*.password"))
	keys, _ := filepath.Glob(filepath.Join(stateDir(), "pki", "*.key")) // the pattern is well-formed
	if err != nil || len(files) == 0 || len(keys) == 0 {
		return fmt.Errorf("find the stack's secrets: %d passwords, %d keys, %w", len(files), len(keys), err)
	}
	for _, file := range append(files, keys...) {
		secret, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read a secret of the stack: %w", err)
		}
		w.secrets.Add("the stack's "+filepath.Base(file), string(secret))
	}
	for _, setting := range os.Environ() {
		name, value, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, "DAAP_") && strings.HasSuffix(name, "_SECRET_KEY") {
			w.secrets.Add(name, value)
		}
		if name == "DAAP_TEMPORAL_CODEC_KEYS" {
			for pair := range strings.SplitSeq(value, ",") {
				id, secret, _ := strings.Cut(pair, "=")
				w.secrets.Add(name+" "+id, secret)
			}
		}
	}
	key, err := os.ReadFile(os.Getenv("DAAP_API_KEY_FILE"))
	w.learnKey("the stack's API key", strings.TrimSpace(string(key)))
	return err
}

// learnKey takes in an API key; how it begins is no secret.
func (w *watch) learnKey(name, key string) {
	if parts := strings.Split(key, "_"); len(parts) == 4 {
		w.secrets.Add(name, parts[2])
	}
}

// keysIn takes in the API keys that scripts left as headers in the directory.
func (w *watch) keysIn(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.header"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the scripts left no keys: %v", err)
	}
	for _, file := range files {
		header, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.learnKey("the API key in "+filepath.Base(file), strings.TrimSpace(strings.TrimPrefix(string(header), "X-API-Key: ")))
	}
}

// public are the keys of Secrets whose values are none.
func public(key string) bool {
	return strings.HasSuffix(key, ".crt") || strings.Contains(key, "KEY_ID") || slices.Contains([]string{
		"username", "user", "dbname", "host", "port", "SIDECAR_IMAGE", // which the Barman Cloud plugin keeps in one
	}, key)
}

// followKubernetes learns all Secrets from now on, and keeps every state of what may show one.
func (w *watch) followKubernetes(ctx context.Context) error {
	objects, err := cache.New(stack.Access, cache.Options{Scheme: stack.Kubernetes.Scheme()})
	if err != nil {
		return fmt.Errorf("watch Kubernetes: %w", err)
	}
	kept := map[string]client.Object{
		"Secrets": &corev1.Secret{}, "events": &corev1.Event{}, "pods": &corev1.Pod{},
		"config maps": &corev1.ConfigMap{}, "Clusters": &cnpgv1.Cluster{},
	}
	for name, kind := range kept {
		informer, err := objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %s: %w", name, err)
		}
		saw := func(object any) {
			if secret, is := object.(*corev1.Secret); is {
				w.learnSecret(secret)
				return
			}
			if text, err := json.Marshal(object); err == nil {
				w.keep("Kubernetes's "+name, text)
			}
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: saw, UpdateFunc: func(_, object any) { saw(object) },
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", name, err)
		}
	}
	w.over.Go(func() { _ = objects.Start(ctx) }) // it ends with ctx
	if !objects.WaitForCacheSync(ctx) {
		return errors.New("fill the watch cache")
	}
	return nil
}

func (w *watch) learnSecret(secret *corev1.Secret) {
	for key, value := range secret.Data {
		if !public(key) {
			w.secrets.Add(fmt.Sprintf("%s of Secret %s/%s", key, secret.Namespace, secret.Name), string(value))
		}
	}
}

// keep keeps a text until the search.
func (w *watch) keep(what string, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := w.files[what]
	if file == nil {
		var err error
		if file, err = os.Create(filepath.Join(w.dir, what)); err != nil {
			panic(err) // without it nothing is searched
		}
		w.files[what] = file
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// keepLogs links the logs of databases' pods, which stay so when kubelet removes them.
func (w *watch) keepLogs() {
	pods, _ := filepath.Glob(filepath.Join(stateDir(), "var-log", "pods", "daap-*")) // the pattern is well-formed
	for _, pod := range pods {
		_ = filepath.WalkDir(pod, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil //nolint:nilerr // it went away meanwhile
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			stat, is := info.Sys().(*syscall.Stat_t)
			if !is || w.logs[stat.Ino] {
				return nil
			}
			name := strings.ReplaceAll(strings.TrimPrefix(path, filepath.Dir(pod)+"/"), "/", " ")
			if os.Link(path, filepath.Join(w.dir, fmt.Sprintf("kept log of %s (%d)", name, stat.Ino))) == nil {
				w.logs[stat.Ino] = true
			}
			return nil
		})
	}
}

// keepCommands keeps the arguments of every process of this machine, those of pods too.
func (w *watch) keepCommands() {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, process := range processes {
		arguments, err := os.ReadFile(process)
		if err == nil && len(arguments) > 0 && !w.commands[string(arguments)] {
			w.commands[string(arguments)] = true
			w.keep("processes' arguments", bytes.ReplaceAll(arguments, []byte{0}, []byte{' '}))
		}
	}
}

// recorder keeps what the API answers.
type recorder struct {
	watch *watch
	next  http.RoundTripper
}

// RoundTrip sends the request.
func (r recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(request)
	if err != nil || !strings.HasPrefix(request.URL.String(), stack.URL) {
		return answer, err
	}
	answer.Body = &recorded{
		ReadCloser: answer.Body, watch: r.watch,
		mayShowKey: answer.StatusCode < http.StatusBadRequest && request.Method == http.MethodPost &&
			(request.URL.Path == "/api-keys" || strings.HasPrefix(request.URL.Path, "/api-keys/") && strings.HasSuffix(request.URL.Path, "/rotate")),
		about: fmt.Sprintf("%s %s: %s %v\n", request.Method, request.URL.Path, answer.Status, answer.Header),
	}
	return answer, nil
}

// recorded is the body of an answer; what was read of it is kept when it is closed.
type recorded struct {
	io.ReadCloser
	watch      *watch
	about      string
	read       bytes.Buffer
	mayShowKey bool
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.read.Write(p[:n])
	return n, err
}

// Close keeps the answer. The answers that make a key are the only ones that may show it, and only there.
func (r *recorded) Close() error {
	body := r.read.Bytes()
	var made struct {
		Data struct{ Key string }
	}
	if r.mayShowKey && json.Unmarshal(body, &made) == nil && made.Data.Key != "" {
		r.watch.learnKey("the API key that was made by "+strings.SplitN(r.about, ":", 2)[0], made.Data.Key)
		body = bytes.Replace(body, []byte(made.Data.Key), nil, 1)
	}
	r.watch.keep("the API's answers", append([]byte(r.about), body...))
	return r.ReadCloser.Close()
}
