package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// keptTier has all that orders has, and backups.
func keptTier() *daap.Tier {
	profile := orders.Profile
	profile.Backups = daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
		ObjectStorageDestination: "s3://backups/shop",
	}
	return &daap.Tier{Name: "kept", Profile: profile}
}

// receiptOf is what was kept of what was removed.
func receiptOf(t *testing.T, k *Kubernetes) daap.Receipt {
	t.Helper()
	receipts, is := k.Receipts.(*kept)
	if !is {
		t.Fatalf("receipts are kept in %T", k.Receipts)
	}
	return receipts.receipt
}

// keptOrders is the record of orders, which has backups.
type keptOrders struct{ oneDatabase }

func (keptOrders) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return orders.With(*keptTier()), nil
}

func TestArchiveIsRemovedUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	const another = "backups/shop/another/pg-1/wals/1"
	buckets := &store{}
	buckets.put(another, 1, time.Time{})
	for i := range removedBySome * (removalsAtOnce + 2) {
		buckets.put(fmt.Sprintf("backups/shop/%s/pg-1/wals/%d", orders.ID, i), 1, time.Time{})
	}
	k := kubernetesWith(t)
	k.Databases, k.Buckets = keptOrders{}, buckets
	if err := run(t, k.RemoveArchive); err != nil || len(buckets.objects) != 1 || buckets.objects[another].Size != 1 {
		t.Errorf("RemoveArchive() = %v with %v left, want what is of another database", err, buckets.objects)
	}
	receipt := receiptOf(t, k)
	if want := int64(removedBySome * (removalsAtOnce + 2)); receipt.Objects != want || receipt.Bytes != want || receipt.RelistedAt == nil {
		t.Errorf("the receipt is %+v, want %d objects of a byte, and that nothing is left", receipt, want)
	}
	k.Buckets = &store{err: errors.New("AccessDenied")}
	if cause := Cause(run(t, k.RemoveArchive), "Remove"); cause.Code != daap.CauseS3Denied {
		t.Errorf("the cause is %+v, want that the store is denied", cause)
	}
	k.Buckets = &store{err: errors.New("Object is WORM protected and cannot be overwritten")}
	if cause := Cause(run(t, k.RemoveArchive), "Remove"); cause.Code != daap.CauseObjectLocked {
		t.Errorf("the cause is %+v, want that the objects are locked", cause)
	}
}

func TestArchiveIsOfTheTierToBe(t *testing.T) {
	t.Parallel()
	buckets := &store{}
	k := kubernetesWith(t)
	k.Databases, k.Buckets = oneDatabase{keptTier()}, buckets
	k.Platform.Archive = manifest.Archive{Endpoint: "https://s3.example.com", AccessKey: "a", SecretKey: "s"}
	for range 2 {
		if err := run(t, k.ApplyArchive); err != nil {
			t.Fatal(err)
		}
	}
	if len(buckets.asked) != 2 || buckets.asked[0] != "backups" {
		t.Errorf("asked for the buckets %v, want backups", buckets.asked)
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: manifest.ArchiveCredentials}
	if err := k.Client.Get(t.Context(), key, &secret); err != nil || string(secret.Data["ACCESS_KEY_ID"]) != "a" {
		t.Errorf("the keys are %v, %v", secret.Data, err)
	}
	if err := run(t, k.RevertArchive); err != nil { // orders itself has no backups
		t.Fatal(err)
	}
	if err := k.Client.Get(t.Context(), key, &secret); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the keys are still there: %v", err)
	}
}

func TestArchiveWithoutAStoreSaysWhy(t *testing.T) {
	t.Parallel()
	for name, buckets := range map[string]buckets{"none configured": nil, "denied": &store{err: errors.New("Access Denied")}} {
		k := kubernetesWith(t)
		k.Databases, k.Buckets = oneDatabase{keptTier()}, buckets
		if cause := Cause(run(t, k.ApplyArchive), "Create"); cause.Code != daap.CauseS3Denied || cause.Remedy == "" {
			t.Errorf("%s: the cause is %+v, want that the store is denied", name, cause)
		}
	}
}

