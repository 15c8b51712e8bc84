{{/* What the operator may do in each namespace that it watches; the same in a ClusterRole and in Roles. */}}
{{- define "eventsink.rules" -}}
# See the sinks. Nothing in their spec is ever written.
- apiGroups: [eventsink.dev]
  resources: [eventsinks]
  verbs: [list, watch]
# Say what is true of them.
- apiGroups: [eventsink.dev]
  resources: [eventsinks/status]
  verbs: [patch]
# Run the workers: server-side apply creates and patches, get looks first whose object it is.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# Give the workers their settings.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# Read the Secrets that a sink names and put what it needs of them into the sink's own. Their metadata is watched, so that
# a new password reaches the workers; Kubernetes has no right to list metadata alone.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
# Make workers nobody in particular; their account goes when a sink names another.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Let drains of nodes take one worker at a time; the budget goes when there is but one.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Find the addresses of the workers, to ask each how far it is, and why a pod does not run.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# See whether a claim may be mounted on more than one node, before there is more than one worker.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# Tell people by Events; repeats of one are patched into a series.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.worker.networkPolicy }}
# Let nothing but HTTP come in to the workers of a sink.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
{{- end }}
{{- if .Values.worker.podMonitor }}
# Have the workers of a sink scraped.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, create, patch]
{{- end }}
{{- end -}}
