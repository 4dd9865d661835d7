//! The webhook configurations' caBundle: whom the API server trusts. Read, compared, and written only if it differs.

use std::fmt::Debug;

use crds::names::{WEBHOOK_MUTATE, WEBHOOK_VALIDATE};
use k8s_openapi::{
    ByteString, ClusterResourceScope,
    api::admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
};
use kube::{
    Api, Client, Error, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::keeper::FIELD_MANAGER;

/// The two configurations.
pub(crate) struct Configurations {
    mutating: Api<MutatingWebhookConfiguration>,
    validating: Api<ValidatingWebhookConfiguration>,
}

impl Configurations {
    pub(crate) fn new(client: &Client) -> Self {
        Self { mutating: Api::all(client.clone()), validating: Api::all(client.clone()) }
    }

    /// Patches that make every webhook trust these, none if they do. A configuration that is not there calls nobody.
    pub(crate) async fn differing(&self, bundle: &str) -> Result<Differing, Error> {
        let (mutating, validating) = tokio::try_join!(
            self.mutating.get_opt(WEBHOOK_MUTATE),
            self.validating.get_opt(WEBHOOK_VALIDATE)
        )?;
        Ok(Differing {
            mutating: mutating.and_then(|it| patch(&it, bundle)),
            validating: validating.and_then(|it| patch(&it, bundle)),
        })
    }

    pub(crate) async fn write(&self, patches: Differing) -> Result<(), Error> {
        write(&self.mutating, WEBHOOK_MUTATE, patches.mutating).await?;
        write(&self.validating, WEBHOOK_VALIDATE, patches.validating).await
    }
}

/// What is to be written.
pub(crate) struct Differing {
    mutating: Option<Value>,
    validating: Option<Value>,
}

impl Differing {
    pub(crate) fn is_nothing(&self) -> bool {
        self.mutating.is_none() && self.validating.is_none()
    }
}

async fn write<K>(api: &Api<K>, name: &str, patch: Option<Value>) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + DeserializeOwned,
{
    let Some(patch) = patch else { return Ok(()) };
    api.patch(
        name,
        &PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() },
        &Patch::Strategic(patch),
    )
    .await?;
    tracing::info!(configuration = name, "the API server is told which CAs to trust (caBundle)");
    Ok(())
}

/// A configuration and its webhooks.
trait Configuration: ResourceExt {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|it| (&*it.name, &it.client_config)).collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|it| (&*it.name, &it.client_config)).collect()
    }
}

/// Names the webhooks that differ, on the version that was read: the list is merged by name.
fn patch(configuration: &impl Configuration, bundle: &str) -> Option<Value> {
    let bundle = ByteString(bundle.as_bytes().to_vec());
    let differing: Vec<_> = configuration
        .webhooks()
        .into_iter()
        .filter(|(_, config)| config.ca_bundle.as_ref() != Some(&bundle))
        .map(|(name, _)| json!({ "name": name, "clientConfig": { "caBundle": bundle } }))
        .collect();
    let version = configuration.resource_version();
    (!differing.is_empty())
        .then(|| json!({ "metadata": { "resourceVersion": version }, "webhooks": differing }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::admissionregistration::v1::ValidatingWebhook, apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };

    use super::*;

    fn configuration(bundles: &[Option<&str>]) -> ValidatingWebhookConfiguration {
        let webhook = |(index, bundle): (usize, &Option<&str>)| ValidatingWebhook {
            name: format!("{index}.hostport.io"),
            client_config: WebhookClientConfig {
                ca_bundle: bundle.map(|it| ByteString(it.as_bytes().to_vec())),
                ..WebhookClientConfig::default()
            },
            ..ValidatingWebhook::default()
        };
        ValidatingWebhookConfiguration {
            metadata: ObjectMeta { resource_version: Some("7".to_owned()), ..ObjectMeta::default() },
            webhooks: Some(bundles.iter().enumerate().map(webhook).collect()),
        }
    }

    #[test]
    fn what_is_told_already_is_not_written() {
        assert_eq!(patch(&configuration(&[Some("a"), Some("a")]), "a"), None);
    }

    #[test]
    fn only_webhooks_that_differ_are_named_and_the_version_that_was_read() {
        let patch = patch(&configuration(&[Some("a"), None, Some("b")]), "a").unwrap();

        assert_eq!(
            patch,
            json!({ "metadata": { "resourceVersion": "7" }, "webhooks": [
                { "name": "1.hostport.io", "clientConfig": { "caBundle": "YQ==" } },
                { "name": "2.hostport.io", "clientConfig": { "caBundle": "YQ==" } },
            ]})
        );
    }
}
