//! The serving certificate: made at start and kept in memory, or one that a Secret has and that may change at any time.

use std::sync::Arc;

use anyhow::{Context, bail};
use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};

/// For how long a certificate is valid that is made at start; the process is not expected to live that long.
const TEN_YEARS: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 86_400);

/// A serving certificate, and the CA that the API server is to trust if it is ours to say.
#[derive(Clone)]
pub struct Serving {
    ca_pem: String,
    config: RustlsConfig,
}

impl Serving {
    /// One to begin with; it may be replaced while it is served.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self { ca_pem: String::new(), config: RustlsConfig::from_config(config) }
    }

    /// The CA certificate in PEM, for `caBundle`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The TLS settings of a server with this certificate: 1.2 and 1.3 only.
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }
}

/// A certificate for these DNS names and IP addresses: `hostport-admission.hostport-system.svc`, `127.0.0.1`. A CA of
/// its own signs it, and the CA's key is forgotten.
///
/// # Errors
/// A name can be neither.
pub fn self_signed(names: &[String]) -> anyhow::Result<Serving> {
    let (ca_pem, pair) = certificates::self_signed(names, jiff::Timestamp::now(), TEN_YEARS)
        .with_context(|| format!("a certificate for {names:?}"))?;
    let config = server_config(pair.certificate(), pair.key())?;
    Ok(Serving { ca_pem, config: RustlsConfig::from_config(config) })
}

/// The TLS settings of a server with this chain and key, both in PEM.
///
/// # Errors
/// They cannot be read, or do not belong together. The error shows neither.
pub(crate) fn server_config(chain: &str, key: &str) -> anyhow::Result<Arc<ServerConfig>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| anyhow::anyhow!("the certificate is not in PEM"))?;
    if chain.is_empty() {
        bail!("there is no certificate yet");
    }
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.as_bytes()) else { bail!("the key is not in PEM") };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not belong together")?;
    // The API server speaks HTTP/1.1 to webhooks, so that connections spread over replicas.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_for_names_and_addresses() {
        let names = ["hostport-admission.hostport-system.svc".to_owned(), "127.0.0.1".to_owned()];

        let serving = self_signed(&names).unwrap();

        assert!(serving.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        assert!(self_signed(&["ä".to_owned()]).is_err());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_not_shown() {
        let pair = |name: &str| {
            let names = [name.to_owned()];
            certificates::self_signed(&names, jiff::Timestamp::now(), TEN_YEARS).unwrap().1
        };
        let (one, other) = (pair("one"), pair("other"));

        let error = format!("{:#}", server_config(one.certificate(), other.key()).unwrap_err());

        assert!(error.contains("do not belong together"), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
        assert!(server_config("", "").is_err_and(|error| error.to_string().contains("no certificate yet")));
    }
}
