//! One candidate and what it sees, without a server and without waiting.

use super::*;

const DURATION: Duration = Duration::from_secs(3);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn one() -> Candidate {
    Candidate::new("a".to_owned(), DURATION)
}

/// The Lease as somebody has stored it.
fn lease(holder: Option<&str>, version: u64) -> Lease {
    let mut lease = Candidate::new(holder.unwrap_or_default().to_owned(), DURATION)
        .taken("hostport-controller", Timestamp::UNIX_EPOCH);
    lease.metadata.resource_version = Some(version.to_string());
    lease
}

fn leader() -> Candidate {
    let mut candidate = one();
    candidate.saw(None, at(0));
    candidate.wrote(lease(Some("a"), 1), at(0), at(10));
    candidate
}

#[test]
fn a_lease_is_read_before_it_is_written() {
    assert_eq!(one().step(at(0)), Step::Read);
}

#[test]
fn a_lease_that_is_not_there_or_nobodys_is_taken_at_once() {
    for nobodys in [None, Some(lease(None, 7))] {
        let mut candidate = one();

        candidate.saw(nobodys, at(100));

        assert_eq!(candidate.step(at(100)), Step::Write);
    }
}

#[test]
fn a_holder_that_is_heard_of_is_left_alone_whatever_its_clock_says() {
    let mut candidate = one();
    // Its renewTime is of 1970: clocks of others do not count.
    candidate.saw(Some(lease(Some("b"), 1)), at(0));
    candidate.saw(Some(lease(Some("b"), 2)), at(2_900));

    assert_eq!(candidate.step(at(5_899)), Step::Wait(at(5_900)));
}

#[test]
fn a_holder_that_is_silent_for_as_long_as_it_promised_is_replaced() {
    let mut candidate = one();
    candidate.saw(Some(lease(Some("b"), 1)), at(0));
    // The same again, from a watch that was begun anew: no sign of life.
    candidate.saw(Some(lease(Some("b"), 1)), at(2_000));

    assert_eq!(candidate.step(at(3_000)), Step::Write);
    let taken = candidate.taken("hostport-controller", Timestamp::UNIX_EPOCH);
    assert_eq!(taken.metadata.resource_version.as_deref(), Some("1"), "on the version that was seen");
    let spec = taken.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("a"), Some(1)));
}

#[test]
fn a_promise_without_end_is_not_waited_for() {
    let mut forever = lease(Some("b"), 1);
    forever.spec.as_mut().unwrap().lease_duration_seconds = Some(i32::MAX);
    let mut candidate = one();

    candidate.saw(Some(forever), at(0));

    assert_eq!(candidate.step(LONGEST), Step::Write);
}

#[test]
fn who_loses_the_race_looks_again() {
    let mut candidate = one();
    candidate.saw(None, at(0));

    candidate.met_another();

    assert_eq!(candidate.step(at(0)), Step::Read);
    assert!(!candidate.leads());
}

#[test]
fn a_leader_renews_at_a_third_and_stops_before_another_may_begin() {
    let leader = leader();

    assert_eq!(leader.step(at(999)), Step::Wait(at(1_000)));
    assert_eq!(leader.step(at(1_000)), Step::Write);
    assert_eq!(leader.step(at(2_499)), Step::Write);
    assert_eq!(leader.step(at(2_500)), Step::Lose);
}

#[test]
fn a_renewal_that_failed_is_tried_again_after_a_pause() {
    let mut leader = leader();

    leader.failed(at(1_100));

    assert_eq!(leader.step(at(1_100)), Step::Wait(at(1_600)));
    assert_eq!(leader.step(at(1_600)), Step::Write);
}

#[test]
fn a_renewal_whose_answer_was_lost_is_not_a_loss() {
    let mut leader = leader();
    leader.met_another();
    assert_eq!(leader.step(at(1_000)), Step::Read);

    leader.saw(Some(lease(Some("a"), 2)), at(1_100));

    assert!(leader.leads());
    assert_eq!(leader.step(at(1_100)), Step::Write);
}

#[test]
fn a_leader_that_sees_another_in_the_lease_leads_no_more() {
    let mut leader = leader();

    leader.saw(Some(lease(Some("b"), 2)), at(500));

    assert!(!leader.leads());
}

#[test]
fn what_a_watch_tells_late_changes_nothing() {
    let mut leader = leader();
    leader.wrote(lease(Some("a"), 9), at(1_000), at(1_010));

    leader.saw(Some(lease(Some("b"), 8)), at(1_020));

    assert!(leader.leads());
}

#[test]
fn a_leader_leaves_the_lease_to_nobody_and_others_leave_it_alone() {
    let left = leader().left().unwrap();

    assert_eq!(holder(&left), None);
    assert_eq!(left.metadata.resource_version.as_deref(), Some("1"));
    let mut other = one();
    other.saw(Some(lease(Some("b"), 1)), at(0));
    assert!(other.left().is_none());
}

#[test]
fn a_term_that_begins_counts_and_one_that_goes_on_does_not() {
    let mut candidate = one();
    candidate.saw(Some(lease(None, 1)), at(0));
    let first = candidate.taken("hostport-controller", Timestamp::UNIX_EPOCH);
    candidate.wrote(first.clone(), at(0), at(0));

    let second = candidate.taken("hostport-controller", "2026-01-01T00:00:00Z".parse().unwrap());

    let (first, second) = (first.spec.unwrap(), second.spec.unwrap());
    assert_eq!(first.lease_transitions, second.lease_transitions);
    assert_eq!(first.acquire_time, second.acquire_time);
    assert_ne!(first.renew_time, second.renew_time);
}

#[test]
fn who_leads_waits_for_no_answer_past_the_end_of_its_lead() {
    assert_eq!(one().patience(at(0)), at(1_000));
    let leader = leader();

    assert_eq!(leader.patience(at(1_000)), at(1_000));
    assert_eq!(leader.patience(at(2_450)), at(50));
    assert_eq!(leader.step(at(2_500)), Step::Lose);
}
