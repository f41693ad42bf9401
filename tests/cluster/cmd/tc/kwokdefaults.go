package main

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kwok/kustomize/metrics/resource"
	"sigs.k8s.io/kwok/kustomize/metrics/usage"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

// kwok-defaults prints the stages and metrics that the kwok module ships: a
// --config replaces kwok's defaults, so lib/up.sh puts them before our own. Pods
// labelled tc/fault are left to our stages.
func init() {
	applets["kwok-defaults"] = func() {
		const selector = "matchExpressions:\n"
		ready := strings.Replace(podfast.DefaultPodReady, selector,
			selector+"    - key: '.metadata.labels[\"tc/fault\"]'\n      operator: 'DoesNotExist'\n", 1)
		if ready == podfast.DefaultPodReady {
			panic("kwok's pod-ready stage has another shape than expected")
		}
		for _, y := range []string{
			nodefast.DefaultNodeInit, heartbeat.DefaultNodeHeartbeatWithLease,
			podfast.DefaultPodComplete, podfast.DefaultPodDelete, ready,
			resource.DefaultMetricsResource, usage.DefaultUsageFromAnnotation,
		} {
			fmt.Printf("%s\n---\n", strings.TrimSpace(y))
		}
	}
}
