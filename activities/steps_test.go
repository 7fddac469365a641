package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
)

var orders = daap.Database{
	ID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"), Name: "orders", OwnerTeam: "shop", Incarnation: 1,
	Tier: "small", Profile: small,
}

// small is a tier with few resources.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("100m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
}

// oneDatabase is the record of orders, and of an operation that gives it the tier.
type oneDatabase struct{ tier *daap.Tier }

func (oneDatabase) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return orders, nil
}

func (d oneDatabase) Operation(_ context.Context, _ daap.Scope, id uuid.UUID) (daap.Operation, error) {
	return daap.Operation{ID: id, DatabaseID: orders.ID, Tier: d.tier}, nil
}

// records read databases and operations.
type records interface {
	Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error)
	Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error)
}

// rowsOf are records, and whether the operation holds its database.
type rowsOf struct {
	records
	holds
}

// kept is the receipt and the other results of operations.
type kept struct {
	resultRows
	receipt  daap.Receipt
	closedAt *time.Time
}

func (k *kept) SaveReceipt(_ context.Context, _ uuid.UUID, counted daap.Receipt) error {
	k.receipt = k.receipt.With(counted)
	return nil
}

func (k *kept) CloseArchive(_ context.Context, _ uuid.UUID, at *time.Time) error {
	k.closedAt = at
	return nil
}

// holding is an operation that holds its database until lost.
type holding struct {
	lost  error
	steps []daap.Step
}

func (h *holding) HoldsDatabase(context.Context, uuid.UUID, bool) error { return h.lost }

func (h *holding) RecordStep(_ context.Context, _ uuid.UUID, step daap.Step) error {
	h.steps = append(h.steps, step)
	return nil
}

func stepsWith(t *testing.T, objects ...client.Object) *Steps {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	kube := &cluster.Kubernetes{
		// In the fake's merge, the schemas of Kubernetes' own kinds are incompatible with the schemas deduced for
		// CNPG's.
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithTypeConverters(managedfields.NewDeducedTypeConverter()).
			WithInterceptorFuncs(rightsFrom(1)).Build(),
		Watch: &cluster.Watch{},
	}
	return &Steps{
		Rows: rowsOf{oneDatabase{}, &holding{}}, Results: &kept{}, Backups: &seen{},
		Cluster: kube, Postgres: &postgres.Postgres{Kubernetes: kube},
		Archives: &objectstore.Archives{}, Keys: &objectstore.Keys{Kubernetes: kube},
		Platform: manifest.Platform{PostgresImages: daap.Catalog{"17": "localhost/postgresql:17"}},
	}
}

// rightsFrom makes Kubernetes report the worker's rights from the check with that number on; never for zero.
func rightsFrom(question int) interceptor.Funcs {
	asked := 0
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
			review, is := object.(*authorizationv1.SelfSubjectAccessReview)
			if !is {
				return c.Create(ctx, object, o...)
			}
			asked++
			review.Status.Allowed = question > 0 && asked >= question
			return nil
		},
	}
}

// intercept puts the functions in front of the client.
func intercept(t *testing.T, k *Steps, funcs interceptor.Funcs) {
	t.Helper()
	c, is := k.Cluster.Client.(client.WithWatch)
	if !is {
		t.Fatalf("the client is a %T, which cannot be intercepted", k.Cluster.Client)
	}
	k.Cluster.Client = interceptor.NewClient(c, funcs)
}

// forbiddenTo is RBAC's refusal.
func forbiddenTo(what string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New(`User "daap" cannot `+what))
}

// run runs the activity like a Worker, with its errors as the Interceptor classifies them.
func run(t *testing.T, do func(context.Context, Input) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	activity := func(ctx context.Context, in Input) error { return classify(do(ctx, in), 1) }
	env.RegisterActivity(activity)
	_, err := env.ExecuteActivity(activity, Input{Operation: uuid.New(), Database: orders.ID, Step: daap.StepCluster})
	return err
}
