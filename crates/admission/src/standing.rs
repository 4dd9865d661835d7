//! How a claim stands, judged from the claim and its HostPort, which was read live. Status alone is never proof: a
//! tenant may write it.

use std::collections::BTreeMap;

use crds::{ClaimPhase, HostPort, HostPortClaim, HostPortPhase, Port, Reason};
use kube::ResourceExt;

use crate::run::Run;

/// The claims that a pod names, and how each stands.
pub(crate) type Standings = BTreeMap<String, Standing>;

/// How a claim stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It holds these numbers: claim and HostPorts agree.
    Held(Run),
    /// It does not exist; these do, at most three, and whether there are, or may be, more.
    Absent { others: Vec<String>, more: bool },
    /// It is being deleted: pods that have the port keep it, new ones do not get it.
    Terminating,
    /// It has no port.
    Unbound { outlook: Outlook, reason: String, message: String },
    /// Its status names a number that no HostPort confirms.
    Disproved(Port),
}

/// What becomes of an unbound claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nobody has looked at it yet: it may be bound in a moment.
    Soon,
    /// It was looked at and has to wait; it binds by itself.
    Later,
    /// Nothing but an edit helps.
    Never,
}

/// Which claim: of a name there may be others before and after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
}

impl<'a> Identity<'a> {
    fn of(claim: &'a HostPortClaim) -> Self {
        let field = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
        let metadata = &claim.metadata;
        Self { namespace: field(&metadata.namespace), name: field(&metadata.name), uid: field(&metadata.uid) }
    }
}

/// Who holds a number, seen from one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A claim of the namespace.
    Claim,
    /// A claim of the namespace that is being deleted, by name.
    Terminating(String),
    /// No claim of the namespace. Who else does is not this namespace's to know.
    Nobody,
}

/// What a claim's status says that it holds. How many these are is in the spec, which nobody can change.
pub(crate) fn said(claim: &HostPortClaim) -> Option<Run> {
    let status = claim.status.as_ref().filter(|status| status.phase == ClaimPhase::Bound)?;
    match &status.host_port_name {
        Some(name) if claim.spec.count == 1 => Run::slot(status.port?, name),
        _ => Run::new(status.port?, claim.spec.count),
    }
}

/// I1, I5: numbers are the claim's if the claim lives and says so, and the HostPort of each of them says so too,
/// for this very UID. In `ports` others may stand as well.
pub(crate) fn believe<'a>(
    claim: &HostPortClaim,
    ports: impl IntoIterator<Item = &'a HostPort> + Clone,
) -> Standing {
    if claim.metadata.deletion_timestamp.is_some() {
        return Standing::Terminating;
    }
    match said(claim) {
        None => unbound(claim),
        Some(run) if confirmed(Identity::of(claim), run, ports) => Standing::Held(run),
        Some(run) => Standing::Disproved(run.first),
    }
}

/// The HostPort of each of the numbers says that it is this very claim's.
pub(crate) fn confirmed<'a>(
    claim: Identity<'_>,
    run: Run,
    ports: impl IntoIterator<Item = &'a HostPort> + Clone,
) -> bool {
    let in_scope = |port: &&HostPort| port.spec.slot == run.slot;
    let confirmed =
        |number| ports.clone().into_iter().filter(in_scope).any(|port| confirms(port, claim, number));
    run.iter().all(confirmed)
}

/// The number that a pod of the claim is given, of a block the first; none if the pod is refused. `ports` are the
/// HostPorts that were read for it.
pub fn believed<'a>(
    claim: &HostPortClaim,
    ports: impl IntoIterator<Item = &'a HostPort> + Clone,
) -> Option<Port> {
    if let Standing::Held(run) = believe(claim, ports) { Some(run.first) } else { None }
}

/// Who holds the number of `port`, its claim having been read by the name in claimRef.
pub(crate) fn holder(port: &HostPort, claim: &HostPortClaim) -> Holder {
    let number = port.spec.port;
    let deleted = claim.metadata.deletion_timestamp.is_some();
    let identity = Identity::of(claim);
    match said(claim) {
        _ if deleted && belongs(port, identity) => Holder::Terminating(claim.name_any()),
        Some(run) if !deleted && run.contains(number) && confirms(port, identity, number) => Holder::Claim,
        _ => Holder::Nobody,
    }
}

/// The name of the claim in `namespace` that a HostPort says it is bound to.
pub(crate) fn claim_of<'a>(port: &'a HostPort, namespace: &str) -> Option<&'a str> {
    let bound = port.spec.phase == HostPortPhase::Bound && port.metadata.deletion_timestamp.is_none();
    let claim = port.spec.claim_ref.as_ref().filter(|claim| bound && claim.namespace == namespace)?;
    Some(&claim.name)
}

fn confirms(port: &HostPort, claim: Identity<'_>, number: Port) -> bool {
    port.spec.port == number && belongs(port, claim)
}

fn belongs(port: &HostPort, claim: Identity<'_>) -> bool {
    claim_of(port, claim.namespace) == Some(claim.name)
        && port.spec.claim_ref.as_ref().and_then(|held| held.uid.as_deref()) == Some(claim.uid)
}

