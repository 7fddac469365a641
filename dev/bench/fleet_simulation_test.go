//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// simulation is what stands for CloudNativePG: it makes the objects that the operator would make of a database, and then
// moves their status. Nothing runs behind them.
type simulation struct {
	kubernetes kubernetes
	api        client.Client
	platform   manifest.Platform
}

// fillers is how many databases are made at once.
const fillers = 16

// simulatedOwner is the field manager of what CloudNativePG writes: it calls itself so.
const simulatedOwner = "manager"

func newSimulation(t *testing.T, k kubernetes) *simulation {
	t.Helper()
	return &simulation{kubernetes: k, api: k.client(t), platform: platform(t)}
}

func platform(t *testing.T) manifest.Platform {
	t.Helper()
	p := manifest.Platform{
		PostgresImages: daap.Catalog{"17": "registry.invalid/postgresql:17.5"}, StorageClass: "local",
		Archive: manifest.Archive{Endpoint: "http://minio:9000"},
	}
	for peers, text := range map[*[]manifest.Peer]string{
		&p.Network.Operator: "cnpg-system/app.kubernetes.io/name=cloudnative-pg", &p.Network.Metrics: "monitoring",
		&p.Network.Worker: "daap/app.kubernetes.io/name=daap-worker", &p.Network.DNS: "kube-system/k8s-app=kube-dns",
		&p.Network.APIServers: "10.0.0.10:6443", &p.Network.Store: "10.0.0.11:9000",
	} {
		var peer manifest.Peer
		if err := peer.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		*peers = []manifest.Peer{peer}
	}
	return p
}

// provision makes all objects of the databases: of the first one through the API, and the others as copies of what the
// API server has stored of that: through the API, ten thousand take ten minutes.
func (s *simulation) provision(t *testing.T, dbs []daap.Database) {
	t.Helper()
	first := dbs[0]
	if err := s.make(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	stored := s.stored(t, first)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(fillers)
	for _, db := range dbs[1:] {
		group.Go(func() error { return s.copy(ctx, stored, first, db) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// awaitSeen waits until the API server has seen all that was stored: where it lags, it would have a client try again.
func (s *simulation) awaitSeen(t *testing.T, databases int) {
	t.Helper()
	cached := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}
	for _, kind := range []string{"Backup", "Cluster", "Pooler"} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(cnpgv1.SchemeGroupVersion.WithKind(kind + "List"))
		await(t, 5*time.Minute, "the objects in the API server", func(ctx context.Context) error {
			if err := s.api.List(ctx, list, cached); err != nil {
				return err
			}
			if len(list.Items) != databases {
				return fmt.Errorf("it has seen %d of %d", len(list.Items), databases)
			}
			return nil
		})
	}
}

// keyValue is one object as etcd has it.
type keyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// stored are the objects of the database as etcd has them.
func (s *simulation) stored(t *testing.T, db daap.Database) []keyValue {
	t.Helper()
	var all struct {
		KVs []keyValue `json:"kvs"`
	}
	everything := map[string]any{"key": []byte("/registry/"), "range_end": []byte("/registry0")}
	if err := s.etcd(t.Context(), "range", everything, &all); err != nil {
		t.Fatal(err)
	}
	own := slices.DeleteFunc(all.KVs, func(kv keyValue) bool {
		return !bytes.Contains(kv.Key, []byte(daap.Namespace(db.ID)))
	})
	if len(own) != objectsOfDatabase {
		t.Fatalf("%d objects are stored of a database, want %d", len(own), objectsOfDatabase)
	}
	return own
}

var uid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// copy stores for a database what is stored for the first. IDs are all as long as each other, so that they can be
// replaced where they are, and each object gets a UID of its own.
func (s *simulation) copy(ctx context.Context, stored []keyValue, first, db daap.Database) error {
	type put struct {
		RequestPut keyValue `json:"request_put"`
	}
	var puts []put
	was, is := []byte(first.ID.String()), []byte(db.ID.String())
	for _, kv := range stored {
		value := uid.ReplaceAllFunc(kv.Value, func([]byte) []byte { return []byte(uuid.NewString()) })
		puts = append(puts, put{keyValue{bytes.ReplaceAll(kv.Key, was, is), bytes.ReplaceAll(value, was, is)}})
	}
	return s.etcd(ctx, "txn", map[string]any{"success": puts}, nil)
}

// etcd has etcd do something, and reads its answer where that is wanted.
func (s *simulation) etcd(ctx context.Context, what string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.kubernetes.Etcd+"/v3/kv/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s: %s", what, response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// objectsOfDatabase is how many objects make makes.
const objectsOfDatabase = 14

// make makes all objects of a database through the API.
func (s *simulation) make(ctx context.Context, db daap.Database) error {
	for _, o := range manifest.Objects(db, s.platform) {
		if !o.Followed {
			continue
		}
		sent, err := manifest.Sent(o.Built)
		if err != nil {
			return err
		}
		if err := s.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(sent), client.FieldOwner(manifest.FieldOwner),
			client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %T: %w", o.Built, err)
		}
	}
	if err := s.setStatus(ctx, db, healthyStatus(db)); err != nil {
		return err
	}
	for _, made := range []client.Object{
		instancePod(db), poolerPod(db), poolerDeployment(db), baseBackup(db),
	} {
		want, ok := made.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", made)
		}
		if err := s.api.Create(ctx, made, client.FieldOwner(simulatedOwner)); err != nil {
			return fmt.Errorf("create %T: %w", made, err)
		}
		want.SetUID(made.GetUID())
		want.SetResourceVersion(made.GetResourceVersion())
		if err := s.api.Status().Update(ctx, want, client.FieldOwner(simulatedOwner)); err != nil {
			return fmt.Errorf("set the status of %T: %w", made, err)
		}
	}
	return nil
}

// setStatus changes the status of the database's Cluster by a merge patch, as CloudNativePG does.
func (s *simulation) setStatus(ctx context.Context, db daap.Database, status any) error {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	cluster := &cnpgv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(db.ID), Name: manifest.ClusterName(db)}}
	err = s.api.Status().Patch(ctx, cluster, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(simulatedOwner))
	if err != nil {
		return fmt.Errorf("set the status of the Cluster: %w", err)
	}
	return nil
}

