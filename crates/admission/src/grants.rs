//! From how the claims of a plan stand to the numbers that a pod gets, or to the reason why it gets none.

use std::collections::BTreeMap;

use crds::names::{ANNOTATION_ALLOCATED, ANNOTATION_ENABLED};

use crate::{
    annotations::{Plan, Told, Use},
    refusal::{Fleet, Refusal},
    run::Run,
    standing::{Outlook, Standing, Standings},
    wishes::{Kind, Make},
};

/// Who asks, as far as an answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) dry_run: bool,
    /// Whoever creates the pod tries again by itself.
    pub(crate) retries: bool,
}

/// The numbers that the claims of a plan hold. In a dry run a claim may be missing.
#[derive(Debug, Default)]
pub(crate) struct Grants<'a> {
    held: BTreeMap<&'a str, Run>,
    pub(crate) warnings: Vec<String>,
}

impl Grants<'_> {
    /// What an annotation gets: all that the claim holds, or the one number at this place of it.
    pub(crate) fn run(&self, claim: &str, index: Option<u16>) -> Option<Run> {
        let run = *self.held.get(claim)?;
        match index {
            Some(index) if !run.is_slot() => run.member(index).map(Run::one),
            _ => Some(run),
        }
    }
}

impl Plan {
    /// Annotations that tell the pod more than its numbers: which claims are its own, what `enabled` allocated.
    pub(crate) fn notes(&self, grants: &Grants<'_>) -> Vec<(String, String)> {
        let own = self.makes.iter().filter_map(|make| match &make.kind {
            Kind::ForPod { told_by } if !make.is_unnamed() => Some((told_by.clone(), make.claim.clone())),
            _ => None,
        });
        let allocated = self.uses.iter().filter(|used| used.allocated).filter_map(|used| {
            let run = grants.run(&used.claim, used.index)?;
            Some((format!("{ANNOTATION_ALLOCATED}{}", used.port_name), run.first.to_string()))
        });
        own.chain(allocated).collect()
    }

    /// What the author of a bare pod is told: nobody else would see it.
    pub(crate) fn news(&self, grants: &Grants<'_>) -> Vec<String> {
        let one = |used: &Use| {
            let run = grants.run(&used.claim, used.index)?;
            Some(format!("hostport: {} → {run} (claim {})", used.port_name, used.claim))
        };
        self.uses.iter().filter_map(one).collect()
    }
}

/// Why a pod does not get its numbers now.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// Nothing will change in the next seconds.
    Final(Refusal),
    /// The claim may be bound in a moment; if not, this is the refusal.
    Waiting(Refusal),
}

/// Every claim of the plan must hold its number. A claim that will not is told before one that may in a moment.
pub(crate) fn settle<'a>(
    plan: &'a Plan,
    standings: &Standings,
    asking: Asking<'_>,
) -> Result<Grants<'a>, Unsettled> {
    let mut grants = Grants::default();
    let mut waiting = None;
    for told in plan.told() {
        let refusal = match standings.get(told.claim) {
            Some(Standing::Held(run)) => match told.index.filter(|index| run.member(*index).is_none()) {
                None => {
                    grants.held.insert(told.claim, *run);
                    continue;
                }
                Some(_) if told.key() == ANNOTATION_ENABLED => {
                    let (claim, holds) = (told.claim.to_owned(), *run);
                    return Err(Unsettled::Final(Fleet::Outgrown { claim, holds }.into()));
                }
                Some(index) => {
                    let (key, claim, holds) = (told.key(), told.claim.to_owned(), *run);
                    return Err(Unsettled::Final(Refusal::NoSuchMember { key, claim, index, holds }));
                }
            },
            // I7, and no lie either: a claim of the same file is not stored by its own dry run.
            Some(Standing::Absent { .. }) if asking.dry_run && plan.makes(told.claim).is_some() => {
                grants.warnings.push(would_be_made(told.key()));
                continue;
            }
            Some(standing) if asking.dry_run && forgiven(standing) => {
                grants.warnings.push(warning(told, standing, asking.namespace));
                continue;
            }
            None if asking.dry_run && plan.makes(told.claim).is_some() => {
                grants.warnings.push(would_be_made(told.key()));
                continue;
            }
            Some(standing) => refuse(told, standing, asking),
            None if plan.makes(told.claim).is_some_and(Make::is_unnamed) => {
                Fleet::NotMade { key: told.key() }.into()
            }
            None => absent(told, asking.namespace, &[], false),
        };
        match standings.get(told.claim) {
            Some(Standing::Unbound { outlook: Outlook::Soon, .. }) => {
                waiting.get_or_insert(refusal);
            }
            _ => return Err(Unsettled::Final(refusal)),
        }
    }
    waiting.map_or(Ok(grants), |refusal| Err(Unsettled::Waiting(refusal)))
}

