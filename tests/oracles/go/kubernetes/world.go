package oracle

import (
	"context"
	"fmt"
	"math"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	namespace = "default"
	target    = "decode"
	selector  = "app=decode"
)

// world is all that the controller sees besides the autoscaler itself. Reading the scale is the first act of a sync, so
// that is when the world moves on to it.
type world struct {
	scenario *Scenario
	epoch    time.Time
	begun    int // syncs
	replicas int32
	pods     cache.Indexer
}

func newWorld(scenario *Scenario) *world {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	return &world{
		scenario: scenario,
		epoch:    time.Now(),
		replicas: scenario.Replicas,
		pods:     cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace),
	}
}

// scale begins the next sync and answers its first question.
func (w *world) scale() (*autoscalingv1.Scale, error) {
	now := time.Since(w.epoch)
	w.begun++
	due := seconds(float64(w.begun) * w.scenario.SyncPeriodS)
	if math.Abs(float64(now-due)) > 1e3 { // nanoseconds: the rest of a float
		return nil, fmt.Errorf("sync %d came at %v instead of %v", w.begun, now, due)
	}
	sync := w.sync()
	if sync.Replicas != nil {
		w.replicas = *sync.Replicas
	}
	pods := make([]any, 0, len(sync.Pods))
	for _, pod := range sync.Pods {
		pods = append(pods, w.pod(pod))
	}
	if err := w.pods.Replace(pods, ""); err != nil {
		return nil, err
	}
	return &autoscalingv1.Scale{
		ObjectMeta: meta.ObjectMeta{Name: target, Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: w.replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: sync.StatusReplicas, Selector: selector},
	}, nil
}

func (w *world) sync() *Sync {
	return &w.scenario.Syncs[w.begun-1]
}

func (w *world) at(s float64) time.Time {
	return w.epoch.Add(seconds(s))
}

func (w *world) pod(given Pod) *core.Pod {
	request := core.ResourceList{core.ResourceCPU: *quantity.NewMilliQuantity(given.RequestMilli, quantity.DecimalSI)}
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: given.Name, Namespace: namespace, Labels: map[string]string{"app": "decode"}},
		Spec: core.PodSpec{
			Containers: []core.Container{{Name: "engine", Resources: core.ResourceRequirements{Requests: request}}},
		},
		Status: core.PodStatus{Phase: core.PodPhase(given.Phase)},
	}
	if given.Terminating {
		pod.DeletionTimestamp = &meta.Time{Time: w.epoch}
	}
	if given.StartedAtS != nil {
		pod.Status.StartTime = &meta.Time{Time: w.at(*given.StartedAtS)}
	}
	if given.Ready != nil {
		status := core.ConditionFalse
		if *given.Ready {
			status = core.ConditionTrue
		}
		pod.Status.Conditions = []core.PodCondition{{
			Type: core.PodReady, Status: status, LastTransitionTime: meta.Time{Time: w.at(given.ReadySinceS)},
		}}
	}
	return pod
}

// The four methods of metrics.MetricsClient. As the real one, they fail rather than answer nothing.

func (w *world) GetResourceMetric(
	_ context.Context, _ core.ResourceName, _ string, _ labels.Selector, _ string,
) (metrics.PodMetricsInfo, time.Time, error) {
	usage := metrics.PodMetricsInfo{}
	for _, pod := range w.sync().Pods {
		if pod.CPU != nil {
			usage[pod.Name] = metrics.PodMetric{
				Timestamp: w.at(pod.CPU.AtS), Window: seconds(pod.CPU.WindowS), Value: pod.CPU.Milli,
			}
		}
	}
	if len(usage) == 0 {
		return nil, time.Time{}, fmt.Errorf("no metrics returned from resource metrics API")
	}
	return usage, time.Now(), nil
}

func (w *world) GetRawMetric(
	name, _ string, _, _ labels.Selector,
) (metrics.PodMetricsInfo, time.Time, error) {
	return nil, time.Time{}, fmt.Errorf("no scenario has metric %s of pods", name)
}

func (w *world) GetObjectMetric(
	name, _ string, _ *autoscaling.CrossVersionObjectReference, _ labels.Selector,
) (int64, time.Time, error) {
	value, found := w.sync().Values[name]
	if !found {
		return 0, time.Time{}, fmt.Errorf("no value of %s", name)
	}
	return value, time.Now(), nil
}

func (w *world) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	value, found := w.sync().Values[name]
	if !found {
		return nil, time.Time{}, fmt.Errorf("no value of %s", name)
	}
	return []int64{value}, time.Now(), nil
}

// podInformer hands out the world's pods. The controller asks its informer only whether it has synced.
type podInformer struct{ pods cache.Indexer }

type synced struct{ cache.SharedIndexInformer }

func (synced) HasSynced() bool { return true }

func (p podInformer) Informer() cache.SharedIndexInformer { return synced{} }
func (p podInformer) Lister() corelisters.PodLister       { return corelisters.NewPodLister(p.pods) }
