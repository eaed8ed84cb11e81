package oracle

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
)

// Defaults of kube-controller-manager.
const (
	downscaleStabilization = 5 * time.Minute
	cpuInitialization      = 5 * time.Minute
	initialReadiness       = 30 * time.Second
)

// TestScenarios reads scenarios, one JSON document a line, and writes the answers to each, one line a scenario.
func TestScenarios(t *testing.T) {
	// The stock handlers keep the wall time of the last error; a bubble's clock begins in 2000, and they would sleep
	// until today. Loggers must not belong to a bubble.
	utilruntime.ErrorHandlers = nil
	klog.SetLogger(logr.Discard())
	// A tolerance of its own for each direction: alpha in 1.34, on by default from 1.35.
	if err := utilfeature.DefaultMutableFeatureGate.Set("HPAConfigurableTolerance=true"); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(os.Getenv("ORACLE_IN"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(os.Getenv("ORACLE_OUT"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<28)
	answers := json.NewEncoder(out)
	for number := 0; lines.Scan(); number++ {
		var scenario Scenario
		if err := json.Unmarshal(lines.Bytes(), &scenario); err != nil {
			t.Fatalf("scenario %d: %v", number, err)
		}
		given, err := run(t, &scenario)
		if err != nil {
			t.Fatalf("scenario %d: %v", number, err)
		}
		if err := answers.Encode(given); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// run takes one scenario through a controller of its own.
func run(t *testing.T, scenario *Scenario) (answers []Answer, failure error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		period := seconds(scenario.SyncPeriodS)
		world := newWorld(scenario)
		first, err := autoscaler(scenario.Spec)
		if err != nil {
			t.Fatal(err)
		}
		client := fake.NewSimpleClientset(first)
		scales := &scalefake.FakeScaleClient{}
		scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
			scale, err := world.scale()
			if err != nil {
				failure = err
			}
			return true, scale, err
		})
		scales.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
			scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
			world.replicas = scale.Spec.Replicas
			return true, scale, nil
		})
		apps := schema.GroupVersion{Group: "apps", Version: "v1"}
		mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{apps})
		mapper.Add(apps.WithKind("Deployment"), meta.RESTScopeNamespace)
		// A resync period of 0 would select on a channel from outside the bubble, and virtual time would stand still.
		factory := informers.NewSharedInformerFactory(client, period)
		controller := podautoscaler.NewHorizontalController(
			ctx, (&fake.Clientset{}).CoreV1(), scales, client.AutoscalingV2(), mapper, world,
			factory.Autoscaling().V2().HorizontalPodAutoscalers(), podInformer{world.pods},
			period, downscaleStabilization, scenario.Tolerance, cpuInitialization, initialReadiness,
		)
		factory.Start(ctx.Done())
		go controller.Run(ctx, 1)

		time.Sleep(period / 2) // between two syncs
		for i := range scenario.Syncs {
			if spec := scenario.Syncs[i].Spec; spec != nil {
				changed, err := autoscaler(*spec)
				if err != nil {
					t.Fatal(err)
				}
				now, err := stored(client)
				if err != nil {
					t.Fatal(err)
				}
				changed.Status = now.Status
				if err := client.Tracker().Update(resource, changed, namespace); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(period)
			synctest.Wait()
			if world.begun != i+1 && failure == nil {
				failure = fmt.Errorf("%d syncs instead of %d", world.begun, i+1)
			}
			if failure != nil {
				break
			}
			now, err := stored(client)
			if err != nil {
				t.Fatal(err)
			}
			answer := Answer{Replicas: world.replicas, Conditions: map[string]string{}}
			for _, condition := range now.Status.Conditions {
				answer.Conditions[string(condition.Type)] = condition.Reason
			}
			answers = append(answers, answer)
		}
		cancel()
		factory.Shutdown()
		time.Sleep(time.Minute) // its goroutines end
	})
	return answers, failure
}

var resource = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

// autoscaler makes the object that an API server would store: the fake client sets no defaults, and keeps quantities as
// they were written instead of in canonical form (0.7 as 700m, of which another float is made).
func autoscaler(spec autoscaling.HorizontalPodAutoscalerSpec) (*autoscaling.HorizontalPodAutoscaler, error) {
	hpa := &autoscaling.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: target, Namespace: namespace}, Spec: spec,
	}
	canonical, err := json.Marshal(hpa)
	if err != nil {
		return nil, err
	}
	hpa = &autoscaling.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(canonical, hpa); err != nil {
		return nil, err
	}
	defaults.SetDefaults_HorizontalPodAutoscaler(hpa)
	return hpa, nil
}

func stored(client *fake.Clientset) (*autoscaling.HorizontalPodAutoscaler, error) {
	object, err := client.Tracker().Get(resource, namespace, target)
	if err != nil {
		return nil, err
	}
	return object.(*autoscaling.HorizontalPodAutoscaler).DeepCopy(), nil
}
