package diagnosis

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubernetesfake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

var stuck = daap.Database{ID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000009"), Incarnation: 1}

// logsOf are logs by pod and container.
type logsOf map[containerOf]string

func (l logsOf) Logs(_ context.Context, namespace, pod, container string, _ int64) (string, error) {
	text, ok := l[containerOf{pod, container}]
	if !ok || namespace != daap.Namespace(stuck.ID) {
		return "", errors.New("no such log")
	}
	return text, nil
}

// kubernetesOf has the objects, and refuses to show the kinds that refused selects.
func kubernetesOf(t *testing.T, refused func(kind any) bool, objects ...client.Object) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no right"))
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
				if refused(into) {
					return forbidden
				}
				return c.Get(ctx, key, into, o...)
			},
			List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, o ...client.ListOption) error {
				if refused(into) {
					return forbidden
				}
				return c.List(ctx, into, o...)
			},
		}).Build()
}

func nothing(any) bool { return false }

// failedJob is a failed Job, its pod, and a running operator.
func failedJob() []client.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: daap.Namespace(stuck.ID), Name: name}
	}
	job := &batchv1.Job{ObjectMeta: meta("pg-1-1-initdb")}
	job.UID = "of-the-job"
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	pod := &corev1.Pod{ObjectMeta: meta("pg-1-1-initdb-x")}
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: job.Name, UID: job.UID}}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{ended(0, 0)}
	failed := ended(1, 0)
	failed.Name = "initdb"
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{failed}
	cluster := &cnpgv1.Cluster{ObjectMeta: meta("pg-1")}
	cluster.Status.Phase = cnpgv1.PhaseUnrecoverable
	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "cnpg-system", Name: "operator", Labels: operatorLabels,
	}}
	operator.Status.ReadyReplicas = 1
	return []client.Object{job, pod, cluster, operator, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: daap.Namespace(stuck.ID)}}}
}

func TestDiagnosisOfAFailedJobShowsItsLog(t *testing.T) {
	t.Parallel()
	logs := logsOf{{"pg-1-1-initdb-x", "initdb"}: `{"level":"error","msg":"Error while importing","error":"cannot reach postgres://app:hunter2@old/app"}`}
	d := Diagnosis{Reader: kubernetesOf(t, nothing, failedJob()...), Logs: logs}
	cause, err := d.Of(t.Context(), stuck)
	if err != nil || cause == nil || cause.Code != daap.CauseJobFailed {
		t.Fatalf("Of() = %+v, %v, want %s", cause, err, daap.CauseJobFailed)
	}
	if !strings.Contains(cause.Message, "Error while importing (cannot reach postgres://***@old/app)") || strings.Contains(cause.Message, "hunter2") {
		t.Errorf("message = %q, want the error without the password", cause.Message)
	}
}

func TestDiagnosisWorksWithoutUnreadableObjects(t *testing.T) {
	t.Parallel()
	notDeployments := func(kind any) bool {
		_, deployments := kind.(*appsv1.DeploymentList)
		_, events := kind.(*corev1.EventList)
		return deployments || events
	}
	cause, err := Diagnosis{Reader: kubernetesOf(t, notDeployments, failedJob()...)}.Of(t.Context(), stuck)
	if err != nil || cause == nil || cause.Code != daap.CauseJobFailed {
		t.Errorf("without operators and events: Of() = %+v, %v, want %s", cause, err, daap.CauseJobFailed)
	}
	cause, err = Diagnosis{Reader: kubernetesOf(t, notDeployments)}.Of(t.Context(), stuck)
	if err != nil || cause != nil {
		t.Errorf("without objects: Of() = %+v, %v, want no cause", cause, err)
	}
	everything := func(any) bool { return true }
	cause, err = Diagnosis{Reader: kubernetesOf(t, everything)}.Of(t.Context(), stuck)
	if !apierrors.IsForbidden(err) || cause != nil {
		t.Errorf("without any rights: Of() = %+v, %v, want that it is forbidden", cause, err)
	}
}

