//! What the definitions accept and refuse, and in which words: one table, put to kube's CEL evaluator (`tests/cel.rs`)
//! and to a real API server (`e2e/tests/e2e/api/rules.rs`).

use serde_json::{Value, json};

/// An object that is created, or changed.
pub struct Case {
    /// What the case proves, as a sentence.
    pub claim: &'static str,
    pub kind: &'static str,
    /// The object as it is stored, if this is about a change.
    pub before: Option<Value>,
    pub object: Value,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// By a CEL rule, with these words.
    Rule(&'static str),
    /// By a bound of the schema, with these words. The API server alone judges these.
    Schema(&'static str),
}

use Verdict::{Accepted, Rule, Schema};

const IMMUTABLE: Verdict = Rule("spec cannot be changed: a claim keeps its port for life");
const NAME: Verdict = Rule("the name of a HostPort is its port number");
const GRANT: Verdict = Rule("port and class of a HostPort cannot be changed");
const CLEARED: Verdict = Rule("a claimRef can be cleared only while the HostPort is Released");
const HOLDER: Verdict = Rule("a granted HostPort stays in its namespace");
const MEMBER: Verdict = Rule("block.first + block.index is the port number");
const SINGLE: Verdict = Rule("hostPortName names a single HostPort");
const HOSTPORT_NAME: Verdict = Rule("hostPortName is the name of a HostPort");
const DIFFERENT: Verdict = Rule("hostPortName and port name different numbers");
const BEYOND: Verdict = Rule("the block ends above 65535");
const PHASE: Verdict = Rule("phase says what the other fields say");
const ORDER: Verdict = Rule("start must not be above end");
const SCOPE: Verdict = Rule("scope cannot be changed");
const NODES: Verdict = Rule("maxNodes is for scope Node");
const SLOT: Verdict = Rule("a HostPort of scope Node has a slot");
const SINGLE_SLOT: Verdict = Rule("a block is of scope Cluster");
const LONG_NAME: Verdict = Rule("the name of a class has at most 63 characters");
const LONG: Verdict = Rule("a port rests for at most 24h");

pub fn all() -> Vec<Case> {
    [classes(), limits(), delays(), claims(), blocks(), hostports(), grants(), phases(), scopes(), slots()]
        .into_iter()
        .flatten()
        .collect()
}

fn classes() -> Vec<Case> {
    let class = |claim, spec, verdict| create(claim, "HostPortClass", json!({ "spec": spec }), verdict);
    let pools = |claim, pools, verdict| class(claim, json!({ "pools": pools }), verdict);
    let exclude =
        |claim, one: Value, verdict| class(claim, json!({"pools": [range()], "exclude": [one]}), verdict);
    let below = Schema("should be greater than or equal to 1");
    let above = Schema("should be less than or equal to 65535");
    vec![
        pools("a class needs one pool and nothing else", json!([range()]), Accepted),
        create("a class's name is as long as a label", "HostPortClass", called(63), Accepted),
        create("a class's name is no longer than a label", "HostPortClass", called(64), LONG_NAME),
        pools("a pool may be one number", json!([{"start": 65535, "end": 65535}]), Accepted),
        pools("a pool is not reversed", json!([range(), {"start": 9001, "end": 9000}]), ORDER),
        pools("a pool does not begin at 0", json!([{"start": 0, "end": 9000}]), below),
        pools("a pool does not end at 65536", json!([{"start": 9000, "end": 65536}]), above),
        pools(
            "a pool is made of numbers",
            json!([{"start": "9000", "end": 9001}]),
            Schema("must be of type integer"),
        ),
        pools("a pool has an end", json!([{"start": 9000}]), Schema("end: Required value")),
        pools("a class has a pool", json!([]), Schema("should have at least 1 items")),
        pools("a class has at most 64 pools", json!(vec![range(); 65]), Schema("must have at most 64 items")),
        class("pools are required", json!({}), Schema("pools: Required value")),
        create("a class has a spec", "HostPortClass", json!({}), Schema("spec: Required value")),
        exclude("one number may be left out", json!({"start": 9005}), Accepted),
        exclude("a range may be left out", json!({"start": 9005, "end": 9006}), Accepted),
        exclude("a range left out is not reversed", json!({"start": 9006, "end": 9005}), ORDER),
        exclude("what is left out does not begin at 0", json!({"start": 0}), below),
        exclude("what is left out does not end at 65536", json!({"start": 1, "end": 65536}), above),
        class(
            "at most 256 ranges are left out",
            json!({"pools": [range()], "exclude": vec![json!({"start": 1}); 257]}),
            Schema("must have at most 256 items"),
        ),
        class(
            "a strategy is a known one",
            json!({"pools": [range()], "strategy": "Lowest"}),
            Schema("supported values"),
        ),
        class(
            "a reclaim policy is a known one",
            json!({"pools": [range()], "reclaimPolicy": "Recycle"}),
            Schema("supported values"),
        ),
        update(
            "pools grow and shrink at any time",
            "HostPortClass",
            json!({"spec": {"pools": [{"start": 9000, "end": 9100}]}}),
            json!({"spec": {"pools": [{"start": 9050, "end": 9200}], "strategy": "Random", "reuseDelay": "2m"}}),
            Accepted,
        ),
    ]
}

/// A class whose name has so many characters.
fn called(length: usize) -> Value {
    json!({"metadata": {"name": "c".repeat(length)}, "spec": {"pools": [range()]}})
}

fn limits() -> Vec<Case> {
    let class = |claim, field: &str, value: Value, verdict| {
        let mut spec = json!({"pools": [range()]});
        spec[field] = value;
        create(claim, "HostPortClass", json!({ "spec": spec }), verdict)
    };
    let least = Schema("should be greater than or equal to 1");
    vec![
        class("a class may admit all namespaces", "namespaceSelector", json!({}), Accepted),
        class(
            "a class may admit namespaces by their labels",
            "namespaceSelector",
            json!({"matchLabels": {"team": "red"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}),
            Accepted,
        ),
        class(
            "an expression of a selector has an operator",
            "namespaceSelector",
            json!({"matchExpressions": [{"key": "tier"}]}),
            Schema("operator: Required value"),
        ),
        class("a class may limit its namespaces", "maxPerNamespace", json!(5), Accepted),
        class("a limit of nothing is no limit", "maxPerNamespace", json!(0), least),
        class("a class may give blocks of 1000", "maxCount", json!(1000), Accepted),
        class("a class gives at least one", "maxCount", json!(0), least),
        class(
            "a class gives no more than 1000",
            "maxCount",
            json!(1001),
            Schema("less than or equal to 1000"),
        ),
    ]
}

fn delays() -> Vec<Case> {
    let delay = |claim, text: &str, verdict| {
        create(claim, "HostPortClass", json!({"spec": {"pools": [range()], "reuseDelay": text}}), verdict)
    };
    let shape = Schema("should match");
    vec![
        delay("a delay may be nothing", "0s", Accepted),
        delay("a delay is written as Go does", "1h2m3.5s", Accepted),
        delay("a delay may be a day", "24h", Accepted),
        delay("a delay is at most a day", "24h1s", LONG),
        delay("a delay has a unit", "60", shape),
        delay("a delay is not negative", "-1s", shape),
        delay("a delay is not empty", "", shape),
        delay("a delay in days is not Go's", "1d", shape),
        delay("a delay has at most 32 characters", "000000000000000000000000000000060s", Schema("32")),
        delay(
            "a delay beyond all measure is refused, not misread",
            "99999999999999999999h",
            Schema("reuseDelay"),
        ),
    ]
}

fn claims() -> Vec<Case> {
    let claim = |claim, spec, verdict| create(claim, "HostPortClaim", json!({ "spec": spec }), verdict);
    let change = |claim, before, after, verdict| {
        update(claim, "HostPortClaim", json!({ "spec": before }), json!({ "spec": after }), verdict)
    };
    let full = || json!({"hostPortClassName": "games", "port": 9000});
    vec![
        claim("a claim may leave everything to the defaults", json!({}), Accepted),
        claim("a claim may ask for no class", json!({"hostPortClassName": ""}), Accepted),
        claim("a claim may ask for the last number", json!({"port": 65535}), Accepted),
        claim(
            "a claim does not ask for 0",
            json!({"port": 0}),
            Schema("should be greater than or equal to 1"),
        ),
        claim(
            "a claim does not ask for 65536",
            json!({"port": 65536}),
            Schema("should be less than or equal to 65535"),
        ),
        claim("a claim asks for a number", json!({"port": "9000"}), Schema("must be of type integer")),
        claim(
            "a class has a name of at most 253 characters",
            json!({"hostPortClassName": "a".repeat(254)}),
            Schema("253"),
        ),
        create("a claim has a spec, be it empty", "HostPortClaim", json!({}), Schema("spec: Required value")),
        change("a spec may be written again", full(), full(), Accepted),
        change(
            "a null is the same as nothing",
            json!({"port": 9000}),
            json!({"port": 9000, "hostPortClassName": null}),
            Accepted,
        ),
        change(
            "a wanted number does not change",
            full(),
            json!({"hostPortClassName": "games", "port": 9001}),
            IMMUTABLE,
        ),
        change(
            "a class does not change",
            full(),
            json!({"hostPortClassName": "media", "port": 9000}),
            IMMUTABLE,
        ),
        change("a wanted number is not added", json!({"hostPortClassName": "games"}), full(), IMMUTABLE),
        change("a class is not added", json!({}), json!({"hostPortClassName": "games"}), IMMUTABLE),
        change("a wanted number is not removed", full(), json!({"hostPortClassName": "games"}), IMMUTABLE),
        change("a class is not removed", full(), json!({"port": 9000}), IMMUTABLE),
        change(
            "a wanted number does not become null",
            full(),
            json!({"hostPortClassName": "games", "port": null}),
            IMMUTABLE,
        ),
        change(
            "a class does not become null",
            full(),
            json!({"hostPortClassName": null, "port": 9000}),
            IMMUTABLE,
        ),
    ]
}

fn blocks() -> Vec<Case> {
    let claim = |claim, spec, verdict| create(claim, "HostPortClaim", json!({ "spec": spec }), verdict);
    let change = |claim, before, after, verdict| {
        update(claim, "HostPortClaim", json!({ "spec": before }), json!({ "spec": after }), verdict)
    };
    vec![
        claim("a claim may ask for a block", json!({"count": 1000}), Accepted),
        claim(
            "a block has a number at least",
            json!({"count": 0}),
            Schema("should be greater than or equal to 1"),
        ),
        claim("a block has at most 1000", json!({"count": 1001}), Schema("less than or equal to 1000")),
        claim("a block may end at 65535", json!({"port": 65535, "count": 1}), Accepted),
        claim("a block does not end at 65536", json!({"port": 65535, "count": 2}), BEYOND),
        claim("a claim may name a HostPort", json!({"hostPortName": "9000"}), Accepted),
        claim(
            "a claim may name a HostPort and its number",
            json!({"hostPortName": "9000", "port": 9000}),
            Accepted,
        ),
        claim(
            "a HostPort and a number do not differ",
            json!({"hostPortName": "9000", "port": 9001}),
            DIFFERENT,
        ),
        claim("a named HostPort is not a block", json!({"hostPortName": "9000", "count": 2}), SINGLE),
        claim("a HostPort has a name", json!({"hostPortName": ""}), Schema("at least 1 chars long")),
        change("a count of one is the same as none", json!({}), json!({"count": 1}), Accepted),
        change("a count does not change", json!({"count": 2}), json!({"count": 3}), IMMUTABLE),
        change("a count is not added", json!({}), json!({"count": 2}), IMMUTABLE),
        change("a HostPort's name is not added", json!({}), json!({"hostPortName": "9000"}), IMMUTABLE),
    ]
}

fn hostports() -> Vec<Case> {
    let named = |claim, name: &str, port: u16, verdict| {
        create(
            claim,
            "HostPort",
            hostport(name, json!({"port": port, "class": "games", "phase": "Available"})),
            verdict,
        )
    };
    let with = |claim, spec: Value, verdict| create(claim, "HostPort", hostport("9000", spec), verdict);
    let below = Schema("should be greater than or equal to 1");
    vec![
        named("a HostPort's name is its number", "9000", 9000, Accepted),
        named("a name has no leading zero", "09000", 9000, NAME),
        named("a name is not a word", "foo", 9000, NAME),
        named("a name is not another number", "9001", 9000, NAME),
        with("phase is Available unless said", json!({"port": 9000, "class": "games"}), Accepted),
        with("a number is not 0", json!({"port": 0, "class": "games"}), below),
        with(
            "a number is not 65536",
            json!({"port": 65536, "class": "games"}),
            Schema("less than or equal to 65535"),
        ),
        with(
            "a number is a number",
            json!({"port": "9000", "class": "games"}),
            Schema("must be of type integer"),
        ),
        with("a HostPort has a number", json!({"class": "games"}), Schema("port: Required value")),
        with("a HostPort has a class", json!({"port": 9000}), Schema("class: Required value")),
        with("a class has a name", json!({"port": 9000, "class": ""}), Schema("at least 1 chars long")),
        with(
            "a phase is a known one",
            json!({"port": 9000, "class": "games", "phase": "Free"}),
            Schema("supported values"),
        ),
        with(
            "heldBy is a sentence",
            json!({"port": 9000, "class": "games", "heldBy": "x".repeat(601)}),
            Schema("600"),
        ),
        with("a rest is at most a day", json!({"port": 9000, "class": "games", "reuseDelay": "25h"}), LONG),
        with("a port may be kept for a claim that does not exist yet", kept(), Accepted),
        with("a port that is kept is not Bound", phase(kept(), "Bound"), PHASE),
        with("a member of a block is at its place", member(8999, 1), Accepted),
        with("a member of a block is not beside its place", member(8999, 2), MEMBER),
        create(
            "a HostPort has a spec",
            "HostPort",
            json!({"metadata": {"name": "9000"}}),
            Schema("spec: Required value"),
        ),
    ]
}

fn grants() -> Vec<Case> {
    let change = |claim, before, after, verdict| {
        update(claim, "HostPort", hostport("9000", before), hostport("9000", after), verdict)
    };
    let available = || json!({"port": 9000, "class": "games", "phase": "Available"});
    let other_class = json!({"port": 9000, "class": "media", "phase": "Available"});
    let other_number = json!({"port": 9001, "class": "games", "phase": "Available"});
    let cleared = json!({"port": 9000, "class": "games", "phase": "Released"});
    let mut elsewhere = kept();
    elsewhere["claimRef"]["namespace"] = json!("market");
    let kept_by_phase = |word| phase(kept(), word);
    let of = |namespace, name, uid| {
        let mut spec = bound();
        spec["claimRef"] = json!({"namespace": namespace, "name": name, "uid": uid});
        spec
    };
    vec![
        change("an Available port may be bound", available(), bound(), Accepted),
        change("a Bound port may be released", bound(), released(), Accepted),
        change("a Released port may be bound again", released(), bound(), Accepted),
        change("a Released port's claimRef may be cleared", released(), cleared, Accepted),
        change("a Released port may be made Available", released(), available(), Accepted),
        change("a Bound port's claimRef is not cleared", bound(), available(), CLEARED),
        change("a claim of the same name may take its port back", bound(), of("shop", "web", "u2"), Accepted),
        change(
            "a claim of the same namespace may take a port over",
            bound(),
            of("shop", "other", "u3"),
            Accepted,
        ),
        change("a holder's uid does not vanish", bound(), kept_by_phase("Bound"), PHASE),
        change("a kept port may be bound", kept(), bound(), Accepted),
        change("a kept port may be kept for another", kept(), elsewhere, Accepted),
        change("a kept port may be given up", kept(), available(), Accepted),
        change("a port does not go to another namespace", bound(), of("market", "web", "u1"), HOLDER),
        change("a class does not change", available(), other_class, GRANT),
        change("a number does not change, even with the name staying", available(), other_number, NAME),
    ]
}

fn phases() -> Vec<Case> {
    let with = |claim, spec, verdict| create(claim, "HostPort", hostport("9000", spec), verdict);
    vec![
        with("claimRef makes it Bound", bound(), Accepted),
        with("claimRef and releasedAt make it Released", released(), Accepted),
        with(
            "it is not Bound without claimRef",
            json!({"port": 9000, "class": "games", "phase": "Bound"}),
            PHASE,
        ),
        with("it is not Available with claimRef", phase(bound(), "Available"), PHASE),
        with("it is not Released without releasedAt", phase(bound(), "Released"), PHASE),
        with("it is not Bound with releasedAt", phase(released(), "Bound"), PHASE),
        update(
            "a change keeps the phase in step",
            "HostPort",
            hostport("9000", bound()),
            hostport("9000", phase(released(), "Bound")),
            PHASE,
        ),
    ]
}

fn scopes() -> Vec<Case> {
    let class = |mut spec: Value| {
        spec["pools"] = json!([range()]);
        json!({ "spec": spec })
    };
    let with = |claim, spec, verdict| create(claim, "HostPortClass", class(spec), verdict);
    let change =
        |claim, before, after, verdict| update(claim, "HostPortClass", class(before), class(after), verdict);
    let claim = |claim, spec, verdict| create(claim, "HostPortClaim", json!({ "spec": spec }), verdict);
    let below = Schema("should be greater than or equal to 1");
    vec![
        with("a class may be of scope Node", json!({"scope": "Node"}), Accepted),
        with("a class of scope Node may be limited", json!({"scope": "Node", "maxNodes": 100}), Accepted),
        with("a scope is a known one", json!({"scope": "Zone"}), Schema("supported values")),
        with("maxNodes is nothing for scope Cluster", json!({"maxNodes": 100}), NODES),
        with("maxNodes is one at least", json!({"scope": "Node", "maxNodes": 0}), below),
        change(
            "maxNodes may change",
            json!({"scope": "Node"}),
            json!({"scope": "Node", "maxNodes": 1}),
            Accepted,
        ),
        change("a scope does not change", json!({}), json!({"scope": "Node"}), SCOPE),
        change("a scope does not change back", json!({"scope": "Node"}), json!({}), SCOPE),
        claim("a claim may name a slot", json!({"hostPortName": "9000-3"}), Accepted),
        claim("a claim may name the last port", json!({"hostPortName": "65535-0"}), Accepted),
        claim("a word is no HostPort", json!({"hostPortName": "echo"}), HOSTPORT_NAME),
        claim("a HostPort's name is a port", json!({"hostPortName": "70000"}), HOSTPORT_NAME),
        claim("a HostPort's name has no leading zero", json!({"hostPortName": "09300"}), HOSTPORT_NAME),
        claim("a slot has no leading zero", json!({"hostPortName": "9000-03"}), HOSTPORT_NAME),
        claim("a slot is a number", json!({"hostPortName": "9000-"}), HOSTPORT_NAME),
        claim(
            "a claim may name a slot and its number",
            json!({"hostPortName": "9000-3", "port": 9000}),
            Accepted,
        ),
        claim("a slot and a number do not differ", json!({"hostPortName": "9000-3", "port": 900}), DIFFERENT),
    ]
}

fn slots() -> Vec<Case> {
    let slot = |slot: u32| json!({"port": 9000, "class": "games", "scope": "Node", "slot": slot});
    let named = |claim, name: &str, spec, verdict| create(claim, "HostPort", hostport(name, spec), verdict);
    let change = |claim, before, after, verdict| {
        update(claim, "HostPort", hostport("9000-3", before), hostport("9000-3", after), verdict)
    };
    let mut held = slot(3);
    held["phase"] = json!("Bound");
    held["claimRef"] = json!({"namespace": "shop", "name": "web", "uid": "u1"});
    let mut block = held.clone();
    block["block"] = json!({"first": 9000, "index": 0});
    let mut other_class = slot(3);
    other_class["class"] = json!("media");
    vec![
        named("a slot's name is its number and its slot", "9000-0", slot(0), Accepted),
        named("a slot's name has no leading zeros", "9000-00", slot(0), NAME),
        named("a slot's name is not another slot", "9000-1", slot(0), NAME),
        named("a slot's name is not the number alone", "9000", slot(0), NAME),
        named("a number's name has no slot", "9000-0", json!({"port": 9000, "class": "games"}), NAME),
        named("a slot is of scope Node", "9000-0", json!({"port": 9000, "class": "games", "slot": 0}), SLOT),
        named(
            "a HostPort of scope Node has a slot",
            "9000",
            json!({"port": 9000, "class": "games", "scope": "Node"}),
            SLOT,
        ),
        named(
            "a slot ends at 999999",
            "9000-1000000",
            slot(1_000_000),
            Schema("less than or equal to 999999"),
        ),
        named("a slot is in no block", "9000-3", block, SINGLE_SLOT),
        change("a slot may be bound", slot(3), held, Accepted),
        change("a slot's class does not change", slot(3), other_class, GRANT),
        change("a slot does not change, even with the name staying", slot(3), slot(4), NAME),
    ]
}

fn range() -> Value {
    json!({"start": 9000, "end": 9010})
}

fn bound() -> Value {
    let claim = json!({"namespace": "shop", "name": "web", "uid": "u1"});
    json!({"port": 9000, "class": "games", "phase": "Bound", "reclaimPolicy": "Retain", "claimRef": claim})
}

/// Kept for a claim of that name.
fn kept() -> Value {
    let claim = json!({"namespace": "shop", "name": "web"});
    json!({"port": 9000, "class": "games", "phase": "Available", "claimRef": claim})
}

fn member(first: u16, index: u16) -> Value {
    let mut spec = bound();
    spec["block"] = json!({"first": first, "index": index});
    spec
}

fn phase(mut spec: Value, phase: &str) -> Value {
    spec["phase"] = json!(phase);
    spec
}

fn released() -> Value {
    let mut spec = bound();
    spec["phase"] = json!("Released");
    spec["releasedAt"] = json!("2026-11-21T02:40:10Z");
    spec
}

#[allow(clippy::needless_pass_by_value, reason = "json!(…) is written at each call")]
fn hostport(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

fn create(claim: &'static str, kind: &'static str, object: Value, verdict: Verdict) -> Case {
    Case { claim, kind, before: None, object: named(object), verdict }
}

fn update(claim: &'static str, kind: &'static str, before: Value, object: Value, verdict: Verdict) -> Case {
    Case { claim, kind, before: Some(named(before)), object: named(object), verdict }
}

fn named(mut object: Value) -> Value {
    if object.get("metadata").is_none() {
        object["metadata"] = json!({"name": "web"});
    }
    object
}
