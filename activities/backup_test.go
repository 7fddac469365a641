package activities

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// cancelledAt is an operation that is cancelled at the HoldsDatabase call with that number.
type cancelledAt struct {
	holding
	question, asked int
}

func (g *cancelledAt) HoldsDatabase(context.Context, uuid.UUID, bool) error {
	if g.asked++; g.asked >= g.question {
		return daap.ErrSuperseded
	}
	return nil
}

func TestCancelledOperationLeavesNoBaseBackup(t *testing.T) {
	t.Parallel()
	for name, question := range map[string]int{"before it is created": 1, "while it is created": 2} {
		k := stepsWith(t)
		k.Rows = rowsOf{oneDatabase{}, &cancelledAt{question: question}}
		backup := manifest.Backup(orders, "first")
		if err := k.createBackup(t.Context(), Input{Database: orders.ID}, backup); !errors.Is(err, daap.ErrSuperseded) {
			t.Errorf("%s: createBackup() = %v, want ErrSuperseded", name, err)
		}
		if err := k.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup); !apierrors.IsNotFound(err) {
			t.Errorf("%s: the base backup: %v, want not found", name, err)
		}
	}
	k := stepsWith(t)
	backup := manifest.Backup(orders, "first")
	if err := k.createBackup(t.Context(), Input{Database: orders.ID}, backup); err != nil {
		t.Fatal(err)
	}
	if err := k.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup); err != nil {
		t.Errorf("the base backup of an operation that continues: %v", err)
	}
}

// backupThere is a base backup of orders with that age.
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

// archivingCluster is the Cluster of orders, whose WAL archiving has that status.
func archivingCluster(status metav1.ConditionStatus, message string) *cnpgv1.Cluster {
	return &cnpgv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: manifest.ClusterName(orders)},
		Status: cnpgv1.ClusterStatus{Conditions: []metav1.Condition{{
			Type: string(cnpgv1.ConditionContinuousArchiving), Status: status, Message: message,
		}}},
	}
}

func TestFirstBackupIsTakenUnlessOneIsInProgress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		there []client.Object
		made  int
		cause daap.CauseCode
	}{
		"one is completed":         {[]client.Object{backupThere("a", time.Hour, cnpgv1.BackupPhaseCompleted, "")}, 0, ""},
		"one failed, one is":       {[]client.Object{backupThere("a", time.Hour, cnpgv1.BackupPhaseCompleted, ""), backupThere("b", time.Minute, cnpgv1.BackupPhaseFailed, "full")}, 0, ""},
		"there is none":            {nil, 1, ""},
		"the only one has failed":  {[]client.Object{backupThere("a", time.Minute, cnpgv1.BackupPhaseFailed, "disk full")}, 1, ""},
		"another one fails":        {[]client.Object{backupThere("fails", time.Minute, cnpgv1.BackupPhaseFailed, "disk full")}, 1, daap.CauseBackupFailed},
		"the store denies another": {[]client.Object{backupThere("denied", time.Minute, cnpgv1.BackupPhaseFailed, "x")}, 1, daap.CauseS3Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := stepsWith(t, append(tt.there, archivingCluster(metav1.ConditionTrue, ""))...)
			k.Rows = rowsOf{oneDatabase{keptTier()}, &holding{}}
			k.Cluster.Watch.Reader = k.Cluster.Client
			fake, is := k.Cluster.Client.(client.WithWatch)
			if !is {
				t.Fatal("the fake cannot watch")
			}
			operator := &takes{WithWatch: fake, fails: tt.cause}
			k.Cluster.Client = operator
			k.Backups = &seen{}
			err := run(t, k.EnableBackups)
			if operator.made != tt.made || (err != nil) != (tt.cause != "") {
				t.Errorf("%d backups were created, %v; want %d", operator.made, err, tt.made)
			}
			if tt.cause != "" && Cause(err, "").Code != tt.cause {
				t.Errorf("the cause is %+v, want %s", Cause(err, ""), tt.cause)
			}
		})
	}
}

// says is the text of every log.
type says string

func (s says) Logs(context.Context, string, string, string, int64) (string, error) {
	return string(s), nil
}

