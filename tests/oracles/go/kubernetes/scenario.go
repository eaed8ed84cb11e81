// Package oracle runs Kubernetes' own HorizontalPodAutoscaler controller through scenarios in virtual time.
package oracle

import (
	"math"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
)

// Scenario is one autoscaler and what it meets, sync by sync. All instants are seconds since the controller's start.
type Scenario struct {
	Spec        autoscaling.HorizontalPodAutoscalerSpec `json:"spec"`
	Tolerance   float64                                 `json:"tolerance"`
	SyncPeriodS float64                                 `json:"sync_period_s"`
	Replicas    int32                                   `json:"replicas"`
	Syncs       []Sync                                  `json:"syncs"`
}

// Sync is the world as one sync finds it.
type Sync struct {
	// Spec, if given, replaces the autoscaler's spec half a period before this sync.
	Spec *autoscaling.HorizontalPodAutoscalerSpec `json:"spec"`
	// Replicas, if given, is what somebody else has set the scale to.
	Replicas       *int32 `json:"replicas"`
	StatusReplicas int32  `json:"status_replicas"`
	Pods           []Pod  `json:"pods"`
	// Values holds metrics by name, in thousandths; one that is not there cannot be read.
	Values map[string]int64 `json:"values"`
}

// Pod is what the controller reads of one pod.
type Pod struct {
	Name         string   `json:"name"`
	Phase        string   `json:"phase"`
	Ready        *bool    `json:"ready"`
	ReadySinceS  float64  `json:"ready_since_s"`
	StartedAtS   *float64 `json:"started_at_s"`
	Terminating  bool     `json:"terminating"`
	RequestMilli int64    `json:"request_milli"`
	CPU          *CPU     `json:"cpu"`
}

// CPU is what the resource metrics API says of a pod.
type CPU struct {
	Milli   int64   `json:"milli"`
	AtS     float64 `json:"at_s"`
	WindowS float64 `json:"window_s"`
}

// Answer is what the controller made of one sync.
type Answer struct {
	Replicas int32 `json:"replicas"`
	// Conditions holds the reasons of the autoscaler's conditions by type, after the sync.
	Conditions map[string]string `json:"conditions"`
}

func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s * 1e9))
}
