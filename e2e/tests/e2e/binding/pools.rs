//! Pools that grow, shrink and overlap, and numbers in them that others use.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::json;

use crate::support::{Class, World, create, pod_with, pool, range};

#[tokio::test]
async fn growth_binds_those_who_wait_and_shrinking_takes_nothing_away() -> Result<()> {
    let world = World::new("growth").await?;
    let class = world.class(4).await?;
    let (first, last) = (class.first, class.last);
    world.set_pools(&class, &[(first, first)]).await?;
    world.claim("one", &class).await?;
    world.bound("one").await?;
    world.claim("two", &class).await?;
    world.says("two", "PoolExhausted").await?;

    world.set_pools(&class, &[(first, first), (last, last)]).await?;
    ensure!(world.bound("two").await? == last);

    world.set_pools(&class, &[(first + 1, first + 1)]).await?;
    world.until("the class to be seen", || async { seen(&world, &class).await }).await?;
    for (name, port) in [("one", first), ("two", last)] {
        ensure!(world.bound(name).await? == port, "{name} keeps its number");
        ensure!(world.hostport(port).await?.is_some());
    }
    ensure!(world.bind("three", &class).await? == first + 1);

    // What is given back outside the pools is not handed out again.
    world.delete_claim("one").await?;
    world.hostport_is_gone(first).await?;
    world.claim("four", &class).await?;
    world.says("four", "PoolExhausted").await?;
    Ok(())
}

async fn seen(world: &World, class: &Class) -> Result<()> {
    let class = world.get_class(class).await?;
    let seen = class.status.as_ref().map(|status| status.observed_generation);
    ensure!(
        seen == class.metadata.generation,
        "generation {:?}, observed {seen:?}",
        class.metadata.generation
    );
    Ok(())
}

#[tokio::test]
async fn numbers_in_two_classes_belong_to_the_older_one_and_the_rest_is_granted() -> Result<()> {
    let world = World::new("overlap").await?;
    let start = range(6);
    let one = world.class_with(0, |spec| spec.pools = vec![pool(start, start + 3)]).await?;
    let two = world.class_with(0, |spec| spec.pools = vec![pool(start + 2, start + 5)]).await?;
    // Both may be of the same second: then the name decides.
    let mut classes = Vec::new();
    for class in [one, two] {
        let stored = world.get_class(&class).await?;
        classes.push((stored.creation_timestamp().context("it is stored")?.0, class.name.clone(), class));
    }
    classes.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let [(.., older), (.., younger)] = &classes[..] else { anyhow::bail!("two classes") };

    world.counts(older, [0, 0, 0, 4, 0]).await?;
    world.counts(younger, [0, 0, 0, 2, 0]).await?;
    let conditions = world.get_class(younger).await?.status.unwrap_or_default().conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("it is ready")?;
    ensure!((ready.status.as_str(), ready.reason.as_str()) == ("True", "PoolConflict"), "{ready:?}");
    ensure!(ready.message.contains(&format!("the older class \"{}\"", older.name)), "{ready:?}");

    for number in 0..2 {
        let port = world.bind(&format!("younger-{number}"), younger).await?;
        ensure!(!(start + 2..=start + 3).contains(&port), "{port} belongs to the older class");
    }
    world.claim("younger-2", younger).await?;
    world.says("younger-2", "PoolExhausted").await?;
    world.claim_port("wants", younger, start + 2).await?;
    let message = world.says("wants", "PortOutsidePools").await?;
    ensure!(message.contains(&format!("belongs to the older class \"{}\"", older.name)), "{message}");
    for number in 0..4 {
        world.bind(&format!("older-{number}"), older).await?;
    }
    Ok(())
}

#[tokio::test]
async fn numbers_that_pods_without_a_claim_carry_are_skipped_and_counted() -> Result<()> {
    let world = World::new("foreign").await?;
    let class = world.class(2).await?;
    let raw = json!([{"containerPort": 80, "hostPort": class.first}]);
    world.create_pod(pod_with("raw", json!({}), raw)).await?;
    world.counts(&class, [0, 0, 1, 1, 0]).await?;

    ensure!(world.bind("one", &class).await? == class.last);
    world.claim("two", &class).await?;
    world.says("two", "PoolExhausted").await?;
    world.counts(&class, [1, 0, 1, 0, 1]).await?;

    world.delete_pod("raw").await?;
    ensure!(world.bound("two").await? == class.first, "it binds by itself when the pod is gone");
    world.counts(&class, [2, 0, 0, 0, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn numbers_that_services_use_are_skipped_and_counted() -> Result<()> {
    let world = World::new("nodeport").await?;
    // The API server's range for NodePorts is 30000-32767: no other test is here.
    let class = world.class_with(0, |spec| spec.pools = vec![pool(30100, 30102)]).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb"},
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30101,
            "selector": {"app": "x"}, "ports": [{"port": 80, "nodePort": 30100}],
        },
    });
    create::<Service>(&world.api(), service).await?;
    world.counts(&class, [0, 0, 2, 1, 0]).await?;

    ensure!(world.bind("web", &class).await? == 30102);

    let conditions = world.get_class(&class).await?.status.unwrap_or_default().conditions;
    let risky = conditions.iter().find(|condition| condition.type_ == "RiskyRange").context("it warns")?;
    ensure!(risky.status == "True" && risky.message.contains("30000-32767"), "{risky:?}");
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("it is ready")?;
    ensure!((ready.status.as_str(), ready.reason.as_str()) == ("True", "RiskyRange"), "{ready:?}");
    Ok(())
}

#[tokio::test]
async fn a_class_of_which_every_number_is_left_out_says_so_until_it_has_one() -> Result<()> {
    let world = World::new("empty").await?;
    let class = world.class_with(0, |spec| spec.pools = vec![pool(10248, 10250)]).await?;
    world.claim("web", &class).await?;
    let message = world.says("web", "PoolExhausted").await?;
    ensure!(message.contains("(10248-10250) hands out nothing"), "{message}");

    let conditions = world.get_class(&class).await?.status.unwrap_or_default().conditions;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready").context("it has a condition")?;
    ensure!((ready.status.as_str(), ready.reason.as_str()) == ("False", "PoolEmpty"), "{ready:?}");

    let start = range(1);
    world.set_pools(&class, &[(10248, 10250), (start, start)]).await?;
    ensure!(world.bound("web").await? == start);
    Ok(())
}

#[tokio::test]
async fn random_grants_any_number_of_the_class_and_every_one_in_the_end() -> Result<()> {
    let world = World::new("random").await?;
    let class = world.class_with(12, |spec| spec.strategy = crds::Strategy::Random).await?;

    let mut given = Vec::new();
    for number in 0..12 {
        given.push(world.bind(&format!("claim-{number}"), &class).await?);
    }

    let mut sorted = given.clone();
    sorted.sort_unstable();
    ensure!(sorted.iter().copied().eq(class.first..=class.last), "{given:?}");
    ensure!(given != sorted, "12 numbers in order by chance: once in 479,001,600 runs");
    Ok(())
}
