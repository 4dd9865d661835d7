//! Who adopts a claim, and when one that nobody adopts goes.

use allocator::Port;
use crds::ClaimPhase;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> Key {
    Key::new("shop", name)
}

fn claim(name: &str, version: u64, made: Option<Made>) -> Claim {
    Claim {
        key: key(name),
        uid: format!("uid-{name}").into(),
        version: Version(version),
        generation: 1,
        created: 0,
        deleting: false,
        finalizers: vec![],
        class: None,
        wanted: None,
        hostport_name: None,
        count: 1,
        preferred: None,
        made: made.map(Arc::new),
        phase: ClaimPhase::Pending,
        port: None,
        slot: None,
        used_class: None,
        ready: None,
        status_digest: 0,
    }
}

fn for_pod(owners: &[&str]) -> Option<Made> {
    Some(Made::ForPod { owners: owners.iter().map(|name| owner(name)).collect(), foreign: false })
}

fn scaled_with(index: i64) -> Option<Made> {
    let ordinal = Ordinal { set: "sbc".into(), uid: "uid-sbc".into(), index };
    Some(Made::ByName { scaled_with: Some(ordinal) })
}

fn owner(name: &str) -> Owner {
    Owner { name: name.into(), uid: format!("uid-{name}").into() }
}

fn pod(name: &str, claims: &[&str]) -> Pod {
    let claims: Vec<_> = claims.iter().map(|claim| Arc::from(*claim)).collect();
    let own = (!claims.is_empty()).then(|| Box::new(Own { uid: format!("uid-{name}").into(), claims }));
    Pod { key: key(name), ports: [Port::new(9000).unwrap()].into(), serves: Box::default(), own }
}

/// A process that has listed these.
fn adoption(claims: &[Claim], pods: &[Pod]) -> Adoption {
    let mut adoption = Adoption::default();
    adoption.observe(&Event::Claim(Change::Listing), adoption.now);
    claims
        .iter()
        .for_each(|claim| adoption.observe(&Event::Claim(Change::Listed(claim.clone())), adoption.now));
    adoption.observe(&Event::Claim(Change::ListDone), adoption.now);
    adoption.observe(&Event::Pod(Change::Listing), adoption.now);
    pods.iter().for_each(|pod| adoption.observe(&Event::Pod(Change::Listed(pod.clone())), adoption.now));
    adoption.observe(&Event::Pod(Change::ListDone), adoption.now);
    adoption
}

impl Adoption {
    fn applied(&mut self, claim: Claim) {
        self.observe(&Event::Claim(Change::Applied(claim)), self.now);
    }

    fn stored(&mut self, pod: Pod) {
        self.observe(&Event::Pod(Change::Applied(pod)), self.now);
    }

    fn ended(&mut self, pod: Pod) {
        self.observe(&Event::Pod(Change::Deleted(pod)), self.now);
    }

    /// The one thing to do now.
    fn only(&mut self, now: Duration) -> (ActionId, Action) {
        let mut all = self.poll(now);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn nothing(&mut self, now: Duration) {
        assert_eq!(self.poll(now), []);
    }
}

fn adopt(name: &str, version: u64, owners: &[&str]) -> Action {
    let owners = owners.iter().map(|name| owner(name)).collect();
    Action::AdoptClaim {
        key: key(name),
        uid: format!("uid-{name}").into(),
        version: Version(version),
        owners,
    }
}

fn delete(name: &str, version: u64) -> Action {
    Action::DeleteClaim { key: key(name), uid: format!("uid-{name}").into(), version: Version(version) }
}

fn list() -> Action {
    Action::ListPods(Some("shop".into()))
}

#[test]
fn a_stored_pod_adopts_the_claim_that_was_made_for_it() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);

    it.stored(pod("echo", &["echo-1"]));
    let (id, action) = it.only(SECOND);
    assert_eq!(action, adopt("echo-1", 5, &["echo"]));

    it.done(id, Outcome::Claim(Box::new(claim("echo-1", 6, for_pod(&["echo"])))), SECOND);
    it.nothing(SECOND * 600);
}

#[test]
fn a_claim_of_a_user_is_never_touched() {
    let mut it = adoption(&[claim("web", 5, None)], &[pod("echo", &["web"])]);

    it.nothing(SECOND * 600);
}

#[test]
fn a_claim_that_somebody_gave_another_owner_is_his() {
    let made = Made::ForPod { owners: vec![], foreign: true };
    let mut it = adoption(&[claim("web", 5, Some(made))], &[pod("echo", &["web"])]);

    it.nothing(SECOND * 600);
}

#[test]
fn a_pod_without_claims_of_its_own_adopts_none() {
    let mut it = adoption(&[claim("web", 5, for_pod(&[]))], &[pod("echo", &[])]);

    it.nothing(SECOND * 39);
}

#[test]
fn a_claim_that_no_pod_came_for_goes_when_none_can_be_on_its_way() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);
    it.nothing(SECOND * 39);
    assert_eq!(it.next_deadline(), Some(SECOND * 40));

    let (id, action) = it.only(SECOND * 40);
    assert_eq!(action, list());
    it.done(id, Outcome::Pods(vec![]), SECOND * 40);

    assert_eq!(it.only(SECOND * 40).1, delete("echo-1", 5));
}

#[test]
fn another_version_begins_the_wait_anew() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(SECOND * 39);

    // Another pod of its owner has taken it over.
    it.applied(claim("echo-1", 6, for_pod(&[])));
    it.nothing(SECOND * 78);

    assert_eq!(it.only(SECOND * 79).1, list());
}

