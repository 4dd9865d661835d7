{{/* The chart's objects have fixed names: there is one hostport in a cluster, and the documentation names them. */}}

{{- define "hostport.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: hostport
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: hostport
{{- end }}

{{/* Of one part: (dict "part" "controller" "root" $). */}}
{{- define "hostport.partLabels" -}}
{{ include "hostport.labels" .root }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* What never changes, for selectors. */}}
{{- define "hostport.selector" -}}
app.kubernetes.io/name: hostport
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "hostport.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "hostport.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "hostport.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What every pod of ours begins with: its account, its rights, its image. */}}
{{- define "hostport.podBegin" -}}
serviceAccountName: hostport-{{ .part }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "hostport.podSecurityContext" .root | nindent 2 }}
{{- end }}

{{/* Where its pods may be. */}}
{{- define "hostport.placement" -}}
{{- $of := index .root.Values .part -}}
{{- with $of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- /* Not every cluster has zones. */}}
{{- range $key, $when := dict "kubernetes.io/hostname" $of.topologySpread "topology.kubernetes.io/zone" "ScheduleAnyway" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: {{ $when }}
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels: {{- include "hostport.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* Whether it lives, whether it serves. */}}
{{- define "hostport.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- define "hostport.commonEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: HOSTPORT_LOG
  value: {{ .Values.log.level | quote }}
- name: HOSTPORT_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- end }}

{{/* The controller, as the API server knows it. */}}
{{- define "hostport.controllerUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:hostport-controller
{{- end }}

{{/* Kubernetes would take "Ignore" and 2 s as well; here they are refused with a reason. */}}
{{- define "hostport.checkNamespace" -}}
{{- if eq .Release.Namespace "kube-system" }}
{{- fail "hostport cannot be installed in kube-system: the webhooks leave that namespace alone, and it is no place for tenants' operators. Use --namespace hostport-system --create-namespace." }}
{{- end }}
{{- end }}