// backupThere is a base backup of orders, as old as given.
func backupThere(name string, age time.Duration, phase cnpgv1.BackupPhase, failure string) *cnpgv1.Backup {
	at := metav1.NewTime(time.Now().Add(-age))
	return &cnpgv1.Backup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: daap.Namespace(orders.ID), Name: name, UID: types.UID(uuid.NewString()), CreationTimestamp: at,
		},
		Spec:   cnpgv1.BackupSpec{Cluster: cnpgv1.LocalObjectReference{Name: manifest.ClusterName(orders)}},
		Status: cnpgv1.BackupStatus{Phase: phase, Error: failure, StartedAt: &at, StoppedAt: &at},
	}
}

// archivingCluster is the Cluster of orders, whose WAL is archived or is not.
func archivingCluster(status metav1.ConditionStatus, message string) *cnpgv1.Cluster {
	return &cnpgv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: manifest.ClusterName(orders)},
		Status: cnpgv1.ClusterStatus{Conditions: []metav1.Condition{{
			Type: string(cnpgv1.ConditionContinuousArchiving), Status: status, Message: message,
		}}},
	}
}

func TestFirstBackupIsTakenWhereNoneIsOnItsWay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		there []client.Object
		made  int
		cause daap.CauseCode
	}{
		"one is completed":         {[]client.Object{backupThere("a", time.Hour, cnpgv1.BackupPhaseCompleted, "")}, 0, ""},
		"one failed, one is":       {[]client.Object{backupThere("a", time.Hour, cnpgv1.BackupPhaseCompleted, ""), backupThere("b", time.Minute, cnpgv1.BackupPhaseFailed, "full")}, 0, ""},
		"none is there":            {nil, 1, ""},
		"the only one has failed":  {[]client.Object{backupThere("a", time.Minute, cnpgv1.BackupPhaseFailed, "disk full")}, 1, ""},
		"another fails, too":       {[]client.Object{backupThere("fails", time.Minute, cnpgv1.BackupPhaseFailed, "disk full")}, 1, daap.CauseBackupFailed},
		"the store denies another": {[]client.Object{backupThere("denied", time.Minute, cnpgv1.BackupPhaseFailed, "x")}, 1, daap.CauseS3Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := kubernetesWith(t, append(tt.there, archivingCluster(metav1.ConditionTrue, ""))...)
			k.Databases = oneDatabase{keptTier()}
			k.Watch.Reader = k.Client
			fake, is := k.Client.(client.WithWatch)
			if !is {
				t.Fatal("the fake cannot watch")
			}
			operator := &takes{WithWatch: fake, fails: tt.cause}
			k.Client = operator
			b := &Backups{Postgres: &Postgres{Kubernetes: k}, Databases: &seen{}}
			err := run(t, b.BackUp)
			if operator.made != tt.made || (err != nil) != (tt.cause != "") {
				t.Errorf("%d backups were asked for, %v; want %d", operator.made, err, tt.made)
			}
			if tt.cause != "" && Cause(err, "").Code != tt.cause {
				t.Errorf("the cause is %+v, want %s", Cause(err, ""), tt.cause)
			}
		})
	}
}

