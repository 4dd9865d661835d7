//! Keys and certificates: made, and what is known of them. Nothing here shows a key to a log.

use std::{collections::BTreeSet, fmt, time::Duration};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use yasna::{
    ASN1Result, BERReaderSeq, Tag,
    tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME},
};

/// Clocks of others may be so far behind ours: certificates begin in the past.
const BEGUN_BEFORE: Duration = Duration::from_secs(300);

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    certificate: String,
    key: String,
}

/// A CA. Its name is its own: no other has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authority {
    #[serde(flatten)]
    pub(crate) pair: Pair,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) term: Term,
}

/// A certificate to be served, and for whom.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serving {
    #[serde(flatten)]
    pub(crate) pair: Pair,
    /// The CA that has signed it.
    pub(crate) by: String,
    /// DNS names and addresses.
    pub(crate) hosts: BTreeSet<String>,
    #[serde(flatten)]
    pub(crate) term: Term,
}

/// When something was made, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    pub(crate) made: Timestamp,
    pub(crate) ends: Timestamp,
}

impl Term {
    /// Whole seconds, as certificates have them.
    fn new(now: Timestamp, life: Duration) -> anyhow::Result<Self> {
        let made = Timestamp::from_second(now.as_second())?;
        Ok(Self { made, ends: Timestamp::from_second(now.saturating_add(life)?.as_second())? })
    }

    /// When two thirds of its life are over.
    pub(crate) fn renewal(self) -> Timestamp {
        let life = self.ends.duration_since(self.made);
        self.made.saturating_add(life / 3 * 2).unwrap_or(self.ends)
    }

    /// It has begun, and not ended. What was made while the clock was far ahead has not begun.
    pub(crate) fn holds(self, now: Timestamp) -> bool {
        self.made <= now.saturating_add(BEGUN_BEFORE).unwrap_or(now) && now < self.ends
    }
}

impl Pair {
    /// The certificate in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The key in PEM (PKCS#8). Not for logs.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Without the key.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.name, self.term.ends)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {:?} by {} until {}", self.hosts, self.by, self.term.ends)
    }
}

impl Authority {
    /// # Errors
    /// The system has no random numbers for us.
    pub(crate) fn new(now: Timestamp, life: Duration) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        // For people who look at it a time, and of two of one second each its own.
        let mark: String =
            key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("hostport webhooks CA {} {mark}", now.strftime("%Y-%m-%d %H:%M:%S"));
        let term = Term::new(now, life)?;
        let mut params = authority(&name);
        valid(&mut params, term);
        let pair = Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Self { pair, name, term })
    }

    /// A serving certificate by this CA, which it does not outlive.
    ///
    /// # Errors
    /// A host can be neither a name nor an address.
    pub(crate) fn issue(
        &self,
        hosts: &BTreeSet<String>,
        now: Timestamp,
        life: Duration,
    ) -> anyhow::Result<Serving> {
        let mut term = Term::new(now, life)?;
        term.ends = term.ends.min(self.term.ends);
        let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())?;
        valid(&mut params, term);
        params.distinguished_name.push(DnType::CommonName, "hostport admission");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(authority(&self.name), KeyPair::from_pem(&self.pair.key)?);
        let key = KeyPair::generate()?;
        let pair = Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() };
        Ok(Serving { pair, by: self.name.clone(), hosts: hosts.clone(), term })
    }
}

