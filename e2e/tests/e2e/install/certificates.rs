//! Certificates that renew themselves, every few seconds here, while pods are created.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use kube::Client;
use kube::client::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::balancer::Balancer;
use super::replicas::{
    Churn, SECRET, SYSTEM, admission, bundle, configure, controller, secret, text, webhooks_of,
};
use crate::faults::world::{SECOND, SOON, World, in_world};

const ROTATIONS: usize = 10;
/// Renewed after 8 s; a CA after 12 s.
const SHORT: [&str; 4] = ["--certificate-lifetime", "12s", "--ca-lifetime", "18s"];
const MANAGED: [&str; 4] = ["--leader-elect", "--manage-certificates", "--certificate-host", "127.0.0.1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_is_refused_through_ten_rotations() -> Result<()> {
    in_world("rotations", async |world| {
        let balancer = begin(world).await?;
        let args = [&MANAGED[..], &SHORT[..]].concat();
        let (first, second, one, other) = tokio::try_join!(
            controller(world, "controller", &args),
            controller(world, SECOND, &args),
            admission(world),
            admission(world)
        )?;
        let serving = [webhooks_of(&one)?, webhooks_of(&other)?];
        balancer.set(&serving);
        world.claim("default", "web", "games").await?;
        world.bound("default", "web").await?;

        let churn = Churn::start(world.client(), "web");
        let mut seen = Seen::default();
        let leads = first.metric("hostport_leader").await? == 1.0;
        let (leader, heir) = if leads { (first, second) } else { (second, first) };
        let mut leader = Some(leader);
        let mut logs = vec![heir.log().to_owned(), one.log().to_owned(), other.log().to_owned()];
        while seen.served.len() <= ROTATIONS {
            ensure!(churn.is_well(), "{:?}", churn.finish().await);
            ensure!(seen.looks < 3_000, "only {} rotations in all this time", seen.served.len());
            seen.look(world).await?;
            for address in serving {
                trusted(world, address).await?;
            }
            // In the middle of it all the leader dies.
            if seen.served.len() > ROTATIONS / 2
                && let Some(leader) = leader.take()
            {
                logs.push(leader.log().to_owned());
                leader.kill9();
            }
        }
        let created = churn.finish().await.context("a pod was refused")?;

        eprintln!(
            "{created} pods through {} certificates and {} CAs",
            seen.served.len(),
            seen.authorities.len()
        );
        ensure!(seen.authorities.len() > 3, "too few CAs: {}", seen.authorities.len());
        ensure!(created > 100, "only {created} pods: this proves little");
        ensure!(one.metric("hostport_certificate_not_after_seconds{certificate=\"serving\"}").await? > 0.0);
        ensure!(heir.metric("hostport_certificate_not_after_seconds{certificate=\"ca\"}").await? > 0.0);
        seen.is_in_no_log(&logs)?;
        only_its_own_secret(world)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_begin_at_once_make_one_authority_and_are_quiet_then() -> Result<()> {
    in_world("one-authority", async |world| {
        let balancer = begin(world).await?;
        // Without election both keep the Secret: only the compare-and-swap is between them.
        let args = &MANAGED[1..];
        let (_first, _second, one) = tokio::try_join!(
            controller(world, "controller", args),
            controller(world, SECOND, args),
            admission(world)
        )?;
        balancer.set(&[webhooks_of(&one)?]);
        world.claim("default", "web", "games").await?;
        world.bound("default", "web").await?;
        let churn = Churn::start(world.client(), "web");
        eventually(SOON, "twenty pods", || async {
            ensure!(churn.created() > 20 || !churn.is_well(), "there are {}", churn.created());
            Ok(())
        })
        .await?;
        churn.finish().await?;

        let before = secret(&world.client()).await?;
        ensure!(
            text(&before, "ca.crt").matches("BEGIN CERTIFICATE").count() == 1,
            "{}",
            text(&before, "ca.crt")
        );
        ensure!(text(&before, "ca.crt").into_bytes() == bundle(&world.client()).await?);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = secret(&world.client()).await?;
        ensure!(before.metadata.resource_version == after.metadata.resource_version, "it was written again");
        Ok(())
    })
    .await
}

/// A namespace for the Secret, a class, and the webhooks as a chart installs them.
async fn begin(world: &World) -> Result<Balancer> {
    world.namespace(SYSTEM).await?;
    world.class("games", 20_000, 20_099, json!({})).await?;
    let balancer = Balancer::start().await?;
    configure(world, &balancer).await?;
    Ok(balancer)
}

/// What the Secret has had.
#[derive(Default)]
struct Seen {
    served: BTreeSet<String>,
    authorities: BTreeSet<String>,
    keys: BTreeSet<String>,
    looks: usize,
}

impl Seen {
    async fn look(&mut self, world: &World) -> Result<()> {
        self.looks += 1;
        let secret = secret(&world.client()).await?;
        self.served.insert(text(&secret, "tls.crt"));
        const END: &str = "-----END CERTIFICATE-----";
        self.authorities.extend(text(&secret, "ca.crt").split(END).map(str::trim).map(str::to_owned));
        self.authorities.remove("");
        let secrets = [text(&secret, "tls.key"), text(&secret, "authorities.json").replace("\\n", "\n")];
        // A line in the middle of a key.
        let lines = secrets.iter().flat_map(|text| text.split("BEGIN PRIVATE KEY-----\n").skip(1));
        self.keys.extend(lines.filter_map(|key| key.lines().next().map(str::to_owned)));
        Ok(())
    }

    fn is_in_no_log(&self, logs: &[std::path::PathBuf]) -> Result<()> {
        ensure!(self.keys.len() > ROTATIONS, "found only {} keys to look for", self.keys.len());
        for log in logs {
            let text = std::fs::read_to_string(log)?;
            ensure!(!text.contains("PRIVATE KEY"), "{} has a key", log.display());
            ensure!(!self.keys.iter().any(|key| text.contains(key)), "{} has a key", log.display());
        }
        Ok(())
    }
}

/// Whoever trusts what the API server is told to trust can talk to this admission.
async fn trusted(world: &World, address: std::net::SocketAddr) -> Result<()> {
    let client = world.client();
    loop {
        let trusted = bundle(&client).await?;
        let Err(error) = talk(address, &trusted).await else { return Ok(()) };
        // It may have changed in between; then it is asked again, as an API server would.
        ensure!(trusted != bundle(&client).await?, "{address} serves what is not trusted: {error:#}");
    }
}

async fn talk(address: std::net::SocketAddr, trusted: &[u8]) -> Result<()> {
    let mut config = kube::Config::new(format!("https://{address}").parse()?);
    let roots: Vec<_> = CertificateDer::pem_slice_iter(trusted).collect::<Result<_, _>>()?;
    config.root_cert = Some(roots.into_iter().map(|root| root.to_vec()).collect());
    config.default_retry = false;
    let request = http::Request::get("/").body(Body::empty())?;
    Client::try_from(config)?.send(request).await?;
    Ok(())
}

/// Neither controllers nor admissions have asked for another Secret, or for all.
fn only_its_own_secret(world: &World) -> Result<()> {
    let asked: BTreeSet<String> = world
        .audited()?
        .iter()
        .filter(|line| ["controller", SECOND].iter().any(|user| line["user"]["username"] == *user))
        .filter(|line| line["objectRef"]["resource"] == "secrets" && line["objectRef"]["name"] != SECRET)
        // A create has no name yet, nor has a list: that is by a field.
        .filter(|line| {
            let uri = line["requestURI"].as_str().unwrap_or_default();
            line["verb"] != "create" && !uri.contains(&format!("fieldSelector=metadata.name%3D{SECRET}"))
        })
        .map(|line| format!("{} {}", line["verb"], line["requestURI"]))
        .collect();
    ensure!(asked.is_empty(), "{asked:?}");
    Ok(())
}
