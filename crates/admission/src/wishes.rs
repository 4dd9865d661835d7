//! Claims that admission is to make: what the annotations `class.`, `count.` and `hostport.io/enabled` ask for.
//! Pure; `making` makes them.

use std::collections::BTreeMap;

use crds::{
    Port,
    names::{
        ANNOTATION_ALLOCATED, ANNOTATION_BASE_PORT, ANNOTATION_ENABLED, ANNOTATION_ENABLED_CLASS,
        ANNOTATION_ENABLED_OWN, ANNOTATION_OWN, ANNOTATION_STRATEGY, ANNOTATION_WHEN_DELETED,
        ANNOTATION_WHEN_SCALED, is_object_name,
    },
};

use crate::{
    annotations::{Plan, Use},
    identity::Identity,
    pod::{List, Owner, Pod},
    refusal::{Fleet, Refusal},
};

/// Where the ports of `hostport.io/enabled` begin if nothing else is said.
const BASE_PORT: u16 = 30558;

/// A claim that is to be there, and is made if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Make {
    /// The annotation that asks for it.
    pub(crate) key: String,
    /// Its name; until it has one, the annotation that is to tell it.
    pub(crate) claim: String,
    /// `None`: the default class.
    pub(crate) class: Option<String>,
    pub(crate) count: u16,
    /// The number that it would rather begin with than any other.
    pub(crate) preferred: Option<Port>,
    pub(crate) kind: Kind,
}

/// What becomes of a claim that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is one pod's alone; this annotation tells the pod its name.
    ForPod { told_by: String },
    /// It has a name, and stays.
    ByName {
        /// But goes with this StatefulSet.
        deleted_with: Option<Owner>,
        /// But goes when this StatefulSet no longer wants the pod of this ordinal.
        scaled_with: Option<(Owner, u32)>,
    },
}

impl Make {
    /// A claim for one pod alone that has not got a name yet: nothing of it can be read.
    pub(crate) fn is_unnamed(&self) -> bool {
        matches!(&self.kind, Kind::ForPod { told_by } if *told_by == self.claim)
    }
}

/// What the annotations say of one port besides its claim.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) class: Option<(&'a str, &'a str)>,
    pub(crate) count: Option<(&'a str, &'a str)>,
}

