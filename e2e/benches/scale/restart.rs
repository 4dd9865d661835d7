//! A controller is killed and started again; when it is ready, and when the first claim is Bound.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use e2e::{eventually, operator::Operator};
use jiff::Timestamp;
use kube::Client;

use crate::Side;
use crate::load::Writes;
use crate::usage::mib_of;

pub(crate) struct Restarted {
    /// From the start of the process until `/readyz` answers 200.
    pub(crate) ready: Duration,
    /// Until a claim is Bound that was made while no controller ran.
    pub(crate) bound: Duration,
    pub(crate) peak_mib: f64,
}

pub(crate) async fn measure(side: &mut Side) -> Result<Restarted> {
    settled(&side.load.client).await?;
    // It is dropped, which kills.
    let next = async || {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let operator = Operator::start(&side.cluster, &["controller"], &[]).await?;
        // To the hundredth, which the poll of /readyz is not: both are set at once.
        let ready = said_ready(&operator)?.duration_since(wall)?;
        anyhow::Ok((start, ready, operator))
    };
    kill(&side.controller)?;
    let (bind, (start, ready, operator)) =
        tokio::try_join!(async { side.load.bind(side.made, 1).await.map(|_| Instant::now()) }, next())?;
    side.made += 1;
    side.controller = operator;
    let restarted = Restarted {
        ready,
        bound: bind.duration_since(start),
        peak_mib: mib_of(side.controller.pid(), "VmHWM")?,
    };
    Ok(restarted)
}

/// Waits until the API server has counted no write of our kinds for a while.
pub(crate) async fn settled(client: &Client) -> Result<()> {
    const REST: Duration = Duration::from_secs(5);
    eventually(Duration::from_secs(300), "writes to end", || async {
        let before = Writes::read(client).await?;
        tokio::time::sleep(REST).await;
        let writes = Writes::read(client).await?.since(&before).all();
        anyhow::ensure!(writes == 0.0, "{writes} writes in {REST:?}");
        Ok(())
    })
    .await
}

/// -9, and it has ended.
fn kill(operator: &Operator) -> Result<()> {
    operator.crash();
    anyhow::ensure!(operator.exited().is_some(), "the controller does not end");
    Ok(())
}

/// The time of the line of its log that says "ready".
fn said_ready(operator: &Operator) -> Result<SystemTime> {
    let log = fs::read_to_string(operator.log())?;
    let line = log.lines().find(|line| line.contains("\"ready\"")).context("no line says \"ready\"")?;
    let line: serde_json::Value = serde_json::from_str(line)?;
    let time: Timestamp = line["timestamp"].as_str().context("a line without time")?.parse()?;
    Ok(time.into())
}
