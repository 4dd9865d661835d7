//! AdmissionReview as it goes over the wire. kube's own types are not used: they take the object apart into
//! typed metadata, which loses fields that this version does not know, and write the patch as a list of numbers.

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crds::names::is_object_name;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Groups whose word on a mirror pod counts: kubelets make them; an administrator may do anything. From anyone
/// else the annotation would be a way around I5.
const MIRROR_MAKERS: [&str; 2] = ["system:nodes", "system:masters"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) uid: String,
    kind: Kind,
    #[serde(default)]
    namespace: Option<String>,
    operation: String,
    #[serde(default)]
    user_info: Option<User>,
    #[serde(default)]
    pub(crate) object: Value,
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Kind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: Option<String>,
    groups: Option<Vec<String>>,
}

/// Why a body is not a review that can be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the body is not an {KIND} of {API_VERSION}: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the body is a {0} of {1}, not an {KIND} of {API_VERSION}")]
    Kind(String, String),
    #[error("the {KIND} has no request")]
    NoRequest,
}

impl Request {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let review: Review = serde_json::from_slice(body)?;
        if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
            return Err(Unreadable::Kind(review.kind, review.api_version));
        }
        review.request.ok_or(Unreadable::NoRequest)
    }

    /// Ports cannot change after creation, and ephemeral containers have none.
    pub(crate) fn is_create(&self) -> bool {
        self.operation == "CREATE"
    }

    /// The kind of the object, of whatever group.
    pub(crate) fn kind(&self) -> &str {
        &self.kind.kind
    }

    pub(crate) fn is_pod(&self) -> bool {
        (self.kind.group.as_str(), self.kind.version.as_str(), self.kind.kind.as_str()) == ("", "v1", "Pod")
    }

    /// The namespace, if it can be one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|namespace| is_object_name(namespace))
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }

    /// Who asks.
    pub(crate) fn user(&self) -> &str {
        self.user_info.as_ref().and_then(|user| user.username.as_deref()).unwrap_or_default()
    }

    /// Whether a controller asks: it tries again by itself.
    pub(crate) fn is_by_controller(&self) -> bool {
        let name = self.user();
        name.starts_with("system:serviceaccount:") || name == "system:kube-controller-manager"
    }

    /// Whether the requester may make mirror pods.
    pub(crate) fn may_mirror(&self) -> bool {
        let groups = self.user_info.as_ref().and_then(|user| user.groups.as_deref()).unwrap_or_default();
        groups.iter().any(|group| MIRROR_MAKERS.contains(&group.as_str()))
    }
}

/// What the API server is told.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The pod may be stored, with the JSON patch applied.
    Allowed { patch: Option<ByteString>, warnings: Vec<String> },
    /// The pod may not be stored, because of what it is.
    Denied(String),
    /// The pod may not be stored, because it could not be judged.
    Failed(String),
    /// This is nothing that can be judged here.
    NotOurs(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: String,
}

impl Answer {
    pub(crate) fn new(uid: String, verdict: Verdict) -> Self {
        let refused = |code, reason, message| Response {
            uid: uid.clone(),
            allowed: false,
            status: Some(Status { status: "Failure", code, reason, message }),
            patch: None,
            patch_type: None,
            warnings: Vec::new(),
        };
        let response = match verdict {
            Verdict::Allowed { patch, warnings } => {
                let patch_type = patch.is_some().then_some("JSONPatch");
                Response { uid, allowed: true, status: None, patch, patch_type, warnings }
            }
            Verdict::Denied(message) => refused(403, "Forbidden", message),
            Verdict::Failed(message) => refused(503, "ServiceUnavailable", message),
            Verdict::NotOurs(message) => refused(400, "BadRequest", message),
        };
        Answer { api_version: API_VERSION, kind: KIND, response }
    }
}
