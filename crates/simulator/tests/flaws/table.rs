// Wrong variants of the core. `build.rs` weaves them into a copy of `reconciler/src`, `main.rs` plays them.

/// A wrong variant of the core.
pub struct Flaw {
    /// Names it in the table of `docs/reliability.md`.
    pub name: &'static str,
    /// Below `reconciler/src/core`.
    pub file: &'static str,
    /// A text that is there exactly once. What is between « and » (or all of it) is replaced.
    pub find: &'static str,
    /// What stands there in the wrong variant.
    pub wrong: &'static str,
}

/// Two of them at once: either guard is enough.
pub const PAIRS: &[(&str, [&str; 2])] = &[
    (
        "a member of another block counts, and that block is freed while a status may name it (C6)",
        ["a member of another block counts (C6)", "an undone block is freed while a status may name it (C6)"],
    ),
    (
        "a number that a living claim is promised is free, picked or wanted (C7)",
        [
            "a number that a living claim is promised is picked (C7)",
            "a number that a living claim is promised is free for who wants it (C7)",
        ],
    ),
];

pub const FLAWS: &[Flaw] = &[
    Flaw {
        name: "release without the live read of the claim",
        file: "release.rs",
        find: "self.read_claim(hostport, Step::ReadBeforeRelease)",
        wrong: "{ let change = self.release_of(&hostport, verdict); self.swap(hostport, change, Step::Release) }",
    },
    Flaw {
        name: "free on the pod cache instead of the LIST",
        file: "release.rs",
        find: "self.lists.want(Some(namespace), Curious::Spot(spot));",
        wrong: "let carrier = self.known.carrier_in(spot.port(), &namespace).cloned();
                let ports = [spot.port()].into();
                let pod = |key| Pod { key, ports, serves: Box::default(), own: None };
                let pods: Vec<_> = carrier.map(pod).into_iter().collect();
                self.spot_sees_pods(spot, Ok(&pods));",
    },
    Flaw {
        name: "no look at pods before the free",
        file: "release.rs",
        find: "let Ok(pods) = «pods» else",
        wrong: "pods.map(|_| &[] as &[Pod])",
    },
    Flaw {
        name: "DELETE without preconditions",
        file: "release.rs",
        find: "Action::DeleteHostPort { spot, uid, version }",
        wrong: "Action::DeleteHostPort { spot, uid: Uid::default(), version: crate::seen::Version(0) }",
    },
    Flaw {
        name: "compare-and-swap to Released without resourceVersion",
        file: "release.rs",
        find: "Action::PatchHostPort { spot, uid, version, change }",
        wrong: "Action::PatchHostPort { spot, uid: Uid::default(), version: crate::seen::Version(0), change }",
    },
    Flaw {
        name: "compare-and-swap to Bound without resourceVersion",
        file: "binding.rs",
        find: "version: «hostport.version», change",
        wrong: "crate::seen::Version(0)",
    },
    Flaw {
        name: "status patch without resourceVersion",
        file: "binding.rs",
        find: "version: «bind.version», status",
        wrong: "crate::seen::Version(0)",
    },
    Flaw {
        name: "no uid compare when a claim is found under its name",
        file: "release.rs",
        find: "match claim.filter(|claim| «claim.uid == *uid»)",
        wrong: "true",
    },
    Flaw {
        name: "re-bind without the live read of the claim (C1)",
        file: "binding.rs",
        find: "_ if «bind.before.get(usize::from(bind.ours)) != Some(&version)» =>",
        wrong: "false",
    },
    Flaw {
        name: "the claim read before the HostPort was (C1)",
        file: "binding.rs",
        find: "_ if «bind.before.get(usize::from(bind.ours)) != Some(&version)» =>",
        wrong: "bind.before.is_empty()",
    },
    Flaw {
        name: "handed over though the former claim was not read",
        file: "binding.rs",
        find: "Member::Handed(former) if «bind.former_left.as_ref() != Some(&former.uid)» =>",
        wrong: "false",
    },
    Flaw {
        name: "a member of another block counts (C6)",
        file: "binding.rs",
        find: "hostport.is_held_by(&self.uid) && «hostport.first() == self.run.first»",
        wrong: "true",
    },
    Flaw {
        name: "members are not confirmed after a newer read of the claim (C6)",
        file: "binding.rs",
        find: "(bind.version, bind.ours) = (claim.version, «0»);",
        wrong: "bind.ours",
    },
    Flaw {
        name: "an undone block is freed while a status may name it (C6)",
        file: "release.rs",
        find: "self.void_status(hostport, claim)",
        wrong: "{ let namespace = claim.key.namespace.clone(); self.list_pods(hostport, namespace) }",
    },
    Flaw {
        name: "a claim that is being deleted counts as gone",
        file: "release.rs",
        find: "match claim.filter(|claim| «claim.uid == *uid»)",
        wrong: "claim.uid == *uid && !claim.deleting",
    },
    Flaw {
        name: "Lost from the cache (C2)",
        file: "claims.rs",
        find: "(Some(spot), _) if «claim.phase == ClaimPhase::Bound || self.may_come_back(claim)» =>",
        wrong: "if claim.phase == ClaimPhase::Bound
                    && self.known.hostport(spot).is_some_and(|it| !self.may_take(claim, it))
                {
                    let conditions = text::troubled(&Trouble::lost(spot.port()));
                    let class = claim.used_class.clone();
                    let status = self.status(claim, ClaimPhase::Lost, class, claim.run(), conditions);
                    self.write_status(claim, status, None);
                    false
                } else {
                    claim.phase == ClaimPhase::Bound || self.may_come_back(claim)
                }",
    },
    Flaw {
        name: "sighting not bound to a version (C3)",
        file: "release.rs",
        find: "self.sightings.get(&spot).filter(|seen| seen.version == hostport.version)",
        wrong: "self.sightings.get(&spot)",
    },
    Flaw {
        name: "surplus deleted at once (C4)",
        file: "release.rs",
        find: "let change = self.release_of(&hostport, verdict);
                self.swap(hostport, change, Step::Release);",
        wrong: "if verdict == Verdict::Surplus {
                    let (uid, version) = (hostport.uid.clone(), hostport.version);
                    self.spot_ask(hostport, Step::Free, Action::DeleteHostPort { spot, uid, version });
                } else {
                    let change = self.release_of(&hostport, verdict);
                    self.swap(hostport, change, Step::Release);
                }",
    },
    Flaw {
        name: "Released under a living claim stays so (C5)",
        file: "claims.rs",
        find: "«hostport.belongs_to(&claim.uid)» // C5",
        wrong: "false",
    },
    Flaw {
        name: "a number that a living claim is promised is picked (C7)",
        file: "known/claims.rs",
        find: "self.ledger.set_promised(spot, «promised»)",
        wrong: "promised && false",
    },
    Flaw {
        name: "a number that a living claim is promised is free for who wants it (C7)",
        file: "members.rs",
        find: "match (self.not_in_class(class, spot), «self.promised_to_another(claim, spot)») {",
        wrong: "None::<Trouble>",
    },
    Flaw {
        name: "an Available number given away without a LIST (C8)",
        file: "binding.rs",
        find: "Member::Nobodys | Member::Handed(_) if «!bind.pods_seen» =>",
        wrong: "false",
    },
    Flaw {
        name: "only the wall clock counts the rest",
        file: "release.rs",
        find: ".max(«by_own_clock(delay.min(IN_FLIGHT))»)",
        wrong: "Duration::ZERO",
    },
    Flaw {
        name: "only the own clock counts the rest",
        file: "release.rs",
        find: "let left = «by_wall_clock».max(",
        wrong: "Duration::ZERO",
    },
    Flaw {
        name: "a late reply brings a dead claim back",
        file: "known/claims.rs",
        find: "if «self.dead_claims.hold(&claim.uid)» {\n            return",
        wrong: "false",
    },
    Flaw {
        name: "an old sight of a claim replaces a newer one",
        file: "known/claims.rs",
        find: "is_some_and(|known| «known.version >= claim.version»)",
        wrong: "false",
    },
    Flaw {
        name: "another number after a timeout",
        file: "mod.rs",
        find: "return «self.schedule.at(now.mono + pause, Alarm::Again(id))»;",
        wrong: "match self.asked.remove(&id) {
                    Some(Asked { asker: Asker::Claim(key), action: Action::CreateHostPort(new), .. }) => {
                        let job = self.claim_jobs.remove(&key);
                        job.into_iter().for_each(|job| self.end_claim_job(job));
                        self.known.assume(new.spot, new.class, new.key.namespace);
                        self.claims.push(key);
                    }
                    Some(asked) => {
                        self.asked.insert(id, asked);
                        self.schedule.at(now.mono + AGAIN, Alarm::Again(id));
                    }
                    None => {}
                }",
    },
    Flaw {
        name: "nobody wakes those who wait for a number",
        file: "spread.rs",
        find: "self.hungry.push(class);",
        wrong: "drop(class);",
    },
    Flaw {
        name: "a status is written though it reads the same",
        file: "tell.rs",
        find: "status.digest() == claim.status_digest",
        wrong: "false",
    },
    Flaw {
        name: "a slot is freed while more are held than pods live (N1)",
        file: "release.rs",
        find: "false => match «self.who_needs(&hostport, &holder.key, &mut carriers)» {",
        wrong: "if self.known.slots(spot.port()).count() > carriers.by_ref().count() {
                    Need::Nobody
                } else {
                    Need::Later
                }",
    },
    Flaw {
        name: "slots are freed that another process may have decided on (N2)",
        file: "need.rs",
        find: "let is_own = |it: &HostPort| seen(it).is_some_and(|seen| «seen.own»);",
        wrong: "true",
    },
    Flaw {
        name: "a pod whose label was taken off needs no slot",
        file: "need.rs",
        find: "carriers.iter().filter(|pod| «!self.known.is_accounted_for(pod, port)»)",
        wrong: "false",
    },
    Flaw {
        name: "the other form is not read before the status (N3)",
        file: "binding.rs",
        find: "unchecked.filter(|spot| «self.known.may_have_other_form(*spot)»)",
        wrong: "false",
    },
    Flaw {
        name: "a slot is granted beside its number (N3)",
        file: "members.rs",
        find: "if «self.known.other_form_stands(spot)» {\n            return Member::Taken",
        wrong: "false",
    },
    Flaw {
        name: "a number is undone for a slot that is gone (N3)",
        file: "release.rs",
        find: "Step::ReadBeforeRelease if «hopeless.is_some_and(|claim| claim.count == 1)» =>",
        wrong: "false",
    },
    Flaw {
        name: "what a restore undid is believed",
        file: "rewind.rs",
        find: "self.rewound |= «older» ||",
        wrong: "false && older",
    },
    Flaw {
        name: "what a listing shows older is not read",
        file: "mod.rs",
        find: "«self.ask_in_doubt()»;",
        wrong: "()",
    },
];