#[test]
fn a_takeover_while_the_pods_are_listed_is_noticed() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);
    let (id, _) = it.only(SECOND * 40);

    it.applied(claim("echo-1", 6, for_pod(&[])));
    it.done(id, Outcome::Pods(vec![]), SECOND * 41);

    it.nothing(SECOND * 41);
}

#[test]
fn a_pod_that_only_the_listing_shows_adopts_its_claim() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);
    let (id, _) = it.only(SECOND * 40);

    it.done(id, Outcome::Pods(vec![pod("echo", &["echo-1"])]), SECOND * 40);

    assert_eq!(it.only(SECOND * 40).1, adopt("echo-1", 5, &["echo"]));
}

#[test]
fn a_listing_that_failed_removes_nothing() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);
    let (id, _) = it.only(SECOND * 40);

    it.done(id, Outcome::Failed("timeout".into()), SECOND * 41);

    it.nothing(SECOND * 41);
    assert_eq!(it.only(SECOND * 43).1, list());
}

#[test]
fn a_removal_that_came_too_late_is_decided_anew() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[]);
    it.nothing(Duration::ZERO);
    let (id, _) = it.only(SECOND * 40);
    it.done(id, Outcome::Pods(vec![]), SECOND * 40);
    let (id, _) = it.only(SECOND * 40);

    it.done(id, Outcome::Conflict, SECOND * 41);
    let (id, action) = it.only(SECOND * 41);
    assert_eq!(action, Action::GetClaim(key("echo-1")));
    it.done(id, Outcome::Claim(Box::new(claim("echo-1", 6, for_pod(&[])))), SECOND * 41);

    it.nothing(SECOND * 80);
}

#[test]
fn a_lost_reply_is_asked_for_again() {
    let mut it = adoption(&[claim("echo-1", 5, for_pod(&[]))], &[pod("echo", &["echo-1"])]);
    let (id, _) = it.only(Duration::ZERO);

    it.done(id, Outcome::Failed("timeout".into()), SECOND);

    it.nothing(SECOND);
    assert_eq!(it.only(SECOND * 3).1, adopt("echo-1", 5, &["echo"]));
}

#[test]
fn two_pods_that_name_one_claim_both_own_it() {
    let mut it = adoption(
        &[claim("echo-1", 5, for_pod(&["echo"]))],
        &[pod("echo", &["echo-1"]), pod("copy", &["echo-1"])],
    );

    assert_eq!(it.only(Duration::ZERO).1, adopt("echo-1", 5, &["echo", "copy"]));
}

#[test]
fn one_list_of_pods_serves_all_claims_of_a_namespace() {
    let many: Vec<_> = (0..100).map(|number| claim(&format!("c{number}"), 5, for_pod(&[]))).collect();
    let mut it = adoption(&many, &[]);
    it.nothing(Duration::ZERO);

    let (id, action) = it.only(SECOND * 40);
    assert_eq!(action, list());
    it.done(id, Outcome::Pods(vec![]), SECOND * 40);

    assert_eq!(it.poll(SECOND * 40).len(), 100);
}

#[test]
fn a_claim_that_a_scaled_down_set_wants_no_more_goes_with_its_pod() {
    let mut it = adoption(&[claim("sip-2", 5, scaled_with(2))], &[pod("sbc-2", &[])]);
    it.nothing(SECOND * 600);

    it.ended(pod("sbc-2", &[]));
    let (id, action) = it.only(SECOND * 600);
    assert_eq!(action, Action::GetStatefulSet(key("sbc")));
    it.done(id, Outcome::StatefulSet { uid: "uid-sbc".into(), end: 1 }, SECOND * 600);
    let (id, action) = it.only(SECOND * 600);
    assert_eq!(action, list());
    it.done(id, Outcome::Pods(vec![]), SECOND * 600);

    assert_eq!(it.only(SECOND * 600).1, delete("sip-2", 5));
}

#[test]
fn a_claim_of_a_pod_that_comes_again_stays() {
    let mut it = adoption(&[claim("sip-2", 5, scaled_with(2))], &[]);
    let (id, _) = it.only(SECOND);

    it.done(id, Outcome::StatefulSet { uid: "uid-sbc".into(), end: 3 }, SECOND);
    it.nothing(SECOND);

    // Scaled down while the pod was away.
    let (id, _) = it.only(SECOND * 31);
    it.done(id, Outcome::StatefulSet { uid: "uid-sbc".into(), end: 2 }, SECOND * 31);
    assert_eq!(it.only(SECOND * 31).1, list());
}

#[test]
fn a_claim_whose_set_is_gone_or_another_stays() {
    let mut it = adoption(&[claim("sip-2", 5, scaled_with(2))], &[]);
    let (id, _) = it.only(SECOND);
    it.done(id, Outcome::StatefulSet { uid: "uid-another".into(), end: 0 }, SECOND);
    it.nothing(SECOND);

    let (id, _) = it.only(SECOND * 31);
    it.done(id, Outcome::NotFound, SECOND * 31);

    it.nothing(SECOND * 600);
}

#[test]
fn before_everything_is_listed_nothing_is_decided() {
    let mut it = Adoption::default();
    it.observe(&Event::Claim(Change::Listing), it.now);
    it.observe(&Event::Claim(Change::Listed(claim("echo-1", 5, for_pod(&[])))), it.now);
    it.observe(&Event::Claim(Change::ListDone), it.now);

    it.nothing(SECOND * 600);
}
