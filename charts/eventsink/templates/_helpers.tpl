{{/* Name of the Deployment and of what belongs to it. */}}
{{- define "eventsink.fullname" -}}
{{- .Values.fullnameOverride | default (printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-")) -}}
{{- end -}}

{{/* Labels by which the operator's pods are found; they never change. */}}
{{- define "eventsink.selector" -}}
app.kubernetes.io/name: eventsink-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "eventsink.labels" -}}
{{ include "eventsink.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "eventsink.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "eventsink.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | required "serviceAccount.name: name the account that the operator shall use, or set serviceAccount.create" -}}
{{- end -}}
{{- end -}}

{{/* An image by its digest, else by its tag, else by the version of the application. */}}
{{- define "eventsink.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .version }}
{{- end -}}
{{- end -}}
