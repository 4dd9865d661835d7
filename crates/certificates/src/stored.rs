//! What the Secret has. `tls.crt`, `tls.key` and `ca.crt` are what admission serves and the API server trusts, as
//! cert-manager writes them too. They follow from one further key, which has all that is needed to go on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    pair::{Authority, Serving},
    plan::{Lifetimes, Step},
};

/// CAs with their keys, the serving certificate, and when they end.
const KEPT: &str = "authorities.json";

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    /// The CA that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signing: Option<Authority>,
    /// The CA that will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Authority>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serving: Option<Serving>,
    /// Whom the API server is to trust, the one that ends first is first.
    #[serde(default)]
    pub(crate) trusted: Vec<Trusted>,
}

/// A CA without its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Trusted {
    pub(crate) ends: Timestamp,
    pub(crate) name: String,
    certificate: String,
}

impl Stored {
    /// What the Secret's data say; nothing if they make no sense.
    pub(crate) fn read(data: &BTreeMap<String, ByteString>) -> Self {
        data.get(KEPT).and_then(|kept| serde_json::from_slice(&kept.0).ok()).unwrap_or_default()
    }

    /// The Secret's data. Its type demands `tls.crt` and `tls.key`, also before there is a certificate.
    pub(crate) fn data(&self) -> anyhow::Result<BTreeMap<String, ByteString>> {
        let pair = self.serving.as_ref().map(|serving| &serving.pair);
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        Ok(BTreeMap::from([
            ("tls.crt".to_owned(), bytes(pair.map_or("", |pair| pair.certificate()))),
            ("tls.key".to_owned(), bytes(pair.map_or("", |pair| pair.key()))),
            ("ca.crt".to_owned(), bytes(&self.bundle())),
            (KEPT.to_owned(), ByteString(serde_json::to_vec(self)?)),
        ]))
    }

    /// The CAs to be trusted, in PEM.
    pub(crate) fn bundle(&self) -> String {
        self.trusted.iter().map(|ca| ca.certificate.as_str()).collect()
    }

    /// Whom the API server is to trust at this time: those that sign, will sign or have signed, until they end.
    pub(crate) fn to_be_trusted(&self, now: Timestamp) -> Vec<Trusted> {
        let own = [&self.signing, &self.next].into_iter().flatten().map(|ca| Trusted {
            ends: ca.term.ends,
            name: ca.name.clone(),
            certificate: ca.pair.certificate().to_owned(),
        });
        let all: BTreeSet<_> = self.trusted.iter().cloned().chain(own).filter(|ca| ca.ends > now).collect();
        all.into_iter().collect()
    }

    /// What is kept after a step.
    ///
    /// # Errors
    /// A host can be neither a name nor an address.
    pub(crate) fn after(
        mut self,
        step: Step,
        hosts: &BTreeSet<String>,
        now: Timestamp,
        lifetimes: Lifetimes,
    ) -> anyhow::Result<Self> {
        let issue = |ca: &Authority| ca.issue(hosts, now, lifetimes.certificate);
        match step {
            Step::Begin => (self.signing, self.next) = (Some(Authority::new(now, lifetimes.ca)?), None),
            Step::Prepare => self.next = Some(Authority::new(now, lifetimes.ca)?),
            Step::Issue => self.serving = self.signing.as_ref().map(issue).transpose()?,
            Step::Switch => {
                self.signing = self.next.take();
                self.serving = self.signing.as_ref().map(issue).transpose()?;
            }
            Step::Tidy | Step::Inject | Step::Rest(_) => {}
        }
        self.trusted = self.to_be_trusted(now);
        Ok(self)
    }
}
