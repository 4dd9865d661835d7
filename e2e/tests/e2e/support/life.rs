//! Claims that want more than a number, HostPorts that an administrator makes, and what the metrics say.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClaim, HostPortClaimSpec, HostPortClass, HostPortPhase};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use super::{Class, World, create};

/// Far less than the 60 s that a freed number rests.
const AT_ONCE: Duration = Duration::from_secs(25);

/// Default classes are everybody's: one test at a time has some.
pub async fn alone_with_default_classes() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

impl World {
    /// Creates a claim of the class whose spec is changed like this.
    pub async fn claim_with(
        &self,
        name: &str,
        class: &Class,
        change: impl FnOnce(&mut HostPortClaimSpec),
    ) -> Result<HostPortClaim> {
        let mut spec =
            HostPortClaimSpec { host_port_class_name: Some(class.name.clone()), ..Default::default() };
        change(&mut spec);
        let created = self.api().create(&PostParams::default(), &HostPortClaim::new(name, spec)).await;
        created.with_context(|| format!("create claim {name}"))
    }

    /// Creates a claim for so many consecutive numbers.
    pub async fn claim_block(&self, name: &str, class: &Class, count: u16) -> Result<HostPortClaim> {
        self.claim_with(name, class, |spec| spec.count = count).await
    }

    /// Creates a claim that is to be refused with this reason after something else was changed; anew as long as the
    /// operator does not know of that change yet (its watches are not ordered).
    pub async fn claim_until(&self, name: &str, class: Option<&str>, reason: &str) -> Result<()> {
        self.until(&format!("a new claim {name} to say {reason}"), || async {
            if self.api::<HostPortClaim>().get_opt(name).await?.is_some() {
                self.delete_claim(name).await?;
                self.claim_is_gone(name).await?;
            }
            self.claim_spec(name, class, None).await?;
            let looked_at = || async {
                let claim = self.get_claim(name).await?;
                let seen = claim.ready_reason().filter(|reason| *reason != "WaitingForController");
                seen.map(str::to_owned).context("nobody has looked at it")
            };
            let is = self.until("it to be looked at", looked_at).await?;
            ensure!(is == reason, "it says {is}");
            Ok(())
        })
        .await
    }

    /// Waits until the claim is Bound, which must be well before a freed number has rested; its number.
    pub async fn bound_at_once(&self, name: &str) -> Result<u16> {
        let start = Instant::now();
        let port = self.bound(name).await?;
        ensure!(start.elapsed() < AT_ONCE, "claim {name} was Bound only after {:?}", start.elapsed());
        Ok(port)
    }

    /// Waits until the claim says this reason and that nothing but an edit helps; its message.
    pub async fn stalled(&self, name: &str, reason: &str) -> Result<String> {
        let message = self.says(name, reason).await?;
        let conditions = self.get_claim(name).await?.status.unwrap_or_default().conditions;
        let stalled = conditions.iter().find(|condition| condition.type_ == "Stalled");
        ensure!(stalled.is_some_and(|condition| condition.status == "True"), "{name}: {conditions:?}");
        Ok(message)
    }

    /// What an administrator does: a HostPort that is Available, or kept for the claim of this namespace and name.
    pub async fn make_hostport(
        &self,
        port: u16,
        class: &Class,
        kept: Option<(&str, &str)>,
    ) -> Result<HostPort> {
        let mut hostport = json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPort", "metadata": {"name": port.to_string()},
            "spec": {"port": port, "class": class.name},
        });
        if let Some((namespace, name)) = kept {
            hostport["spec"]["claimRef"] = json!({"namespace": namespace, "name": name});
        }
        create(&self.hostports(), hostport).await
    }

    /// Waits until the operator knows of the HostPorts that were made so far: a later one, of this class, is bound by name.
    pub async fn knows_hostports(&self, class: &Class) -> Result<()> {
        let port = super::range(1);
        self.make_hostport(port, class, None).await?;
        let name = format!("witness-{port}");
        self.claim_with(&name, class, |spec| spec.host_port_name = Some(port.to_string())).await?;
        ensure!(self.bound(&name).await? == port);
        Ok(())
    }

    /// Waits until all numbers from `first` are Bound as a block; their HostPorts.
    pub async fn block(&self, first: u16, count: u16) -> Result<Vec<HostPort>> {
        let mut all = Vec::new();
        for index in 0..count {
            let hostport = self.hostport_in(first + index, HostPortPhase::Bound).await?;
            let block = hostport.spec.block.map(|block| (block.first.get(), block.index));
            ensure!(block == Some((first, index)), "{:?}", hostport.spec);
            all.push(hostport);
        }
        Ok(all)
    }

    /// Takes a label of this namespace away.
    pub async fn unlabel(&self, key: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client());
        let patch = Patch::Merge(json!({"metadata": {"labels": {key: null}}}));
        api.patch(self.ns(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Marks the class as a default one, or no longer.
    pub async fn make_default(&self, class: &Class, default: bool) -> Result<()> {
        let annotations = json!({crds::names::ANNOTATION_DEFAULT_CLASS: default.to_string()});
        self.patch_class(class, json!({"metadata": {"annotations": annotations}})).await
    }

    #[allow(clippy::needless_pass_by_value, reason = "json!(…) is written at each call")]
    pub async fn patch_class(&self, class: &Class, patch: serde_json::Value) -> Result<()> {
        let api: Api<HostPortClass> = Api::all(self.client());
        api.patch(&class.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The value of a gauge of the operator, for this class and namespace.
    pub async fn gauge(&self, name: &str, class: &Class) -> Result<Option<f64>> {
        let (_, answer) = self.operator.get("/metrics").await?;
        let lines = answer.lines().map(|line| Ok(line.to_owned()));
        let of = |sample: &prometheus_parse::Sample| {
            let label = |key| sample.labels.get(key);
            sample.metric == name
                && label("class") == Some(class.name.as_str())
                && label("namespace") == Some(self.ns())
        };
        let found = prometheus_parse::Scrape::parse(lines)?.samples.into_iter().find(of);
        Ok(found.and_then(|sample| match sample.value {
            prometheus_parse::Value::Gauge(value) | prometheus_parse::Value::Untyped(value) => Some(value),
            _ => None,
        }))
    }

    /// Waits until the operator's metrics say that this namespace has so many of the class and may have that many.
    pub async fn measures(&self, class: &Class, expected: (f64, f64)) -> Result<()> {
        self.until(&format!("the metrics to say {expected:?}"), || async {
            let used = self.gauge("hostport_namespace_ports", class).await?;
            let limit = self.gauge("hostport_namespace_ports_limit", class).await?;
            ensure!((used, limit) == (Some(expected.0), Some(expected.1)), "{used:?} of {limit:?}");
            Ok(())
        })
        .await
    }
}
