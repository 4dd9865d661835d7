//! What kubectl shows: tables, explanations, selections.

use anyhow::{Context, Result, ensure};
use crds::HostPortPhase;

use crate::support::World;

#[tokio::test]
async fn the_tables_say_what_an_administrator_asks() -> Result<()> {
    let world = World::new("tables").await?;
    let class = world.class(2).await?;
    let one = world.bind("one", &class).await?;
    world.bind("two", &class).await?;
    world.claim("three", &class).await?;
    world.says("three", "PoolExhausted").await?;

    let header = |table: &str| {
        table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let row = |table: &str, name: &str| -> Result<Vec<String>> {
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
        let row = row.with_context(|| format!("no row {name} in\n{table}"))?;
        Ok(row.split_whitespace().map(str::to_owned).collect())
    };

    let claims = world.kubectl(&["get", "hpc"]).await?;
    ensure!(header(&claims) == "NAME STATUS PORTS CLASS REASON AGE", "{claims}");
    let number = one.to_string();
    ensure!(row(&claims, "one")?[..5] == ["one", "Bound", &number, &class.name, "Bound"], "{claims}");
    ensure!(row(&claims, "three")?[1..4] == ["Pending", &*class.name, "PoolExhausted"], "{claims}");
    let wide = world.kubectl(&["get", "hpc", "-o", "wide"]).await?;
    ensure!(header(&wide) == "NAME STATUS PORTS CLASS REASON AGE WANTED COUNT MESSAGE", "{wide}");
    ensure!(wide.contains("No free port in class"), "{wide}");

    let ports = world.kubectl(&["get", "hp"]).await?;
    ensure!(
        header(&ports) == "NAME PHASE CLASS CLAIM-NAMESPACE CLAIM RECLAIM RELEASED HELD-BY AGE",
        "{ports}"
    );
    ensure!(
        row(&ports, &number)?[..6] == [&number, "Bound", &class.name, world.ns(), "one", "Delete"],
        "{ports}"
    );

    let pools = format!("{}-{}", class.first, class.last);
    world
        .until("the counts of the class", || async {
            let classes = world.kubectl(&["get", "hpcl", &class.name]).await?;
            let expected = [&class.name, &pools, "Cluster", "0", "2", "0", "0", "1", "True", "Ready"];
            ensure!(row(&classes, &class.name)?[..10] == expected, "{classes}");
            ensure!(
                header(&classes) == "NAME POOLS SCOPE FREE BOUND RELEASED FOREIGN WAITING READY REASON AGE",
                "{classes}"
            );
            Ok(())
        })
        .await?;
    let wide = world.kubectl(&["get", "hpclass", &class.name, "-o", "wide"]).await?;
    ensure!(
        header(&wide)
            .ends_with("AGE RESERVED STRATEGY RECLAIM REUSE-DELAY MAX-PER-NS STATIC-BAND DEFAULT MESSAGE"),
        "{wide}"
    );
    ensure!(wide.contains("Hands out ports"), "{wide}");
    Ok(())
}

#[tokio::test]
async fn the_category_lists_all_three_kinds() -> Result<()> {
    let world = World::new("category").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;

    let listed = world.kubectl(&["get", "hostport"]).await?;

    for name in [
        format!("hostportclass.hostport.io/{}", class.name),
        "hostportclaim.hostport.io/web".to_owned(),
        format!("hostport.hostport.io/{port}"),
    ] {
        ensure!(listed.contains(&name), "{name} is not in\n{listed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_class_and_a_claim_are_found_by_what_they_say() -> Result<()> {
    let world = World::new("fields").await?;
    let class = world.class(1).await?;
    let port = world.bind("bound", &class).await?.to_string();
    world.claim("waits", &class).await?;
    world.says("waits", "PoolExhausted").await?;
    let names = async |args: &[&str]| -> Result<Vec<String>> {
        let found = world.kubectl(&[&["get", "-o", "name"], args].concat()).await?;
        Ok(found.lines().filter_map(|line| Some(line.split_once('/')?.1.to_owned())).collect())
    };

    let pending = names(&["hpc", "--field-selector", "status.phase=Pending"]).await?;
    ensure!(pending == ["waits"], "{pending:?}");
    let of_class =
        names(&["hpc", "--field-selector", &format!("spec.hostPortClassName={}", class.name)]).await?;
    ensure!(of_class == ["bound", "waits"], "{of_class:?}");
    let none = names(&["hpc", "--field-selector", "spec.hostPortClassName=other"]).await?;
    ensure!(none.is_empty(), "{none:?}");

    let bound = names(&["hp", "--field-selector", "spec.phase=Bound"]).await?;
    ensure!(bound.contains(&port), "{bound:?}");
    let released = names(&["hp", "--field-selector", "spec.phase=Released"]).await?;
    ensure!(!released.contains(&port), "{released:?}");
    for selector in [format!("spec.class={}", class.name), format!("spec.claimRef.namespace={}", world.ns())]
    {
        let found = names(&["hp", "--field-selector", &selector]).await?;
        ensure!(found == [port.clone()], "{selector}: {found:?}");
    }
    for selector in
        [format!("hostport.io/class={}", class.name), format!("hostport.io/claim-namespace={}", world.ns())]
    {
        let found = names(&["hp", "-l", &selector]).await?;
        ensure!(found == [port.clone()], "{selector}: {found:?}");
    }
    world.hostport_in(port.parse()?, HostPortPhase::Bound).await?;
    Ok(())
}

#[tokio::test]
async fn every_field_explains_itself() -> Result<()> {
    let world = World::new("explain").await?;

    for (field, words) in [
        ("hpc.spec.port", "very port number that is wanted"),
        ("hpc.spec.hostPortClassName", "default class"),
        ("hpc.status.phase", "Pending, Bound or Lost"),
        ("hp", "one port number of the cluster"),
        ("hp.spec.heldBy", "Why a Released port was not given back"),
        ("hp.spec.claimRef.uid", "UID of the claim"),
        ("hpc.spec.count", "consecutive numbers"),
        ("hpcl.spec.scope", "once for each node"),
        ("hpcl.spec.maxNodes", "where autoscalers see it"),
        ("hp.spec.slot", "Which slot of the number"),
        ("hpc.status.hostPortName", "Name of the HostPort"),
        ("hpcl.status.staticBand", "lowest numbers of the class"),
        ("hpcl", "pool of ports"),
        ("hpcl.spec.reuseDelay", "How long a freed port rests"),
        ("hpclass.spec.pools.end", "Last port number of the range"),
        ("hpclass.status.free", "can hand out at this moment"),
    ] {
        let text = world.kubectl(&["explain", field]).await?.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(text.contains(words) && !text.contains("<empty>"), "explain {field}: {text}");
    }
    Ok(())
}
