//! What a pod is called and which one of many it is: `$(POD_NAME)` and `$(POD_INDEX)` in the name of a claim.

use crate::{
    pod::Pod,
    refusal::{Fleet, Refusal},
};

/// Set by the controllers of StatefulSets.
const LABEL_INDEX: &str = "apps.kubernetes.io/pod-index";
/// Set by the controller of Jobs, as a label and as an annotation.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// A pod among those of its template.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    /// Its name, if it has one before it is stored.
    pub(crate) name: Option<&'a str>,
    /// Its place among the pods of a StatefulSet or Job.
    pub(crate) index: Option<u32>,
}

impl<'a> Identity<'a> {
    pub(crate) fn of(pod: &'a Pod) -> Self {
        let metadata = &pod.metadata;
        let texts = [
            metadata.labels.get(LABEL_INDEX),
            metadata.labels.get(COMPLETION_INDEX),
            metadata.annotations.get(COMPLETION_INDEX),
        ];
        let index = texts.into_iter().flatten().find_map(|text| number(text));
        Self { name: pod.name(), index }
    }

    /// The value with the pod's name and index in it.
    pub(crate) fn expand(&self, key: &str, value: &str) -> Result<String, Refusal> {
        let (key, whole) = (key.to_owned(), value.to_owned());
        let mut expanded = String::new();
        let mut rest = value;
        while let Some((before, variable)) = rest.split_once("$(") {
            let Some((variable, after)) = variable.split_once(')') else {
                return Err(Fleet::UnknownVariable { key, value: whole }.into());
            };
            expanded.push_str(before);
            match variable {
                "POD_NAME" => match self.name {
                    Some(name) => expanded.push_str(name),
                    None => return Err(Fleet::NoPodName { key, value: whole }.into()),
                },
                "POD_INDEX" => match self.index {
                    Some(index) => expanded.push_str(&index.to_string()),
                    None => return Err(Fleet::NoPodIndex { key, value: whole }.into()),
                },
                _ => return Err(Fleet::UnknownVariable { key, value: whole }.into()),
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn expand(metadata: &Value, value: &str) -> Result<String, String> {
        let pod = Pod::deserialize(&json!({ "metadata": metadata })).unwrap();
        let expanded = Identity::of(&pod).expand("claim.hostport.io/sip", value);
        expanded.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_claim_is_named_after_its_pod() {
        let pod = json!({"name": "sbc-2", "labels": {"apps.kubernetes.io/pod-index": "2"}});

        assert_eq!(expand(&pod, "sip-$(POD_INDEX)"), Ok("sip-2".into()));
        assert_eq!(expand(&pod, "$(POD_NAME)-rtp/3"), Ok("sbc-2-rtp/3".into()));
        assert_eq!(expand(&pod, "$(POD_NAME)$(POD_INDEX)"), Ok("sbc-22".into()));
        assert_eq!(expand(&pod, "plain"), Ok("plain".into()));
    }

    #[test]
    fn a_pod_of_an_indexed_job_has_its_completion_index() {
        for place in ["labels", "annotations"] {
            let pod = json!({"generateName": "render-7-", place: {"batch.kubernetes.io/job-completion-index": "7"}});

            assert_eq!(expand(&pod, "out-$(POD_INDEX)"), Ok("out-7".into()));
        }
    }

    #[test]
    fn a_pod_without_name_or_index_is_told_so() {
        let unnamed = json!({"generateName": "echo-"});

        let said = expand(&unnamed, "web-$(POD_NAME)").unwrap_err();
        assert!(said.contains("has no name yet") && said.contains("class.hostport.io"), "{said}");
        let said = expand(&unnamed, "web-$(POD_INDEX)").unwrap_err();
        assert!(said.contains("has no index") && said.contains("StatefulSet"), "{said}");
        let said = expand(&json!({"labels": {"apps.kubernetes.io/pod-index": "x"}}), "$(POD_INDEX)");
        assert!(said.is_err());
    }

    #[test]
    fn another_variable_is_refused_not_ignored() {
        for value in ["web-$(POD_IP)", "web-$(POD_NAME", "$()"] {
            let said = expand(&json!({"name": "a"}), value).unwrap_err();
            assert!(said.contains("$(POD_NAME) and $(POD_INDEX)"), "{said}");
        }
    }
}