fn unbound(claim: &HostPortClaim) -> Standing {
    let status = claim.status.as_ref();
    let stalled = status.is_some_and(|status| {
        let stalled =
            |condition: &crds::Condition| condition.type_ == "Stalled" && condition.status == "True";
        status.phase == ClaimPhase::Lost || status.conditions.iter().any(stalled)
    });
    let reason = claim.ready_reason().unwrap_or(Reason::WaitingForController.as_str());
    let outlook = match reason {
        _ if stalled => Outlook::Never,
        reason if reason == Reason::WaitingForController.as_str() => Outlook::Soon,
        _ => Outlook::Later,
    };
    let message = claim.ready_message().unwrap_or("The hostport controller has not seen this claim yet.");
    Standing::Unbound { outlook, reason: reason.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bound_claim, claim, grant, port, terminating};

    #[test]
    fn claim_and_host_port_that_agree_are_believed() {
        assert_eq!(
            believe(&bound_claim("web", 9000), Some(&grant("web", 9000))),
            Standing::Held(Run::one(port(9000)))
        );
    }

    #[test]
    fn a_status_is_never_proof() {
        let tampered = bound_claim("web", 10250);
        assert_eq!(believe(&tampered, []), Standing::Disproved(port(10250)));

        let of_another = grant("other", 10250);
        assert_eq!(believe(&tampered, Some(&of_another)), Standing::Disproved(port(10250)));
    }

    #[test]
    fn the_grant_of_an_earlier_claim_of_that_name_is_not_this_claims() {
        let mut earlier = grant("web", 9000);
        earlier.spec.claim_ref.as_mut().unwrap().uid = Some("uid-earlier".into());

        assert_eq!(believe(&bound_claim("web", 9000), Some(&earlier)), Standing::Disproved(port(9000)));
    }

    #[test]
    fn a_grant_to_that_name_in_another_namespace_is_not_this_claims() {
        let mut elsewhere = grant("web", 9000);
        elsewhere.spec.claim_ref.as_mut().unwrap().namespace = "other".into();

        assert_eq!(believe(&bound_claim("web", 9000), Some(&elsewhere)), Standing::Disproved(port(9000)));
        assert_eq!(claim_of(&elsewhere, "shop"), None);
    }

    #[test]
    fn a_released_host_port_confirms_nothing() {
        let mut released = grant("web", 9000);
        released.spec.phase = HostPortPhase::Released;

        assert_eq!(believe(&bound_claim("web", 9000), Some(&released)), Standing::Disproved(port(9000)));
    }

    #[test]
    fn a_claim_being_deleted_gives_its_port_to_no_new_pod() {
        let leaving = terminating(bound_claim("web", 9000));

        assert_eq!(believe(&leaving, Some(&grant("web", 9000))), Standing::Terminating);
        assert_eq!(holder(&grant("web", 9000), &leaving), Holder::Terminating("web".into()));
    }

    #[test]
    fn a_block_is_believed_only_whole() {
        let mut claim = bound_claim("rtp", 9000);
        claim.spec.count = 3;
        let [first, second, third] = [9000, 9001, 9002].map(|number| grant("rtp", number));
        let mut of_another = grant("rtp", 9002);
        of_another.spec.claim_ref.as_mut().unwrap().uid = Some("uid-earlier".into());

        let run = Run::new(port(9000), 3).unwrap();
        assert_eq!(believe(&claim, [&third, &first, &second]), Standing::Held(run));
        assert_eq!(believe(&claim, [&first, &second]), Standing::Disproved(port(9000)));
        assert_eq!(believe(&claim, [&first, &second, &of_another]), Standing::Disproved(port(9000)));
        assert_eq!(holder(&second, &claim), Holder::Claim);
        assert_eq!(holder(&of_another, &claim), Holder::Nobody);
        assert_eq!(holder(&grant("rtp", 9003), &claim), Holder::Nobody);
    }

    #[test]
    fn a_claim_of_scope_node_is_believed_by_its_own_slot_alone() {
        let mut claim = bound_claim("web", 9000);
        claim.status.as_mut().unwrap().host_port_name = Some("9000-3".to_owned());
        let slot = |slot| {
            let mut granted = grant("web", 9000);
            (granted.spec.scope, granted.spec.slot) = (crds::Scope::Node, Some(slot));
            granted
        };

        assert_eq!(believe(&claim, [&slot(3)]), Standing::Held(Run::slot(port(9000), "9000-3").unwrap()));
        assert_eq!(believe(&claim, [&slot(2)]), Standing::Disproved(port(9000)));
        assert_eq!(believe(&claim, [&grant("web", 9000)]), Standing::Disproved(port(9000)));
        claim.status.as_mut().unwrap().host_port_name = Some("9001-3".to_owned());
        assert!(
            matches!(believe(&claim, [&slot(3)]), Standing::Unbound { .. }),
            "the name is of another number"
        );
    }

    #[test]
    fn a_surplus_host_port_is_held_by_nobody() {
        let surplus = grant("web", 9001);

        assert_eq!(holder(&surplus, &bound_claim("web", 9000)), Holder::Nobody);
        assert_eq!(holder(&grant("web", 9000), &bound_claim("web", 9000)), Holder::Claim);
    }

    #[test]
    fn only_a_claim_that_nobody_has_looked_at_may_bind_in_a_moment() {
        let outlook = |claim| match believe(&claim, []) {
            Standing::Unbound { outlook, .. } => outlook,
            other => panic!("{other:?}"),
        };

        assert_eq!(outlook(claim("web", None)), Outlook::Soon);
        assert_eq!(outlook(claim("web", Some(("WaitingForController", "…")))), Outlook::Soon);
        assert_eq!(outlook(claim("web", Some(("PoolExhausted", "No free port.")))), Outlook::Later);
        let mut lost = claim("web", Some(("PortTaken", "HostPort 9000 was removed.")));
        lost.status.as_mut().unwrap().phase = ClaimPhase::Lost;
        assert_eq!(outlook(lost), Outlook::Never);
    }
}
