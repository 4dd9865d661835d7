//! The serving certificate of a Secret, followed by a watch: a new one is served within moments, without a mount and
//! without a restart. What cannot be served is said and passed over; the one before goes on being served.

use std::{pin::Pin, sync::Arc};

use certificates::Expiry;
use futures::{Stream, StreamExt};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use rustls::ServerConfig;

use crate::tls::{Serving, server_config};

/// A watch ends within this time, seconds, and is begun anew, so that a dead connection is noticed.
const WATCH_LIMIT: u32 = 24;

/// The certificates that a Secret has, one after the other.
pub struct Certificates {
    name: String,
    changes: Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<Secret>>> + Send>>,
    expiry: Expiry,
}

impl Certificates {
    /// Those of this Secret, with the keys `tls.crt` and `tls.key`. Needs `list` and `watch` on it by its name.
    pub fn new(client: Client, namespace: &str, name: &str, expiry: Expiry) -> Self {
        let api = Api::<Secret>::namespaced(client, namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_LIMIT);
        let changes = watcher(api, config).default_backoff().boxed();
        Self { name: name.to_owned(), changes, expiry }
    }

    /// Waits for the first that can be served.
    ///
    /// # Errors
    /// The watch ends.
    pub async fn first(&mut self) -> anyhow::Result<Serving> {
        Ok(Serving::new(self.next().await?))
    }

    /// Puts each new one in the place of the one before, for as long as it is polled.
    ///
    /// # Errors
    /// The watch ends.
    pub async fn replace(&mut self, serving: &Serving) -> anyhow::Result<()> {
        loop {
            let config = self.next().await?;
            serving.config().reload_from_config(config);
        }
    }

    async fn next(&mut self) -> anyhow::Result<Arc<ServerConfig>> {
        let name = self.name.clone();
        while let Some(change) = self.changes.next().await {
            match change {
                Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret)) => {
                    match self.parse(&secret) {
                        Ok(config) => return Ok(config),
                        Err(error) => tracing::warn!(
                            secret = name,
                            error = format!("{error:#}"),
                            "no certificate to serve in this Secret, what was served before goes on"
                        ),
                    }
                }
                Ok(watcher::Event::Delete(_)) => {
                    tracing::warn!(
                        secret = name,
                        "the Secret is deleted, its last certificate is served until it ends"
                    );
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => {
                    tracing::warn!(secret = name, %error, "the watch of the Secret failed, it is begun anew")
                }
            }
        }
        anyhow::bail!("the watch of Secret {name} ended")
    }

    fn parse(&self, secret: &Secret) -> anyhow::Result<Arc<ServerConfig>> {
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|ByteString(bytes)| &**bytes);
            std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
        };
        let config = server_config(text("tls.crt"), text("tls.key"))?;
        if let Some(ends) = certificates::not_after(text("tls.crt")) {
            self.expiry.serving(ends);
            let version = secret.resource_version();
            tracing::info!(secret = self.name, version, %ends, "serving the certificate of this Secret");
        }
        Ok(config)
    }
}
