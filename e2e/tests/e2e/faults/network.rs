//! A bad way between the controller and the API server, while claims come and go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::operator::Operator;
use serde_json::json;

use super::ledger::assert_ledger_is_sound;
use super::proxy::{Attempt, Call, Fate, Proxy};
use super::rules::Often::{Every, First, Percent};
use super::rules::Which::{Requests, Watches, Writes};
use super::rules::{Rule, judge, rule};
use super::storm::{Size, Storm};
use super::witness::Witness;
use super::world::{Rng, World, in_world, is_soak};

/// Each bad way has a class of so many ports; a few claims have to wait.
const PORTS: u16 = 120;
const SIZE: Size = Size { made: 256, at_most: 152, left: 96 };

const SOON: Duration = Duration::from_millis(300);
const LATER: Duration = Duration::from_millis(1_500);

/// Everything that can go wrong, one after the other. A rule of a later line counts only what earlier ones let pass.
fn ways() -> Vec<(&'static str, Vec<Rule>)> {
    let ours = "/hostport.io/";
    let mut ways = vec![
        (
            "delay",
            vec![
                rule(Writes, ours, Every(10), Fate::Late(LATER)),
                rule(Requests, "", Every(3), Fate::Late(SOON)),
            ],
        ),
        ("conflict", vec![rule(Writes, ours, Every(4), Fate::Conflict)]),
        (
            "too-many",
            vec![
                rule(Writes, ours, Every(25), Fate::TooMany(2)),
                rule(Requests, "", Every(5), Fate::TooMany(1)),
                rule(Watches, "", Every(3), Fate::TooMany(1)),
            ],
        ),
        (
            "broken",
            vec![rule(Requests, "", Every(3), Fate::Broken), rule(Watches, "", First(3), Fate::Broken)],
        ),
        (
            "reset-before",
            vec![
                rule(Requests, "", Every(3), Fate::ResetBefore),
                rule(Watches, "", First(3), Fate::ResetBefore),
            ],
        ),
        ("reset-after", vec![rule(Requests, "", Every(3), Fate::ResetAfter)]),
        ("gone", vec![rule(Watches, "", First(10), Fate::Gone(LATER))]),
    ];
    let slow = [
        ("stalled", vec![rule(Watches, ours, First(3), Fate::Stalled(SOON))]),
        ("unanswered", vec![rule(Watches, ours, First(3), Fate::Lost)]),
    ];
    match is_soak() {
        true => ways.extend(slow),
        false => {
            eprintln!("skipped: {}, which take long (just soak has them)", slow.map(|way| way.0).join(", "));
        }
    }
    ways
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_the_network_is_survived() -> Result<()> {
    in_world("network", async |world| {
        let mut rng = Rng::seeded("network faults")?;
        let witness = Witness::start(world.client()).await?;
        let mut last = None;
        for (number, (name, rules)) in ways().into_iter().enumerate() {
            drop(last.take());
            let first = 30_000 + number as u16 * 1_000;
            let survivor = survives(world, name, first, rules, &mut rng).await;
            last = Some(survivor.with_context(|| format!("under {name}"))?);
            if is_soak() {
                world.stays_quiet().await?;
            }
        }
        world.stays_quiet().await?;
        assert_ledger_is_sound(world.client()).await?;
        eprintln!("seen: {}", witness.testify().await?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_the_api_server_asks_for_is_kept_however_long() -> Result<()> {
    if !is_soak() {
        eprintln!("skipped: it takes half a minute (just soak has it)");
        return Ok(());
    }
    in_world("network-long-wait", async |world| {
        let mut rng = Rng::seeded("long wait")?;
        // Longer than a call is waited for that is not answered at all; the API server asks for 32 s at most.
        let rules = vec![rule(Writes, "/hostport.io/", First(3), Fate::TooMany(20))];
        let _survivor = survives(world, "much-later", 42_000, rules, &mut rng).await?;
        world.stays_quiet().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_of_the_network_at_once_are_survived() -> Result<()> {
    in_world("network-mixed", async |world| {
        let mut rng = Rng::seeded("mixed network faults")?;
        let witness = Witness::start(world.client()).await?;
        let requests = [
            Fate::Late(SOON),
            Fate::Late(LATER),
            Fate::Disowned,
            Fate::TooMany(1),
            Fate::Broken,
            Fate::ResetBefore,
            Fate::ResetAfter,
        ];
        let mut rules: Vec<Rule> = requests.map(|fate| rule(Requests, "", Percent(4), fate)).to_vec();
        rules.push(rule(Writes, "/hostport.io/", Percent(5), Fate::Conflict));
        for fate in [Fate::Broken, Fate::ResetBefore, Fate::TooMany(1), Fate::Gone(LATER)] {
            rules.push(rule(Watches, "", First(1), fate));
        }
        rules.push(rule(Watches, "", First(10), Fate::Gone(SOON)));
        drop(survives(world, "mixed", 40_000, rules, &mut rng).await?);
        // What happens meanwhile is seen half a minute late.
        let blind = vec![
            rule(Watches, "/hostports?", First(1), Fate::Stalled(LATER)),
            rule(Watches, "/hostportclaims?", First(1), Fate::Lost),
            rule(Requests, "", Every(10), Fate::ResetAfter),
        ];
        let _survivor = survives(world, "blind", 41_000, blind, &mut rng).await?;
        world.stays_quiet().await?;
        eprintln!("seen: {}", witness.testify().await?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_while_the_api_server_is_in_trouble_waits_for_it() -> Result<()> {
    in_world("bad-start", async |world| {
        for role in ["controller", "admission"] {
            for fate in [Fate::Broken, Fate::ResetBefore] {
                let rules = vec![rule(Requests, "", First(3), fate), rule(Requests, "", Every(3), fate)];
                let (judge, struck) = judge(rules, Rng::seeded(role)?);
                let proxy = Proxy::start(world, judge).await?;
                let operator = world.operator(role, proxy.kubeconfig()).await?;
                ensure!(
                    struck.by(1) > 0 && operator.exited().is_none(),
                    "{fate:?} hit no second call of {role}"
                );
            }
        }
        Ok(())
    })
    .await
}

/// A storm by this way; afterwards every claim has its port. The controller lives on, with its way.
async fn survives(
    world: &World,
    name: &str,
    first: u16,
    rules: Vec<Rule>,
    rng: &mut Rng,
) -> Result<(Operator, Proxy)> {
    let start = Instant::now();
    let more =
        json!({ "reuseDelay": "1s", "strategy": if rng.below(2) == 0 { "Random" } else { "Sequential" } });
    world.class(name, first, first + PORTS - 1, more).await?;
    let (judge, struck) = judge(rules.clone(), rng.fork());
    let proxy = Proxy::start(world, judge).await?;
    let controller = world.operator("controller", proxy.kubeconfig()).await?;

    let left = Storm::among(world, name, &SIZE, &[name], rng).await?.finish().await?;
    let ledger = world.settled().await?;

    let attempts = proxy.attempts();
    let hits: Vec<String> =
        rules.iter().enumerate().map(|(number, rule)| format!("{rule}: {}", struck.by(number))).collect();
    eprintln!("{name}: settled after {:.1?}, {} calls; {}", start.elapsed(), attempts.len(), hits.join(", "));
    for (number, rule) in rules.iter().enumerate() {
        ensure!(struck.by(number) > 0, "{rule} never struck: this proves nothing");
    }
    ensure!(controller.exited().is_none(), "the controller has ended");
    ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
    ensure!(ledger.claims_of(name) == left, "the claims are not those that were made and not deleted");
    came_again_in_time(&attempts)?;
    Ok((controller, proxy))
}

/// Who was told to come again later did, and not before.
fn came_again_in_time(attempts: &[Attempt]) -> Result<()> {
    let (mut told, mut again) = (0, 0);
    for (number, attempt) in attempts.iter().enumerate() {
        let (Fate::TooMany(seconds), Some(answered)) = (attempt.fate, attempt.answered) else { continue };
        told += 1;
        let same = |next: &&Attempt| next.call == attempt.call && is_of_one_decision(&next.call);
        let Some(next) = attempts[number + 1..].iter().find(same) else { continue };
        again += 1;
        let gap = next.began.duration_since(answered);
        ensure!(
            gap >= Duration::from_secs(seconds),
            "told to wait {seconds} s it came again after {gap:?}: {} {}",
            attempt.call.method,
            attempt.call.path
        );
    }
    ensure!(
        told == 0 || again > 0,
        "of {told} calls that were told to come again none did: this proves nothing"
    );
    if told > 0 {
        eprintln!("{told} calls were told to come again later; {again} did, none too early");
    }
    Ok(())
}

/// Equal calls of different decisions may come at any time: lists and watches.
fn is_of_one_decision(call: &Call) -> bool {
    call.is_write()
}
