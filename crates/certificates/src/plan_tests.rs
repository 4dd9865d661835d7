//! The plan played through years of renewals, with crashes and delays: what is served is always trusted.

use proptest::prelude::*;

use super::*;
use crate::stored::Trusted;

const DAY: Duration = Duration::from_secs(86_400);
const LIFETIMES: Lifetimes =
    Lifetimes { ca: Duration::from_secs(365 * 86_400), certificate: Duration::from_secs(90 * 86_400) };

fn start() -> Timestamp {
    "2026-11-26T02:00:00Z".parse().unwrap()
}

fn hosts() -> BTreeSet<String> {
    BTreeSet::from(["hostport-admission.hostport-system.svc".to_owned()])
}

/// One Secret, one API server, and processes that come and go.
struct Play {
    now: Timestamp,
    lifetimes: Lifetimes,
    hosts: BTreeSet<String>,
    stored: Stored,
    /// What the webhook configurations say.
    told: Vec<Trusted>,
    /// Since when the process that leads has seen the bundle in them.
    seen: Option<Timestamp>,
    steps: Vec<Step>,
}

impl Play {
    fn new(lifetimes: Lifetimes) -> Self {
        let (stored, told, seen, steps) = (Stored::default(), Vec::new(), None, Vec::new());
        Self { now: start(), lifetimes, hosts: hosts(), stored, told, seen, steps }
    }

    fn next(&mut self) -> Step {
        if self.told != self.stored.trusted || self.told.is_empty() {
            self.seen = None;
        } else if self.seen.is_none() {
            self.seen = Some(self.now);
        }
        let told_for = self.seen.map(|since| Duration::try_from(self.now.duration_since(since)).unwrap());
        next(&self.stored, &self.hosts, told_for, self.now, self.lifetimes)
    }

    /// One step; then it is time for the next.
    fn step(&mut self) -> Step {
        let step = self.next();
        let before = self.stored.serving.clone();
        match step {
            Step::Inject => self.told = self.stored.trusted.clone(),
            Step::Rest(until) => {
                assert!(until > self.now, "no progress at {}", self.now);
                self.now = until;
            }
            step => {
                let stored = self.stored.clone().after(step, &self.hosts, self.now, self.lifetimes).unwrap();
                assert_ne!(stored, self.stored, "{step:?} changed nothing");
                self.stored = stored;
            }
        }
        if self.stored.serving != before {
            self.what_is_served_is_trusted();
        }
        self.steps.push(step);
        step
    }

    /// Every API server that has heard what it was told accepts what admission serves.
    fn what_is_served_is_trusted(&self) {
        let Some(serving) = &self.stored.serving else { return };
        let mut trusted = self.told.iter().filter(|ca| ca.ends > self.now);
        assert!(trusted.any(|ca| ca.name == serving.by), "at {}, after {:?}", self.now, self.steps);
    }

    /// As time passes, until this is the next step.
    fn come_to(&mut self, wanted: Step) {
        while self.next() != wanted {
            self.step();
        }
    }

    fn until_it_rests(&mut self) -> Vec<Step> {
        let begun = self.steps.len();
        while !matches!(self.next(), Step::Rest(_)) {
            self.step();
        }
        self.steps[begun..].to_vec()
    }
}

#[test]
fn the_first_certificate_is_made_when_the_api_server_has_been_told() {
    let mut play = Play::new(LIFETIMES);

    assert_eq!(play.until_it_rests(), [Step::Begin, Step::Inject, Step::Issue]);

    let renewal = start() + 60 * DAY;
    assert_eq!(play.next(), Step::Rest(renewal));
}

#[test]
fn what_was_made_while_the_clock_was_far_ahead_is_made_anew() {
    let mut play = Play::new(LIFETIMES);
    play.now = start() + 30 * DAY;
    play.until_it_rests();

    (play.now, play.seen) = (start(), None);

    assert_eq!(play.until_it_rests(), [Step::Begin, Step::Inject, Step::Issue]);
    assert!(play.stored.serving.as_ref().unwrap().term.made <= start());
}

#[test]
fn nothing_is_done_before_two_thirds_are_over_and_then_at_once() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();
    let first = play.stored.serving.clone();

    play.now = start() + 60 * DAY;

    assert_eq!(play.until_it_rests(), [Step::Issue]);
    assert_ne!(play.stored.serving, first);
    assert_eq!(play.stored.serving.as_ref().unwrap().by, play.stored.signing.as_ref().unwrap().name);
}