func TestFailedBackupReportsThePluginsLog(t *testing.T) {
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
				Name: manifest.ArchiverContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		}}
		cluster.Namespace, pod.Namespace = daap.Namespace(orders.ID), daap.Namespace(orders.ID)
		operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "cnpg-system", Name: "operator", Labels: map[string]string{"app.kubernetes.io/name": "cloudnative-pg"}}}
		operator.Status.ReadyReplicas = 1
		k := stepsWith(t)
		k.Diagnosis = &diagnosis.Diagnosis{
			Reader: stepsWith(t, cluster, pod, operator).Cluster.Client,
			Logs:   says(said),
		}
		failed := backupThere("b", time.Minute, cnpgv1.BackupPhaseFailed, "rpc error: code = Unknown desc = exit status 4")
		if cause := Cause(k.backupError(t.Context(), orders, failed), ""); cause.Code != want {
			t.Errorf("%s: the cause is %+v, want %s", said, cause, want)
		}
	}
}

// takes is a Kubernetes API whose operator immediately completes each base backup, or fails it.
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

// seen keeps the recorded backups.
type seen struct {
	state   daap.BackupState
	backups []daap.Backup
	// archived are the databases with archives, gone the forgotten base backups, by server.
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

func TestObservedBackupsAreRecorded(t *testing.T) {
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
	k := stepsWith(t)
	k.Cluster.Client = fake.NewClientBuilder().WithScheme(k.Cluster.Client.Scheme()).WithObjects(objects...).Build()
	k.Cluster.Watch.Reader = k.Cluster.Client
	was := &seen{}
	k.Backups = was
	b := &Sweeps{Steps: k}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(b.CheckBackups)
	if _, err := env.ExecuteActivity(b.CheckBackups); err != nil {
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
			t.Errorf("the IDs %v and %v are not ordered by time", was.backups[i-1].ID, backup.ID)
		}
	}
	if len(statuses) != 3 || statuses[0] != daap.BackupCompleted || statuses[1] != daap.BackupFailed || statuses[2] != daap.BackupRunning {
		t.Errorf("the backups are %v", statuses)
	}
}

// TestUnavailableStoreIsReportedBeforeTheArchiverFails has an archiver that hangs, as it does for five minutes before
// CloudNativePG reports it, and an archive that was listed before.
func TestUnavailableStoreIsReportedBeforeTheArchiverFails(t *testing.T) {
	t.Parallel()
	kept := orders.With(*keptTier())
	k := stepsWith(t)
	k.Cluster.Client = fake.NewClientBuilder().WithScheme(k.Cluster.Client.Scheme()).WithObjects(
		manifest.ObjectStore(kept, manifest.Platform{}), archivingCluster(metav1.ConditionTrue, ""),
		backupThere("done", time.Hour, cnpgv1.BackupPhaseCompleted, "")).Build()
	k.Cluster.Watch.Reader = k.Cluster.Client
	unavailable := &store{err: errors.New("context deadline exceeded")}
	k.Archives.Store = unavailable
	was := &seen{}
	k.Backups = was
	b := &Sweeps{Steps: k}
	listed := &store{objects: map[string]objectstore.Object{"backups/shop/" + kept.ID.String() + "/pg-1/wals/0000000100000000/000000010000000000000005.gz": {}}}
	k.Archives.Store = listed
	done := []daap.Backup{{Status: daap.BackupCompleted, BeginWAL: "000000010000000000000004"}}
	if err := k.Archives.Inspect(t.Context(), kept, &daap.BackupState{}, done, true); err != nil {
		t.Fatal(err)
	}
	k.Archives.Store = unavailable
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(b.CheckBackups)
	if _, err := env.ExecuteActivity(b.CheckBackups); err != nil {
		t.Fatal(err)
	}
	if s := was.state; s.Archiving || !strings.Contains(s.ArchivingMessage, "deadline exceeded") || s.Gap == "" {
		t.Errorf("recorded %+v, want that nothing is archived, and the previous gap", s)
	}
	if was.state.FirstRecoverableAt == nil {
		t.Error("the first recoverable time is unknown, although there is a base backup")
	}
	if unavailable.reached != 1 || unavailable.listed != 0 {
		t.Errorf("the store was checked %d times and listed %d times, want once and never", unavailable.reached, unavailable.listed)
	}
}
