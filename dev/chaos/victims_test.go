//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/dev/chaos/fault"
	"github.com/daap-dev/daap/dev/local"
)

// victim is something that is killed.
type victim struct {
	name string
	// kill returns what is so once the victim was really killed and another is at work in its place.
	kill func(context.Context) (replaced func(context.Context) error, err error)
}

// victims are all that an operation needs while it runs.
func victims() []victim {
	return []victim{
		{"worker", kill9("worker")},
		{"api", kill9("api")},
		{"temporal", kill9("temporal")},
		{"operator", killOperator},
		{"apiserver", kill9("apiserver")},
		{"postgres", kill9("postgres")},
	}
}

func victimOf(name string) victim {
	for _, v := range victims() {
		if v.name == name {
			return v
		}
	}
	panic("there is no victim " + name)
}

// kill9 kills a part of the stack, which its supervisor starts again.
func kill9(name string) func(context.Context) (func(context.Context) error, error) {
	return func(ctx context.Context) (func(context.Context) error, error) {
		before, err := local.PartThatIsUp(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			return nil, fmt.Errorf("kill %s: %w", name, err)
		}
		return func(ctx context.Context) error {
			now, err := local.PartThatIsUp(ctx, name)
			if err != nil {
				return err
			}
			if now.PID == before.PID || now.Restarts <= before.Restarts {
				return fmt.Errorf("%s was not started again: process %d, %d restarts", name, now.PID, now.Restarts)
			}
			return nil
		}, nil
	}
}

// killOperator kills the operator's pod without grace. Its process alone would be started again by kubelet with a
// pause that grows up to minutes.
func killOperator(ctx context.Context) (func(context.Context) error, error) {
	before, err := operatorPods(ctx)
	if err != nil {
		return nil, err
	}
	if len(before) == 0 {
		return nil, errors.New("the operator has no pod")
	}
	for _, pod := range before {
		if err := stack.Kubernetes.Delete(ctx, &pod, client.GracePeriodSeconds(0)); err != nil {
			return nil, fmt.Errorf("delete the operator's pod: %w", err)
		}
	}
	return func(ctx context.Context) error {
		now, err := operatorPods(ctx)
		if err != nil {
			return err
		}
		for _, pod := range now {
			for _, old := range before {
				if pod.UID == old.UID {
					return fmt.Errorf("the operator's pod %s is still there", pod.Name)
				}
			}
		}
		// Available it is told to be also from before.
		if !slices.ContainsFunc(now, func(p corev1.Pod) bool {
			return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
		}) {
			return errors.New("no new pod of the operator is ready")
		}
		return operatorAvailable(ctx)
	}, nil
}

func operatorPods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := stack.Kubernetes.List(ctx, &pods, client.InNamespace(operatorKey.Namespace),
		client.MatchingLabels{"app.kubernetes.io/name": "cloudnative-pg"})
	if err != nil {
		return nil, fmt.Errorf("list the operator's pods: %w", err)
	}
	return pods.Items, nil
}

// harm is held from a kill until what was killed is back: two at once would prove nothing about either.
var harm = make(chan struct{}, 1)

// myTurn is for how long a worker is held until others have done their harm: well under the time of a try.
const myTurn = 15 * time.Second

// strike is one kill at one place.
type strike struct {
	victim victim
	// claimed holds something once somebody kills, or waits for the turn to do so.
	claimed chan struct{}
	// proved is told, once, whether the victim was killed and is back.
	proved chan error
}

func newStrike(v victim) *strike {
	return &strike{victim: v, claimed: make(chan struct{}, 1), proved: make(chan error, 1)}
}

// once kills when it is asked for the first time and it is its turn; when it is not, the step is sent to try again.
func (s *strike) once(fault.At) fault.Verdict {
	select {
	case s.claimed <- struct{}{}:
	default:
		return fault.Verdict{}
	}
	select {
	case harm <- struct{}{}:
		s.strike()
		return fault.Verdict{}
	case <-time.After(myTurn):
		<-s.claimed
		return fault.Verdict{Fail: "somebody else does harm; try again"}
	}
}

// strike kills, and gives harm back when the victim is back.
func (s *strike) strike() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	var replaced func(context.Context) error
	err := soon(ctx, func(ctx context.Context) error {
		var err error
		replaced, err = s.victim.kill(ctx)
		return err
	})
	go func() {
		defer cancel()
		if err == nil {
			err = soon(ctx, replaced)
		}
		<-harm
		s.proved <- err
	}()
}

// prove waits until the kill was done and the victim is back.
func (s *strike) prove(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := receive(ctx, t, s.victim.name+" is killed and back", s.proved); err != nil {
		t.Fatalf("waiting until %s is killed and back: %v", s.victim.name, err)
	}
}
