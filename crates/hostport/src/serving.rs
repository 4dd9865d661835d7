//! Which certificate admission serves, and who tells the API server of it.

use std::net::SocketAddr;

use ::admission::{Certificates, Serving, Target};
use kube::Client;

use crate::{cli, definitions};

/// Where the certificate comes from.
pub(crate) enum Certificate {
    /// Made at start. This process applies the webhook configurations, with its CA.
    Own { serving: Serving, target: Target, own_namespace: String },
    /// A Secret has it. Who writes that tells the API server too.
    Stored(Certificates),
}

impl Certificate {
    /// One of our own, for the Service or, without one, for this address.
    ///
    /// # Errors
    /// The Service's name is none.
    pub(crate) fn own(target: &cli::Target, addr: SocketAddr) -> anyhow::Result<Self> {
        let own_namespace = target.namespace.clone();
        let (target, host) = match &target.webhook_service {
            Some(service) => {
                let (namespace, name) = (service.namespace.clone(), service.name.clone());
                (Target::Service { namespace, name, port: 443 }, service.host())
            }
            None => (Target::Url(format!("https://{addr}")), addr.ip().to_string()),
        };
        Ok(Self::Own { serving: ::admission::self_signed(&[host])?, target, own_namespace })
    }

    /// The certificate to begin with, once there is one and the API server may have been told of it.
    pub(crate) async fn first(&mut self, client: &Client) -> anyhow::Result<Serving> {
        match self {
            Self::Own { serving, target, own_namespace } => {
                definitions::not_installed(client).await?;
                let install = || ::admission::install(client, target, serving.ca_pem(), own_namespace);
                definitions::patiently(install).await?;
                Ok(serving.clone())
            }
            Self::Stored(certificates) => {
                tracing::info!("waiting for the certificate");
                certificates.first().await
            }
        }
    }

    /// Puts each new certificate in the place of the one before.
    pub(crate) async fn replace(&mut self, serving: &Serving) -> anyhow::Result<()> {
        match self {
            Self::Own { .. } => std::future::pending().await,
            Self::Stored(certificates) => certificates.replace(serving).await,
        }
    }
}