/// A CA and a certificate by it, for a process that installs its own: the CA's certificate and the pair to serve.
///
/// # Errors
/// A host can be neither a name nor an address.
pub fn self_signed(hosts: &[String], now: Timestamp, life: Duration) -> anyhow::Result<(String, Pair)> {
    let ca = Authority::new(now, life)?;
    let serving = ca.issue(&hosts.iter().cloned().collect(), now, life)?;
    Ok((ca.pair.certificate, serving.pair))
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn valid(params: &mut CertificateParams, term: Term) {
    let since_1970 = |time: Timestamp| Duration::from_secs(time.as_second().max(0).unsigned_abs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(term.made).saturating_sub(BEGUN_BEFORE);
    params.not_after = epoch + since_1970(term.ends);
}

/// When the first certificate of a chain in PEM ends, whoever made it; `None` if it cannot be read.
#[allow(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods are not general enough in their lifetimes"
)]
pub fn not_after(chain: &str) -> Option<Timestamp> {
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let seconds = yasna::parse_der(&certificate, |reader| {
        reader.read_sequence(|certificate| {
            let ends = certificate.next().read_sequence(|body| {
                body.read_optional(|version| version.read_tagged_der())?;
                // Serial number, algorithm, issuer.
                for _ in 0..3 {
                    body.next().read_der()?;
                }
                let ends = body.next().read_sequence(|validity| {
                    time(validity)?;
                    time(validity)
                })?;
                // Subject, key, and up to three more that may be left out.
                while body.read_optional(|more| more.read_der())?.is_some() {}
                Ok(ends)
            })?;
            certificate.next().read_der()?;
            certificate.next().read_der()?;
            Ok(ends)
        })
    });
    Timestamp::from_second(seconds.ok()?).ok()
}

/// Seconds since 1970.
fn time(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<i64> {
    let reader = reader.next();
    match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime().map(|time| time.datetime().unix_timestamp()),
        TAG_GENERALIZEDTIME => reader.read_generalized_time().map(|time| time.datetime().unix_timestamp()),
        Tag { .. } => Err(yasna::ASN1Error::new(yasna::ASN1ErrorKind::Invalid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> Timestamp {
        "2026-11-26T02:00:00Z".parse().unwrap()
    }

    fn hosts(hosts: &[&str]) -> BTreeSet<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    #[test]
    fn its_life_counts_from_when_it_was_made_and_it_begins_before() {
        let ca = Authority::new(now(), 9 * DAY).unwrap();

        assert_eq!(ca.term, Term { made: now(), ends: now() + 9 * DAY });
        assert_eq!(ca.term.renewal(), now() + 6 * DAY);
        let mut params = CertificateParams::default();
        valid(&mut params, ca.term);
        assert_eq!(params.not_before.unix_timestamp(), (now() - BEGUN_BEFORE).as_second());
    }

    #[test]
    fn the_certificate_ends_when_it_is_said_to() {
        let beyond_2049 = Duration::from_secs(40 * 365 * 86_400);
        for life in [DAY, beyond_2049] {
            let ca = Authority::new(now(), life).unwrap();

            assert_eq!(not_after(ca.pair.certificate()), Some(ca.term.ends));
        }
        for nonsense in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"] {
            assert_eq!(not_after(nonsense), None);
        }
    }

    #[test]
    fn it_does_not_outlive_its_ca() {
        let ca = Authority::new(now(), 2 * DAY).unwrap();

        let serving = ca.issue(&hosts(&["a"]), now() + DAY, 90 * DAY).unwrap();

        assert_eq!(serving.term.ends, now() + 2 * DAY);
        assert_eq!(not_after(serving.pair.certificate()), Some(serving.term.ends));
    }

    #[test]
    fn two_authorities_have_two_names() {
        let names: BTreeSet<_> = (0..8).map(|_| Authority::new(now(), DAY).unwrap().name).collect();

        assert_eq!(names.len(), 8, "{names:?}");
    }

    #[test]
    fn a_key_is_not_shown() {
        let ca = Authority::new(now(), DAY).unwrap();
        let serving = ca.issue(&hosts(&["a"]), now(), DAY).unwrap();

        let shown = format!("{ca:?} {serving:?} {:?} {:?}", ca.pair, serving.pair);

        for pair in [&ca.pair, &serving.pair] {
            assert!(!shown.contains(pair.key().lines().nth(1).unwrap()), "{shown}");
        }
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn a_host_that_is_none_is_an_error() {
        assert!(self_signed(&["ä".to_owned()], now(), DAY).is_err());
    }
}