// fail moves the status of the database's Cluster to what it is while its primary is gone, and heal back.
func (s *simulation) fail(ctx context.Context, db daap.Database) error {
	return s.move(ctx, db, cnpgv1.PhaseWaitingForInstancesToBeActive, 0, metav1.ConditionFalse)
}

func (s *simulation) heal(ctx context.Context, db daap.Database) error {
	return s.move(ctx, db, cnpgv1.PhaseHealthy, db.Profile.Instances, metav1.ConditionTrue)
}

func (s *simulation) move(
	ctx context.Context, db daap.Database, phase string, readyInstances int, ready metav1.ConditionStatus,
) error {
	return s.setStatus(ctx, db, map[string]any{
		"phase": phase, "readyInstances": readyInstances, "conditions": clusterConditions(ready),
	})
}

// operate moves the status of one of the databases after another, to and fro, so many times a second, until the context
// ends; then all are healthy again.
func (s *simulation) operate(ctx context.Context, dbs []daap.Database, perSecond int) error {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			if i%2 == 0 {
				return nil
			}
			return s.heal(context.WithoutCancel(ctx), dbs[i/2%len(dbs)])
		case <-tick.C:
		}
		db, change := dbs[i/2%len(dbs)], s.fail
		if i%2 == 1 {
			change = s.heal
		}
		if err := change(context.WithoutCancel(ctx), db); err != nil {
			return err
		}
	}
}

// newIDs are those of databases, in order.
func newIDs(t *testing.T, n int) []uuid.UUID {
	t.Helper()
	all := make([]uuid.UUID, n)
	for i := range all {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		all[i] = id
	}
	return all
}
