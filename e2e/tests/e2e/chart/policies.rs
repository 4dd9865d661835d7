//! The policies: what they stop, and what they let through.

mod managed;
mod records;
mod stored;

use anyhow::{Result, ensure};
use e2e::eventually;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::Api;

use super::installed::installed;
use crate::support::SOON;

#[tokio::test]
async fn the_api_server_finds_no_mistake_in_the_expressions() -> Result<()> {
    let installed = installed().await?;
    let api: Api<ValidatingAdmissionPolicy> = Api::all(installed.cluster.client().await?);

    for policy in api.list(&Default::default()).await?.items {
        let name = policy.metadata.name.unwrap_or_default();
        let checked = eventually(SOON, &format!("{name} to be checked"), || async {
            let status = api.get(&name).await?.status.unwrap_or_default();
            ensure!(status.observed_generation.is_some(), "not yet");
            Ok(status)
        })
        .await?;
        let warnings =
            checked.type_checking.and_then(|checking| checking.expression_warnings).unwrap_or_default();
        ensure!(warnings.is_empty(), "{name}: {warnings:?}");
    }
    Ok(())
}