impl Plan {
    /// `class.` beside `claim.`, or alone.
    pub(crate) fn add_makes(
        &mut self,
        asks: BTreeMap<&str, Ask<'_>>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        for (name, Ask { class, count }) in asks {
            let Some((key, class)) = class else {
                let key = count.map(|(key, _)| key.to_owned()).unwrap_or_default();
                return Err(Fleet::Alone { key, beside: format!("class.hostport.io/{name}") }.into());
            };
            let count = match count {
                None => 1,
                Some((key, value)) => number(key, value, 1000, "a number from 1 to 1000")?,
            };
            let class = Some(class.to_owned()).filter(|class| !class.is_empty());
            if let Some(class) = class.as_ref().filter(|class| !is_object_name(class)) {
                let value = Fleet::Value {
                    key: key.to_owned(),
                    value: class.clone(),
                    expected: "the name of a HostPortClass",
                };
                return Err(value.into());
            }
            let make = |claim: String, kind| Make {
                key: key.to_owned(),
                claim,
                class: class.clone(),
                count,
                preferred: None,
                kind,
            };
            let named = self.uses.iter().find(|used| used.port_name == name).map(|used| used.claim.clone());
            let Some(claim) = named else {
                let told_by = format!("{ANNOTATION_OWN}{name}");
                let claim = own(annotations, &told_by);
                self.uses.push(Use::of(key, name, claim.clone(), None));
                self.makes.push(make(claim, Kind::ForPod { told_by }));
                continue;
            };
            let made = make(claim, Kind::ByName { deleted_with: None, scaled_with: None });
            match self.makes.iter().find(|other| other.claim == made.claim) {
                None => self.makes.push(made),
                Some(other) if (&other.class, other.count) == (&made.class, made.count) => {}
                Some(other) => {
                    let (first, second) = (other.key.clone(), made.key);
                    return Err(Fleet::TwoWays { claim: made.claim, first, second }.into());
                }
            }
        }
        Ok(())
    }

    /// `hostport.io/enabled`: one claim with a number for each named port that no other annotation is for.
    pub(crate) fn add_enabled(&mut self, pod: &Pod) -> Result<(), Refusal> {
        let annotations = &pod.metadata.annotations;
        let get = |key: &str| annotations.get(key).map(String::as_str);
        match get(ANNOTATION_ENABLED) {
            Some("true") => {}
            Some("false") => return Ok(()),
            Some(value) => return Err(wrong(ANNOTATION_ENABLED, value, "\"true\"")),
            None => {
                let beside = [ANNOTATION_BASE_PORT, ANNOTATION_STRATEGY, ANNOTATION_ENABLED_CLASS];
                return match beside.into_iter().find(|key| annotations.contains_key(*key)) {
                    None => Ok(()),
                    Some(key) => {
                        let beside = format!("{ANNOTATION_ENABLED}: \"true\"");
                        Err(Fleet::Alone { key: key.to_owned(), beside }.into())
                    }
                };
            }
        }
        let names = self.enabled_ports(pod)?;
        let count = u16::try_from(names.len()).unwrap_or(u16::MAX);
        if count == 0 {
            return Ok(()); // Each port has an annotation of its own.
        }
        let class = get(ANNOTATION_ENABLED_CLASS).filter(|class| !class.is_empty());
        if let Some(class) = class.filter(|class| !is_object_name(class)) {
            return Err(wrong(ANNOTATION_ENABLED_CLASS, class, "the name of a HostPortClass"));
        }
        let identity = Identity::of(pod);
        let base = match get(ANNOTATION_BASE_PORT) {
            None => BASE_PORT,
            Some(value) => number(ANNOTATION_BASE_PORT, value, u16::MAX, "a port number")?,
        };
        let preferred = match get(ANNOTATION_STRATEGY) {
            None | Some("Sequential") => {
                let first =
                    u64::from(base) + u64::from(identity.index.unwrap_or_default()) * u64::from(count);
                u16::try_from(first).ok().and_then(Port::new)
            }
            Some("Random") => None,
            Some(value) => return Err(wrong(ANNOTATION_STRATEGY, value, "Sequential or Random")),
        };
        let set = pod.controller().filter(|owner| owner.is_stateful_set());
        let (claim, kind) = match (set, identity) {
            // The pod comes again under its name: so does its claim, until nobody wants that pod any more.
            (Some(set), Identity { name: Some(name), index: Some(index) }) => {
                let (deleted_with, scaled_with) = (Some(set.clone()), Some((set.clone(), index)));
                let claim = format!("{name}-ports");
                if !is_object_name(&claim) {
                    return Err(wrong(
                        ANNOTATION_ENABLED,
                        &claim,
                        "the name of a claim: the pod's name is too long",
                    ));
                }
                (claim, Kind::ByName { deleted_with, scaled_with })
            }
            _ => {
                let told_by = ANNOTATION_ENABLED_OWN.to_owned();
                (own(annotations, &told_by), Kind::ForPod { told_by })
            }
        };
        for (index, name) in (0..).zip(names) {
            let mut used = Use::of(ANNOTATION_ENABLED, name, claim.clone(), Some(index));
            used.allocated = true;
            self.uses.push(used);
        }
        let (key, class) = (ANNOTATION_ENABLED.to_owned(), class.map(str::to_owned));
        self.makes.push(Make { key, claim, class, count, preferred, kind });
        Ok(())
    }

    /// The names of the ports that `enabled` is for, in their order in the pod. Once they were allocated these stay
    /// those: what other webhooks add later is none of them.
    fn enabled_ports<'a>(&self, pod: &'a Pod) -> Result<Vec<&'a str>, Refusal> {
        let annotations = &pod.metadata.annotations;
        let allocated = |name: &str| annotations.contains_key(&format!("{ANNOTATION_ALLOCATED}{name}"));
        let others = |name: &str| self.uses.iter().any(|used| used.port_name == name);
        let ports: Vec<_> = pod.ports().filter(|place| place.list == List::App).collect();
        let again = ports.iter().any(|place| allocated(&place.port.name));
        let mut names = Vec::new();
        for place in &ports {
            match place.port.name.as_str() {
                name if again && !allocated(name) => {}
                "" => {
                    return Err(Fleet::NamelessPort { container: place.container.name.clone() }.into());
                }
                name if others(name) => {}
                name => names.push(name),
            }
        }
        if ports.is_empty() { Err(Fleet::NoPorts.into()) } else { Ok(names) }
    }

    /// Whether claims by name go with their StatefulSet, or with a place in it: as persistentVolumeClaimRetentionPolicy.
    pub(crate) fn set_retention(&mut self, pod: &Pod) -> Result<(), Refusal> {
        let policy = |key: &str| match pod.metadata.annotations.get(key).map(String::as_str) {
            None => Ok(None),
            Some("Delete") => Ok(Some(true)),
            Some("Retain") => Ok(Some(false)),
            Some(value) => Err(wrong(key, value, "Retain or Delete")),
        };
        let (deleted, scaled) = (policy(ANNOTATION_WHEN_DELETED)?, policy(ANNOTATION_WHEN_SCALED)?);
        let keys = [(deleted, ANNOTATION_WHEN_DELETED), (scaled, ANNOTATION_WHEN_SCALED)];
        let Some((_, key)) = keys.into_iter().find(|(policy, _)| policy.is_some()) else { return Ok(()) };
        let set = pod.controller().filter(|owner| owner.is_stateful_set());
        let (Some(set), Some(index)) = (set, Identity::of(pod).index) else {
            return Err(Fleet::OnlyOfStatefulSets { key: key.to_owned() }.into());
        };
        let mut any = false;
        for make in &mut self.makes {
            if let Kind::ByName { deleted_with, scaled_with } = &mut make.kind {
                any = true;
                if let Some(delete) = deleted {
                    *deleted_with = delete.then(|| set.clone());
                }
                if let Some(delete) = scaled {
                    *scaled_with = delete.then(|| (set.clone(), index));
                }
            }
        }
        match any {
            true => Ok(()),
            false => {
                let beside = "claim.hostport.io/<port-name> with class.hostport.io/<port-name>".to_owned();
                Err(Fleet::Alone { key: key.to_owned(), beside }.into())
            }
        }
    }

    /// A claim of one pod alone has got its name.
    pub(crate) fn name(&mut self, told_by: &str, claim: &str) {
        for make in &mut self.makes {
            let Kind::ForPod { told_by: key } = &make.kind else { continue };
            if key == told_by {
                let before = std::mem::replace(&mut make.claim, claim.to_owned());
                let uses = self.uses.iter_mut().filter(|used| used.claim == before);
                uses.for_each(|used| claim.clone_into(&mut used.claim));
            }
        }
    }
}

/// The name that an earlier call gave the claim, or the placeholder of one.
fn own(annotations: &BTreeMap<String, String>, told_by: &str) -> String {
    let told = annotations.get(told_by).filter(|name| is_object_name(name));
    told.cloned().unwrap_or_else(|| told_by.to_owned())
}

fn number(key: &str, value: &str, most: u16, expected: &'static str) -> Result<u16, Refusal> {
    let number = value.parse::<u16>().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| wrong(key, value, expected))
}

fn wrong(key: &str, value: &str, expected: &'static str) -> Refusal {
    Fleet::Value { key: key.to_owned(), value: value.to_owned(), expected }.into()
}

#[cfg(test)]
#[path = "wishes_tests.rs"]
mod tests;