func TestEvidenceOfALogIsReadFromItsEnd(t *testing.T) {
	t.Parallel()
	client := kubernetesfake.NewClientset()
	text, err := PodLogs{Client: client}.Logs(t.Context(), "daap-1", "pg-1-1", "postgres", 20)
	if err != nil || text == "" {
		t.Fatalf("Logs() = %q, %v, want a log", text, err)
	}
	action, ok := client.Actions()[0].(interface{ GetValue() any })
	if !ok {
		t.Fatalf("no log was requested: %v", client.Actions())
	}
	options, ok := action.GetValue().(*corev1.PodLogOptions)
	if !ok || options.Container != "postgres" || *options.TailLines != 20 || *options.LimitBytes != maxLogBytes {
		t.Errorf("options = %+v, want the last 20 lines of postgres, at most %d bytes", options, maxLogBytes)
	}
	if _, err := (PodLogs{Client: client}).Logs(cancelled(t), "daap-1", "pg-1-1", "postgres", 1); err == nil {
		t.Error("Logs() with a cancelled context = nil, want an error")
	}
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestEvidenceOfALogIsItsLastErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ log, want string }{
		"nothing":        {"", ""},
		"errors":         {initLog, "Error while bootstrapping (exit status 1)"},
		"no error":       {`{"level":"info","msg":"fine"}`, ""},
		"plain":          {"one\ntwo\n\nthree\nfour\n", "two; three; four"},
		"mixed":          {"plain\n" + initLog + "\nplain", "Error while bootstrapping (exit status 1)"},
		"logged twice":   {initLog + "\n" + initLog, "Error while bootstrapping (exit status 1)"},
		"error in parts": {`{"level":"error","msg":"no","error":{"code":1}}`, "no (map[code:1])"},
		"cut":            {`{"level":"error","msg":"no","err`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lastErrors(tt.log); got != tt.want {
				t.Errorf("lastErrors() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEvidenceIsShownWithoutPasswords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"dial postgres://app:hunter2@host/db", "postgres://app:hun@hunter2/x@host", "https://hunter2@store/bucket",
		"host=x password=hunter2 user=y", "PGPASSWORD=hunter2", "PGPASSWORD: hunter2", `password = "a hunter2"`,
		"password='a hunter2'", `{"password":"hunter2"}`, `{\"password\": \"a hunter2\"}`, "Passwd=hunter2",
		"pass\x00word=hunter2", "password=\nhunter2", "ALTER ROLE app PASSWORD 'a hunter2'", "token=hunter2",
		"AWS_SECRET_ACCESS_KEY=hunter2", strings.Repeat("x", MaxSafe-12) + " password=hunter2",
	} {
		if got := Safe(text); strings.Contains(got, "hunter2") || strings.Contains(got, "hunter") {
			t.Errorf("Safe(%q) = %q", text, got)
		}
	}
	for _, text := range []string{
		`secret "pg-1-app" not found`, "couldn't find key password in Secret daap-1/credentials",
		`password authentication failed for user "app"`, "ghcr.io/cloudnative-pg/postgresql:17@sha256:abc",
		"https://store.example:9000/bucket", "Größe fehlt",
	} {
		if got := Safe(text); got != text {
			t.Errorf("Safe(%q) = %q, want it unchanged", text, got)
		}
	}
}

func TestEvidenceIsShownInOneLineOfBoundedLength(t *testing.T) {
	t.Parallel()
	if got := Safe("a\x1b[31m\tb\r\nc\u202e\xff d"); got != "a[31m b c d" {
		t.Errorf("Safe() = %q, want one line without control characters", got)
	}
	long := Safe(strings.Repeat("ä", 1000))
	if utf8.RuneCountInString(long) != MaxSafe || !strings.HasSuffix(long, "…") {
		t.Errorf("Safe() keeps %d characters, want %d and a mark", utf8.RuneCountInString(long), MaxSafe)
	}
}

func TestArchiversLogIsReadIfArchivingFails(t *testing.T) {
	t.Parallel()
	const denied = "ERROR: An error occurred (403) when calling the HeadBucket operation: Forbidden"
	for status, want := range map[metav1.ConditionStatus]daap.CauseCode{metav1.ConditionFalse: daap.CauseS3Denied, metav1.ConditionTrue: ""} {
		namespace := daap.Namespace(stuck.ID)
		cluster := &cnpgv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pg-1"}}
		cluster.Status.Phase = cnpgv1.PhaseHealthy
		cluster.Status.Conditions = []metav1.Condition{{
			Type: string(cnpgv1.ConditionContinuousArchiving), Status: status, Message: "exit status 4",
		}}
		running := corev1.ContainerStatus{Name: manifest.ArchiverContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pg-1-1"},
			Status:     corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{running}},
		}
		operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "cnpg-system", Name: "operator", Labels: operatorLabels}}
		operator.Status.ReadyReplicas = 1
		d := Diagnosis{
			Reader: kubernetesOf(t, func(any) bool { return false }, cluster, pod, operator),
			Logs:   logsOf{{"pg-1-1", manifest.ArchiverContainer}: denied},
		}
		cause, err := d.Of(t.Context(), stuck)
		if err != nil || (cause == nil) != (want == "") || cause != nil && (cause.Code != want || !strings.Contains(cause.Message, "HeadBucket")) {
			t.Errorf("archiving %s: the cause is %+v, %v; want %q", status, cause, err, want)
		}
	}
}
