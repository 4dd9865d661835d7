//! The serving certificate, made at start and kept in memory: a CA of its own signs one certificate, and the
//! CA's key is forgotten. Certificates that outlive a process are the installation's concern.

use std::sync::Arc;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};

/// Years for which the certificate is valid; the process is not expected to live that long.
const YEARS: i32 = 10;

/// A serving certificate and the CA that the API server is to trust.
#[derive(Clone)]
pub struct Serving {
    ca_pem: String,
    config: RustlsConfig,
}

impl Serving {
    /// The CA certificate in PEM, for `caBundle`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The TLS settings of a server with this certificate: 1.2 and 1.3 only.
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }
}

/// A certificate for these DNS names and IP addresses: `hostport-admission.hostport-system.svc`, `127.0.0.1`.
///
/// # Errors
/// A name can be neither.
pub fn self_signed(names: &[String]) -> anyhow::Result<Serving> {
    let mut params = valid(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, "hostport admission CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let params = CertificateParams::new(names).with_context(|| format!("a certificate for {names:?}"))?;
    let mut params = valid(params);
    params.distinguished_name.push(DnType::CommonName, "hostport admission");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &ca)?;

    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    // The API server speaks HTTP/1.1 to webhooks, so that connections spread over replicas.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Serving { ca_pem: ca.pem(), config: RustlsConfig::from_config(Arc::new(config)) })
}

/// From yesterday, because clocks differ.
fn valid(mut params: CertificateParams) -> CertificateParams {
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let from = yesterday.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (month, day) = (from.month().unsigned_abs(), from.day().unsigned_abs().min(28));
    params.not_before = date_time_ymd(from.year().into(), month, day);
    params.not_after = date_time_ymd(i32::from(from.year()) + YEARS, month, day);
    params
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
}
