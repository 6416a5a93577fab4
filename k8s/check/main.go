// Checks manifests (kustomize's output, on standard input) for what their schemas cannot say: every pod stays within the
// `restricted` Pod Security standard by Kubernetes' own evaluator, every container has requests and limits, and every
// selector finds pods. Used by scripts/check-deploy.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type selector struct {
	owner string
	query labels.Selector
}

func main() {
	faults := check(os.Stdin)
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

func check(input io.Reader) []error {
	objects, err := decode(input)
	if err != nil {
		return []error{err}
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []error{err}
	}
	var faults []error
	var selectors []selector
	pods := map[string]corev1.PodTemplateSpec{}
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			pods["Deployment "+o.Name] = o.Spec.Template
		case *appsv1.StatefulSet:
			pods["StatefulSet "+o.Name] = o.Spec.Template
		case *corev1.Service:
			selectors = append(selectors, selector{"Service " + o.Name, labels.SelectorFromSet(o.Spec.Selector)})
		case *policyv1.PodDisruptionBudget:
			selectors = append(selectors, selectorOf("PodDisruptionBudget "+o.Name, o.Spec.Selector))
		case *networkingv1.NetworkPolicy:
			selectors = append(selectors, selectorOf("NetworkPolicy "+o.Name, &o.Spec.PodSelector))
		}
	}
	if len(pods) == 0 {
		return []error{errors.New("there are no pods in these manifests")}
	}
	for owner, pod := range pods {
		faults = append(faults, restricted(evaluator, owner, pod)...)
		faults = append(faults, bounded(owner, pod)...)
	}
	for _, s := range selectors {
		if !findsPods(s.query, pods) {
			faults = append(faults, fmt.Errorf("%s: its selector %s finds no pods", s.owner, s.query))
		}
	}
	return faults
}

func decode(input io.Reader) ([]runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(input))
	var objects []runtime.Object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

func selectorOf(owner string, from *metav1.LabelSelector) selector {
	query, err := metav1.LabelSelectorAsSelector(from)
	if err != nil {
		query = labels.Nothing()
	}
	return selector{owner, query}
}

func restricted(evaluator policy.Evaluator, owner string, pod corev1.PodTemplateSpec) []error {
	var faults []error
	standard := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(standard, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			faults = append(faults, fmt.Errorf("%s: not within `restricted`: %s (%s)", owner, result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return faults
}

func bounded(owner string, pod corev1.PodTemplateSpec) []error {
	var faults []error
	for _, container := range pod.Spec.Containers {
		for _, list := range []corev1.ResourceList{container.Resources.Requests, container.Resources.Limits} {
			if list.Cpu().IsZero() || list.Memory().IsZero() {
				faults = append(faults, fmt.Errorf("%s: container %s lacks requests or limits of cpu or memory", owner, container.Name))
				break
			}
		}
	}
	return faults
}

func findsPods(query labels.Selector, pods map[string]corev1.PodTemplateSpec) bool {
	for _, pod := range pods {
		if query.Matches(labels.Set(pod.Labels)) {
			return true
		}
	}
	return false
}
