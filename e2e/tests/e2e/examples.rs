//! The files of `examples/`, applied as they are: each does what its comments say.

use anyhow::{Context, Result, ensure};
use crds::{HostPortClaim, HostPortPhase};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;

use crate::support::{World, alone_with_default_classes, annotation, example, host_ports, variable};

impl World {
    /// `kubectl apply -f examples/FILE` in this namespace, in this order.
    async fn apply_examples(&self, files: &[&str]) -> Result<()> {
        for file in files {
            self.kubectl(&["apply", "-f", &example(file)]).await?;
        }
        Ok(())
    }

    async fn stored(&self, pod: &str) -> Result<(Pod, Value)> {
        let pod = self.api::<Pod>().get(pod).await?;
        let value = serde_json::to_value(&pod)?;
        Ok((pod, value))
    }
}

#[tokio::test]
async fn the_quickstart_brings_a_claimed_port_into_a_pod() -> Result<()> {
    let world = World::new("quickstart").await?;

    world.apply_examples(&["quickstart/class.yaml", "quickstart/claim.yaml"]).await?;
    let port = world.bound("echo-web").await?;
    world.apply_examples(&["quickstart/pod.yaml", "quickstart/deployment.yaml"]).await?;

    ensure!((9000..=9500).contains(&port), "{port}");
    let grant = world.hostport_in(port, HostPortPhase::Bound).await?;
    let holder = grant.spec.claim_ref.context("it has a holder")?;
    ensure!((holder.namespace.as_str(), holder.name.as_str()) == (world.ns(), "echo-web"), "{holder:?}");
    let table = world.kubectl(&["get", "hostports"]).await?;
    let row = table.lines().find(|line| line.starts_with(&port.to_string())).context("it is listed")?;
    ensure!(row.contains("Bound") && row.contains(world.ns()), "{row}");

    let number = port.to_string();
    let (echo, stored) = world.stored("echo").await?;
    ensure!(host_ports(&echo) == [i32::from(port)], "{:?}", host_ports(&echo));
    ensure!(annotation(&echo, "port.hostport.io/web") == Some(number.as_str()));
    ensure!(variable(&echo, "HOSTPORT_WEB") == Some(number));
    // The seed's example: the downward API reads the annotation.
    let mine = &stored["spec"]["containers"][0]["env"][1];
    ensure!(mine["name"] == "MY_HOST_PORT", "{mine}");
    ensure!(
        mine["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['port.hostport.io/web']",
        "{mine}"
    );

    let deployed = world.bound("echo-deployed").await?;
    let pods = world.pods("echo", 1).await?;
    ensure!(deployed != port && host_ports(&pods[0]) == [i32::from(deployed)], "{:?}", host_ports(&pods[0]));
    Ok(())
}

#[tokio::test]
async fn several_ports_in_one_pod_are_a_claim_each() -> Result<()> {
    let world = World::new("several").await?;

    // The folder as a whole: the bare pod comes right behind its class and its claims.
    world.apply_examples(&["several-ports"]).await?;
    let [game, query, rcon] = [
        world.bound("arena-game").await?,
        world.bound("arena-query").await?,
        world.bound("arena-rcon").await?,
    ];

    ensure!(rcon == 7099 && game != query, "{game} {query} {rcon}");
    let (_, stored) = world.stored("arena").await?;
    let ports = stored["spec"]["containers"][0]["ports"].as_array().cloned().unwrap_or_default();
    let has = |host: u16, container: u16, protocol: &str| {
        let one = |port: &&Value| {
            port["hostPort"] == host && port["containerPort"] == container && port["protocol"] == protocol
        };
        ports.iter().filter(one).count() == 1
    };
    ensure!(has(game, game, "UDP"), "Passthrough: {ports:?}");
    ensure!(has(query, 27015, "TCP") && has(query, 27015, "UDP"), "TCPUDP: {ports:?}");
    ensure!(has(rcon, 27020, "TCP") && ports.len() == 4, "{ports:?}");
    let env = stored["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = env.iter().filter_map(|variable| variable["name"].as_str()).collect();
    ensure!(names.last() == Some(&"ADVERTISED_PORTS") && names.len() == 4, "ours stand first: {names:?}");
    Ok(())
}

#[tokio::test]
async fn the_downward_api_tells_the_number_in_every_way() -> Result<()> {
    let world = World::new("downward").await?;

    world.apply_examples(&["quickstart/class.yaml", "downward-api/claim.yaml"]).await?;
    let port = world.bound("relay").await?.to_string();
    world.apply_examples(&["downward-api/server.yaml", "downward-api/companion.yaml"]).await?;

    let (relay, _) = world.stored("relay").await?;
    ensure!(annotation(&relay, "port.hostport.io/relay") == Some(port.as_str()));
    ensure!(variable(&relay, "HOSTPORT_RELAY") == Some(port.clone()));
    let (monitor, _) = world.stored("relay-monitor").await?;
    ensure!(host_ports(&monitor).is_empty(), "a ref takes no port");
    ensure!(variable(&monitor, "HOSTPORT_RELAY") == Some(port));
    Ok(())
}

#[tokio::test]
async fn the_managed_namespace_refuses_its_pod_with_a_sentence() -> Result<()> {
    let world = World::new("managed").await?;
    world.kubectl_here(&["apply", "-f", &example("managed-namespace/namespace.yaml")]).await?;

    let said = world
        .until("the pod to be refused by us", || async {
            let refused = world.kubectl_here(&["apply", "-f", &example("managed-namespace/pod.yaml")]).await;
            let said = format!("{:#}", refused.err().context("it was stored")?);
            ensure!(said.contains("hostport"), "{said}");
            Ok(said)
        })
        .await?;

    let words = "pod \"proxy\" refused: namespace \"hostport-managed\" is managed by hostport and no claim of it holds \
                 port 8443 (container \"proxy\", port \"https\"). Claim it: annotation claim.hostport.io/https.";
    ensure!(said.contains(words), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_third_claim_for_two_ports_waits_until_one_is_free() -> Result<()> {
    let world = World::new("tiny").await?;

    world.apply_examples(&["pool-exhausted/class.yaml", "pool-exhausted/claims.yaml"]).await?;
    let names = ["first", "second", "third"];
    let waiting = world
        .until("two to be Bound and one to wait", || async {
            let mut reasons = Vec::new();
            for name in names {
                reasons.push(world.get_claim(name).await?.ready_reason().unwrap_or_default().to_owned());
            }
            let bound = reasons.iter().filter(|reason| *reason == "Bound").count();
            let waits = reasons.iter().position(|reason| reason == "PoolExhausted");
            waits.filter(|_| bound == 2).with_context(|| format!("{reasons:?}"))
        })
        .await?;

    world.kubectl(&["delete", "hpc", names[(waiting + 1) % 3]]).await?;

    world.bound(names[waiting]).await?;
    Ok(())
}

#[tokio::test]
async fn an_instance_of_the_sip_server_has_its_number_and_a_hundred_more() -> Result<()> {
    let world = World::new("sip").await?;
    world.apply_examples(&["sip-statefulset/class.yaml", "sip-statefulset/claims.yaml"]).await?;
    for (name, first) in [("sip-0", 5060), ("sip-1", 5062)] {
        ensure!(world.bound(name).await? == first, "{name}");
    }
    let rtp = [world.bound("rtp-0").await?, world.bound("rtp-1").await?];
    // They may be bound in either order.
    ensure!(rtp == [10400, 10500] || rtp == [10500, 10400], "{rtp:?}");
    world.apply_examples(&["sip-statefulset/statefulsets.yaml"]).await?;

    for pod in world.pods("sbc", 2).await? {
        let instance = pod.metadata.labels.clone().unwrap_or_default().remove("apps.kubernetes.io/pod-index");
        let instance: usize = instance.context("its label")?.parse()?;
        let mut ports = host_ports(&pod);
        ports.sort_unstable();
        let sip = [5060, 5062][instance];
        let media = i32::from(rtp[instance])..i32::from(rtp[instance]) + 100;
        ensure!(ports.iter().copied().eq([sip, sip].into_iter().chain(media)), "{instance}: {ports:?}");
        ensure!(variable(&pod, "HOSTPORT_RTP_LAST") == Some((rtp[instance] + 99).to_string()));
    }
    Ok(())
}

#[tokio::test]
async fn a_block_is_used_as_a_whole_and_by_index() -> Result<()> {
    let world = World::new("blocks").await?;
    world.apply_examples(&["blocks"]).await?;
    let first = world.bound("conference").await?;

    let (mixer, _) = world.stored("mixer").await?;
    ensure!(host_ports(&mixer).len() == 8, "{:?}", host_ports(&mixer));
    ensure!(variable(&mixer, "HOSTPORT_MEDIA_LAST") == Some((first + 7).to_string()));
    let (recorder, _) = world.stored("recorder").await?;
    ensure!(host_ports(&recorder) == [i32::from(first + 7)], "{:?}", host_ports(&recorder));
    Ok(())
}

#[tokio::test]
async fn the_third_claim_is_beyond_the_quota_until_another_is_deleted() -> Result<()> {
    let _alone = alone_with_default_classes().await;
    let world = World::new("quotas").await?;
    world.kubectl_here(&["apply", "-f", &example("quotas")]).await?;
    let claims = Api::<HostPortClaim>::namespaced(world.client(), "hostport-red-dev");
    let reason_of = async |reason: &str| {
        let all = claims.list(&ListParams::default()).await?.items;
        let of = |claim: &&HostPortClaim| claim.ready_reason() == Some(reason);
        anyhow::Ok(all.iter().filter(of).map(ResourceExt::name_any).collect::<Vec<_>>())
    };
    let beyond = world
        .until("two to be Bound and one to be beyond the quota", || async {
            let (bound, beyond) = (reason_of("Bound").await?, reason_of("QuotaExceeded").await?);
            ensure!((bound.len(), beyond.len()) == (2, 1), "{bound:?} {beyond:?}");
            Ok(beyond)
        })
        .await?;
    let bound = reason_of("Bound").await?;

    world.kubectl_here(&["delete", "hpc", "-n", "hostport-red-dev", &bound[0]]).await?;

    let rest = || async {
        let bound = reason_of("Bound").await?;
        ensure!(bound.contains(&beyond[0]), "{bound:?}");
        Ok(())
    };
    world.until("the third to be Bound", rest).await?;
    world.kubectl_here(&["delete", "hpclass", "team-red"]).await?;
    Ok(())
}

#[tokio::test]
async fn prepared_hostports_are_for_the_claims_that_they_were_prepared_for() -> Result<()> {
    let world = World::new("prebound").await?;
    world.kubectl_here(&["apply", "-f", &example("prebound")]).await?;

    let claims = Api::<HostPortClaim>::namespaced(world.client(), "hostport-prebound");
    for (name, port) in [("broker", 8883), ("exact", 9855)] {
        world
            .until(&format!("{name} to be Bound"), || async {
                let claim = claims.get(name).await?;
                let bound = claim.status.as_ref().and_then(|status| status.port);
                ensure!(bound.is_some_and(|it| it.get() == port), "{:?}", claim.ready_message());
                Ok(())
            })
            .await?;
    }
    // What git has of them stays as it is (I6): a second apply finds nothing to do but what is ours.
    let hostport = world.hostport(8883).await?.context("it stands")?;
    ensure!(hostport.spec.phase == HostPortPhase::Bound, "{:?}", hostport.spec);
    let again = world.kubectl_here(&["apply", "-f", &example("prebound/2-hostports.yaml")]).await;
    ensure!(again.is_ok(), "{again:?}");
    let after = world.hostport(8883).await?.context("it stands")?;
    ensure!(after.spec == hostport.spec, "{:?}", after.spec);
    Ok(())
}

#[tokio::test]
async fn servers_of_a_class_of_scope_node_have_a_slot_each() -> Result<()> {
    let world = World::new("pernode").await?;

    world.apply_examples(&["node-scope/class.yaml", "node-scope/servers.yaml"]).await?;

    let mut slots = Vec::new();
    for name in ["arena-red", "arena-blue"] {
        let port = world.bound(name).await?;
        let status = world.get_claim(name).await?.status.context("it is Bound")?;
        slots.push(status.host_port_name.context("it names its HostPort")?);
        let pods = world.pods(name, 1).await?;
        ensure!(host_ports(&pods[0]) == [i32::from(port)], "{:?}", host_ports(&pods[0]));
    }
    slots.sort_unstable();
    ensure!(slots == ["9870-0", "9871-0"], "{slots:?}");
    Ok(())
}

#[tokio::test]
async fn a_fleet_has_claims_by_place_and_claims_by_pod() -> Result<()> {
    let world = World::new("fleet").await?;
    world.apply_examples(&["fleets/class.yaml", "fleets/statefulset.yaml", "fleets/deployment.yaml"]).await?;

    for pod in world.pods("relay", 3).await? {
        let claim = pod.name_any(); // relay-0 of the set has claim relay-0
        let port = world.bound(&claim).await?;
        ensure!(host_ports(&pod) == [i32::from(port)], "{claim}: {:?}", host_ports(&pod));
    }
    for pod in world.pods("arena", 4).await? {
        let claim = annotation(&pod, "own.hostport.io/game").context("it is told its claim")?;
        ensure!(host_ports(&pod) == [i32::from(world.bound(claim).await?)], "{:?}", host_ports(&pod));
        let value = serde_json::to_value(&pod)?;
        let port = &value["spec"]["containers"][0]["ports"][0];
        ensure!(port["containerPort"] == port["hostPort"], "Passthrough: {port}");
    }
    Ok(())
}