#[test]
fn a_new_ca_is_told_of_before_it_signs_and_the_old_one_stays_until_it_has_ended() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();
    let old = play.stored.trusted.clone();
    play.come_to(Step::Prepare);

    assert_eq!(play.now, play.stored.signing.as_ref().unwrap().term.renewal());
    assert_eq!(play.until_it_rests(), [Step::Prepare, Step::Inject]);
    assert_eq!(play.told.len(), 2, "both are trusted before either is dropped");
    let told = play.now;
    assert!(matches!(play.step(), Step::Rest(_)), "API servers get time to hear of it");
    assert_eq!(play.step(), Step::Switch);
    assert_eq!(play.now.duration_since(told), LIFETIMES.settling().try_into().unwrap());

    play.until_it_rests();
    assert!(play.stored.trusted.contains(&old[0]), "who still serves by the old one is trusted");
    play.come_to(Step::Tidy);
    assert_eq!(play.now, old[0].ends);
    play.until_it_rests();
    assert!(!play.told.contains(&old[0]));
}

#[test]
fn other_names_are_another_certificate() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();

    play.hosts.insert("127.0.0.1".to_owned());
    play.seen = Some(play.now - DAY);

    assert_eq!(play.until_it_rests(), [Step::Issue]);
    assert_eq!(play.stored.serving.as_ref().unwrap().hosts, play.hosts);
}

#[test]
fn a_secret_that_was_spoilt_is_made_anew_and_what_is_trusted_stays() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();
    let old = play.stored.trusted.clone();

    play.stored.signing = None;
    let steps = play.until_it_rests();

    assert_eq!(steps[..2], [Step::Begin, Step::Inject]);
    assert!(play.told.contains(&old[0]), "it is served until the new one is");
}

#[test]
fn who_leads_anew_waits_until_it_has_seen_itself_what_was_told() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();
    play.come_to(Step::Prepare);
    play.until_it_rests();

    play.seen = None;

    assert!(matches!(play.next(), Step::Rest(until) if until == play.now + LIFETIMES.settling()));
}

#[test]
fn what_is_stored_reads_as_it_was_written() {
    let mut play = Play::new(LIFETIMES);
    play.until_it_rests();
    play.come_to(Step::Prepare);
    play.until_it_rests();

    let data = play.stored.data().unwrap();

    assert_eq!(Stored::read(&data), play.stored);
    assert!(play.stored.is_written_in(Some(&data)).unwrap());
    let changed =
        data.iter().filter(|(key, _)| *key != "ca.crt").map(|(key, bytes)| (key.clone(), bytes.clone()));
    assert!(!play.stored.is_written_in(Some(&changed.collect())).unwrap(), "ca.crt is missing");
    let more = data
        .iter()
        .map(|(key, bytes)| (key.clone(), bytes.clone()))
        .chain([("note".to_owned(), Default::default())]);
    assert!(play.stored.is_written_in(Some(&more.collect())).unwrap(), "what others add is theirs");
    assert!(play.stored.next.is_some() && play.stored.trusted.len() == 2);
    let text = |key: &str| std::str::from_utf8(&data[key].0).unwrap().to_owned();
    assert_eq!(text("ca.crt").matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(text("tls.crt").matches("BEGIN CERTIFICATE").count(), 1);
    assert_eq!(text("tls.key").matches("BEGIN PRIVATE KEY").count(), 1);
}

#[test]
fn a_secret_without_a_certificate_yet_has_the_keys_that_its_type_demands() {
    let data = Stored::default().data().unwrap();

    assert!(["tls.crt", "tls.key"].iter().all(|key| data[*key].0.is_empty()));
}

#[test]
fn a_secret_that_makes_no_sense_is_an_empty_one() {
    let data = std::collections::BTreeMap::from([(
        "authorities.json".to_owned(),
        k8s_openapi::ByteString(b"{\"signing\": 1}".to_vec()),
    )]);

    assert_eq!(Stored::read(&data), Stored::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the lifetimes are, whoever crashes when, and whatever takes how long: a certificate is served only when
    /// its CA is in the configurations.
    #[test]
    fn what_is_served_is_trusted(
        ca in 6_u64..2_000,
        certificate in 6_u64..2_000,
        events in prop::collection::vec((0_u8..10, 0_u64..400), 1..60),
    ) {
        let seconds = Duration::from_secs;
        let mut play = Play::new(Lifetimes { ca: seconds(ca), certificate: seconds(certificate) });
        for (event, delay) in events {
            match event {
                0 => play.seen = None,                       // another process leads
                1 => play.told.clear(),                      // somebody applied a configuration without a CA
                2 => play.stored.serving = None,             // somebody emptied a part of the Secret
                3 => play.stored.signing = None,
                4 => play.stored.next = None,
                5 => play.now += seconds(delay),   // nobody leads for a while
                _ => {}
            }
            play.step();
        }
        // Left in peace, and with time for API servers to hear of it, it comes to rest with all in order.
        play.until_it_rests();
        play.step();
        play.until_it_rests();
        play.what_is_served_is_trusted();
        prop_assert_eq!(&play.told, &play.stored.trusted);
        prop_assert!(play.stored.serving.as_ref().unwrap().term.holds(play.now));
    }
}
