{{/* Puts a policy in force: (dict "name" … "root" $). Where it holds says the policy itself. */}}
{{- define "hostport.policyBinding" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "hostport.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: {{ toJson .root.Values.policies.actions }}
{{- end }}

{{/* Namespaces that tenants have and that hostport manages; `unless` is a label by which an administrator lets one off. */}}
{{- define "hostport.managedNamespaces" -}}
matchExpressions:
- {key: hostport.io/managed, operator: In, values: ["true"]}
- {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, {{ .root.Release.Namespace | quote }}]}
{{- with .unless }}
- {key: {{ . }}, operator: NotIn, values: ["true"]}
{{- end }}
{{- end }}