func TestBackupThatFailsWithAnExitStatusIsToldByWhatThePluginLogged(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]daap.CauseCode{
		"ERROR: An error occurred (403) when calling the HeadBucket operation: Forbidden": daap.CauseS3Denied,
		"ERROR: it did not work": daap.CauseBackupFailed,
	} {
		cluster := archivingCluster(metav1.ConditionTrue, "")
		cluster.Status.Phase = cnpgv1.PhaseHealthy
		cluster.Status.Conditions = append(cluster.Status.Conditions, metav1.Condition{
			Type: string(cnpgv1.ConditionBackup), Status: metav1.ConditionFalse, Message: "exit status 4",
		})
		pod := &corev1.Pod{ObjectMeta: instance("pg-1-1"), Status: corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{{
				Name: archiverContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		}}
		cluster.Namespace, pod.Namespace = daap.Namespace(stuck.ID), daap.Namespace(stuck.ID)
		operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "cnpg-system", Name: "operator", Labels: operatorLabels}}
		operator.Status.ReadyReplicas = 1
		k := kubernetesWith(t)
		k.Diagnosis = &Diagnosis{
			Reader: kubernetesOf(t, func(any) bool { return false }, cluster, pod, operator),
			Logs:   logsOf{{"pg-1-1", archiverContainer}: said},
		}
		failed := backupThere("b", time.Minute, cnpgv1.BackupPhaseFailed, "rpc error: code = Unknown desc = exit status 4")
		if cause := Cause(k.backupError(t.Context(), stuck, failed), ""); cause.Code != want {
			t.Errorf("%s: the cause is %+v, want %s", said, cause, want)
		}
	}
}

// takes is a Kubernetes API whose operator takes each base backup at once, or fails to.
type takes struct {
	client.WithWatch
	fails daap.CauseCode
	made  int
}

func (o *takes) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if backup, is := object.(*cnpgv1.Backup); is {
		o.made++
		backup.CreationTimestamp = metav1.Now()
		backup.Status.Phase = cnpgv1.BackupPhaseCompleted
		switch o.fails {
		case daap.CauseBackupFailed:
			backup.Status.Phase, backup.Status.Error = cnpgv1.BackupPhaseFailed, "disk full"
		case daap.CauseS3Denied:
			backup.Status.Phase, backup.Status.Error = cnpgv1.BackupPhaseWalArchivingFailing, "AccessDenied"
		default:
		}
	}
	return o.WithWatch.Create(ctx, object, options...)
}

// seen keeps what was seen of backups.
type seen struct {
	state   daap.BackupState
	backups []daap.Backup
	// archived have archives, gone are the base backups that were forgotten, by server.
	archived []daap.Database
	gone     map[string][]string
}

func (s *seen) DatabasesWithArchives(_ context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	var page []daap.Database
	for _, db := range s.archived {
		if db.ID.String() > after.String() && len(page) < limit {
			page = append(page, db)
		}
	}
	return page, nil
}

func (s *seen) CloseArchive(_ context.Context, _ uuid.UUID, at *time.Time) error {
	s.state.ClosedAt = at
	return nil
}

func (s *seen) ForgetBackups(_ context.Context, _ uuid.UUID, server string, backupIDs []string) error {
	if s.gone == nil {
		s.gone = map[string][]string{}
	}
	s.gone[server] = append(s.gone[server], backupIDs...)
	return nil
}

func (s *seen) BackedUpDatabases(context.Context, uuid.UUID, int) ([]daap.Database, error) {
	kept := orders.With(*keptTier())
	return []daap.Database{kept}, nil
}

func (s *seen) SaveBackups(_ context.Context, _ daap.Database, state daap.BackupState, backups []daap.Backup) error {
	s.state, s.backups = state, backups
	return nil
}

