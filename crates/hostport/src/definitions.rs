//! CustomResourceDefinitions and webhook configurations: printed, written, applied, awaited.

use std::{fs, io::Write, path::Path, time::Duration};

use ::admission::Target;
use anyhow::{Context, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use tokio::time::{Instant, sleep, timeout};

use crate::cli;

const FIELD_MANAGER: &str = "hostport";
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Prints the definitions, or writes them into a folder.
pub(crate) fn print(dir: Option<&Path>) -> anyhow::Result<()> {
    let Some(dir) = dir else {
        let documents: Vec<String> = crds::yaml().into_iter().map(|(_, text)| text).collect();
        return say(&documents.join("---\n"));
    };
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    for (name, text) in crds::yaml() {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Prints the webhook configurations as the API server is to have them, but for the CA.
pub(crate) fn print_webhooks(target: &cli::Target) -> anyhow::Result<()> {
    say(&::admission::yaml(&service(target), "", &target.namespace)?)
}

/// Prints it.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `hostport crds | head` is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to standard output"),
    }
}

/// The Service that is named, or the one that the chart will make.
fn service(target: &cli::Target) -> Target {
    let named = target.webhook_service.clone();
    let (namespace, name) = named.map_or_else(
        || (target.namespace.clone(), "hostport-admission".to_owned()),
        |it| (it.namespace, it.name),
    );
    Target::Service { namespace, name, port: 443 }
}

/// Applies the definitions (server-side apply).
pub(crate) async fn apply(client: &Client) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in crds::all() {
        let name = crd.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        patiently(|| async {
            let applied = api.patch(&name, &params, &Patch::Apply(&crd)).await;
            applied.with_context(|| format!("apply {name}"))
        })
        .await?;
    }
    Ok(())
}

/// Waits until the API server serves the definitions.
pub(crate) async fn established(client: &Client) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in crds::all() {
        let name = crd.name_any();
        patiently(|| async {
            let established = await_condition(api.clone(), &name, is_crd_established());
            match timeout(PATIENCE, established).await {
                Ok(found) => found.with_context(|| format!("wait for {name}")),
                Err(_) => bail!(
                    "CustomResourceDefinition {name} is not served by this cluster. Apply the definitions first: \
                     hostport crds | kubectl apply --server-side -f -"
                ),
            }
        })
        .await?;
    }
    Ok(())
}

/// That the webhooks are not those of an installed hostport: to apply ours would lead its calls to this process.
pub(crate) async fn not_installed(client: &Client) -> anyhow::Result<()> {
    ensure!(
        !patiently(|| ::admission::is_installed(client)).await?,
        "this cluster has hostport installed, and what asks its webhooks would be asked of this process instead. Use \
         another cluster, or uninstall it first (docs/install.md)"
    );
    Ok(())
}

/// Repeats a step of the start for a while, as long as it may pass by itself: an API server that is starting or busy is
/// no reason to end.
pub(crate) async fn patiently<T, F>(mut step: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let until = Instant::now() + PATIENCE;
    let mut said = String::new();
    loop {
        match step().await {
            Err(error) if may_pass(&error) && Instant::now() < until => {
                let error = format!("{error:#}");
                if error != said {
                    tracing::warn!(%error, "the API server does not answer well; trying again");
                    said = error;
                }
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Not so what the API server says of the request itself.
fn may_pass(error: &anyhow::Error) -> bool {
    let refused = |status: u16| (400..500).contains(&status) && status != 429;
    error.chain().all(|cause| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => !refused(status.code),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_does_not_pass_by_itself_and_trouble_of_the_server_does() {
        let answer = |code| {
            let status = Status { code, ..Status::default() };
            anyhow::Error::new(kube::Error::Api(Box::new(status))).context("apply it")
        };

        assert!([429, 500, 503].iter().all(|code| may_pass(&answer(*code))));
        assert!([400, 403, 404, 409, 422].iter().all(|code| !may_pass(&answer(*code))));
        assert!(may_pass(&anyhow::anyhow!("connection reset")));
    }

    #[test]
    fn the_folder_gets_a_file_for_each_definition() {
        let dir = tempfile::tempdir().unwrap();

        print(Some(dir.path())).unwrap();

        for name in ["hostportclasses.yaml", "hostportclaims.yaml", "hostports.yaml"] {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(text.contains("kind: CustomResourceDefinition"), "{name}");
        }
    }
}