fn would_be_made(key: String) -> String {
    format!("annotation {key} has a claim made, but not in a dry run: the pod is shown without its port")
}

fn forgiven(standing: &Standing) -> bool {
    matches!(standing, Standing::Unbound { .. } | Standing::Absent { .. })
}

fn warning(told: Told<'_>, standing: &Standing, namespace: &str) -> String {
    let claim = told.claim;
    match standing {
        Standing::Absent { .. } => {
            format!(
                "HostPortClaim {claim:?} does not exist in namespace {namespace:?}: apply it before the pod"
            )
        }
        _ => format!("HostPortClaim {claim:?} is not Bound yet: the pod is shown without its port"),
    }
}

fn refuse(told: Told<'_>, standing: &Standing, asking: Asking<'_>) -> Refusal {
    let claim = told.claim.to_owned();
    match standing {
        Standing::Absent { others, more } => absent(told, asking.namespace, others, *more),
        Standing::Terminating => Refusal::Terminating { claim },
        Standing::Unbound { outlook, reason, message } => {
            Refusal::unbound(&claim, *outlook, reason, message, asking.retries)
        }
        Standing::Disproved(says) | Standing::Held(Run { first: says, .. }) => {
            Refusal::Disproved { claim, says: *says }
        }
    }
}

fn absent(told: Told<'_>, namespace: &str, others: &[String], more: bool) -> Refusal {
    Refusal::absent(told.key(), told.claim, namespace, others, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exhausted, held, plan, unseen};

    fn asking() -> Asking<'static> {
        Asking { namespace: "shop", dry_run: false, retries: false }
    }

    fn of(standings: [(&str, Standing); 2]) -> Standings {
        standings.into_iter().map(|(name, standing)| (name.to_owned(), standing)).collect()
    }

    #[test]
    fn a_claim_that_will_not_bind_is_told_before_one_that_may() {
        let plan = plan(&[("claim.hostport.io/a", "new"), ("claim.hostport.io/b", "full")]);

        let unsettled = settle(&plan, &of([("new", unseen()), ("full", exhausted())]), asking());

        assert!(
            matches!(unsettled, Err(Unsettled::Final(Refusal::Unbound { claim, .. })) if claim == "full")
        );
    }

    #[test]
    fn a_claim_that_nobody_has_looked_at_is_worth_a_wait() {
        let plan = plan(&[("claim.hostport.io/a", "new"), ("ref.hostport.io/b", "old")]);

        let unsettled = settle(&plan, &of([("new", unseen()), ("old", held(9000))]), asking());

        assert!(
            matches!(unsettled, Err(Unsettled::Waiting(Refusal::Unbound { claim, .. })) if claim == "new")
        );
    }

    #[test]
    fn what_admission_counted_itself_is_not_the_users_index() {
        let mut plan = plan(&[("claim.hostport.io/a", "web/1")]);
        let refusal = |plan: &Plan| match settle(plan, &of([("web", held(9000)), ("x", held(1))]), asking()) {
            Err(Unsettled::Final(refusal)) => refusal.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(refusal(&plan).contains("asks for number 1 of claim \"web\""), "{}", refusal(&plan));

        plan.uses[0].key = ANNOTATION_ENABLED.to_owned();

        let said = refusal(&plan);
        assert!(said.starts_with("the pod has more ports than claim \"web\""), "{said}");
    }

    #[test]
    fn a_dry_run_on_an_unbound_or_absent_claim_is_allowed_with_a_warning() {
        let plan = plan(&[("claim.hostport.io/a", "new"), ("claim.hostport.io/b", "none")]);
        let absent = Standing::Absent { others: vec![], more: false };

        let dry = Asking { dry_run: true, ..asking() };
        let grants = settle(&plan, &of([("new", unseen()), ("none", absent)]), dry).unwrap();

        assert_eq!(grants.warnings.len(), 2);
        assert!(grants.warnings.iter().all(|warning| warning.len() <= 120), "{:?}", grants.warnings);
        assert_eq!(grants.run("new", None), None);
    }

    #[test]
    fn a_dry_run_on_a_terminating_claim_is_refused() {
        let plan = plan(&[("claim.hostport.io/a", "gone")]);
        let dry = Asking { dry_run: true, ..asking() };

        let unsettled = settle(&plan, &of([("gone", Standing::Terminating), ("x", held(1))]), dry);

        assert!(matches!(unsettled, Err(Unsettled::Final(Refusal::Terminating { .. }))));
    }
}