func TestWhatIsSeenOfBackupsIsRecorded(t *testing.T) {
	t.Parallel()
	kept := orders.With(*keptTier())
	window := manifest.ObjectStore(kept, manifest.Platform{})
	window.Object["status"] = map[string]any{"serverRecoveryWindow": map[string]any{"pg-1": map[string]any{
		"firstRecoverabilityPoint": "2026-01-02T03:04:05Z", "lastSuccessfulBackupTime": "2026-01-02T03:04:05Z",
	}}}
	objects := []client.Object{
		window, archivingCluster(metav1.ConditionFalse, "exit status 1: password=secret Access Denied"),
		backupThere("old", 2*time.Hour, cnpgv1.BackupPhaseCompleted, ""),
		backupThere("new", time.Hour, cnpgv1.BackupPhaseFailed, "disk full"),
		backupThere("now", time.Minute, cnpgv1.BackupPhaseStarted, ""),
	}
	k := kubernetesWith(t)
	k.Client = fake.NewClientBuilder().WithScheme(k.Client.Scheme()).WithObjects(objects...).Build()
	k.Watch.Reader = k.Client
	was := &seen{}
	b := &Backups{Postgres: &Postgres{Kubernetes: k}, Databases: was}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(b.Look)
	if _, err := env.ExecuteActivity(b.Look); err != nil {
		t.Fatal(err)
	}
	s := was.state
	if s.Archiving || strings.Contains(s.ArchivingMessage, "secret") || !strings.Contains(s.ArchivingMessage, "Access Denied") {
		t.Errorf("archiving is %t: %s", s.Archiving, s.ArchivingMessage)
	}
	if s.FirstRecoverableAt == nil || s.FirstRecoverableAt.Format(time.RFC3339) != "2026-01-02T03:04:05Z" || s.LastFailureMessage != "disk full" {
		t.Errorf("seen %+v", s)
	}
	var statuses []daap.BackupStatus
	for i, backup := range was.backups {
		statuses = append(statuses, backup.Status)
		if i > 0 && backup.ID.String() <= was.backups[i-1].ID.String() {
			t.Errorf("the IDs %v and %v are not in order of time", was.backups[i-1].ID, backup.ID)
		}
	}
	if len(statuses) != 3 || statuses[0] != daap.BackupCompleted || statuses[1] != daap.BackupFailed || statuses[2] != daap.BackupRunning {
		t.Errorf("the backups are %v", statuses)
	}
}

// TestStoreThatIsAwayIsToldBeforeTheArchiverTells has an archiver that hangs, as it does for five minutes before
// CloudNativePG says so, and an archive that was listed before.
func TestStoreThatIsAwayIsToldBeforeTheArchiverTells(t *testing.T) {
	t.Parallel()
	kept := orders.With(*keptTier())
	k := kubernetesWith(t)
	k.Client = fake.NewClientBuilder().WithScheme(k.Client.Scheme()).WithObjects(
		manifest.ObjectStore(kept, manifest.Platform{}), archivingCluster(metav1.ConditionTrue, ""),
		backupThere("done", time.Hour, cnpgv1.BackupPhaseCompleted, "")).Build()
	k.Watch.Reader = k.Client
	away := &store{err: errors.New("context deadline exceeded")}
	k.Buckets = away
	was := &seen{}
	b := &Backups{Postgres: &Postgres{Kubernetes: k}, Databases: was}
	b.archives.Store(kept.ID, archive{at: time.Now().Add(-2 * inspectEvery), server: "pg-1", gap: "000000010000000000000004"})
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(b.Look)
	if _, err := env.ExecuteActivity(b.Look); err != nil {
		t.Fatal(err)
	}
	if s := was.state; s.Archiving || !strings.Contains(s.ArchivingMessage, "deadline exceeded") || s.Gap == "" {
		t.Errorf("seen %+v, want that nothing is archived, and the gap of before", s)
	}
	if was.state.FirstRecoverableAt == nil {
		t.Error("from when on it can be restored is not known, and there is a base backup")
	}
	if away.reached != 1 || away.listed != 0 {
		t.Errorf("the store was reached for %d times and listed %d times, want once and never", away.reached, away.listed)
	}
}

func TestStoreIsAskedOnceForManyDatabases(t *testing.T) {
	t.Parallel()
	there := &store{}
	stores := newStores(there)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if err := stores.away(t.Context(), orders.With(*keptTier())); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if there.reached != 1 {
		t.Errorf("asked %d times, want once", there.reached)
	}
}
