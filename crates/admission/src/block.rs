//! A block in a pod: the port's name stands for all of its numbers. The first keeps the name, each of the others is
//! declared beside it without one, and the container listens on the numbers themselves.

use std::collections::BTreeSet;

use crds::Port;

use crate::{
    companion::other,
    edit::Edit,
    mutate::Granted,
    pod::{Place, Pod},
};

/// What makes the entries of all numbers but the first. Those that are there already, from an earlier call, stay;
/// those that a copied pod brought along, for the block that began at `told`, go.
pub(crate) fn edits<'a>(pod: &'a Pod, granted: &Granted<'a>, told: Option<Port>) -> Vec<Edit<'a>> {
    let base = granted.target.place;
    let also = other(base.port.protocol()).filter(|_| granted.target.used.tcp_udp);
    let protocols: Vec<&str> = [base.port.protocol()].into_iter().chain(also.map(|(name, _)| name)).collect();
    let ours = |place: &Place<'_>| {
        place.beside(&base)
            && place.port.name.is_empty()
            && place.port.host_port == place.port.container_port
            && protocols.contains(&place.port.protocol())
    };
    let there: Vec<Place<'a>> = pod.ports().filter(ours).collect();
    let has = |number: i64, protocol: &str| {
        there.iter().any(|place| place.port.host_port == number && place.port.protocol() == protocol)
    };
    let mut edits = Vec::new();
    for number in granted.run.iter().skip(1) {
        for protocol in protocols.iter().filter(|protocol| !has(number.get().into(), protocol)) {
            edits.push(Edit::Member { beside: base, number, protocol: (*protocol).to_owned() });
        }
    }
    let carried: BTreeSet<i64> = there.iter().map(|place| place.port.host_port).collect();
    let former = told.filter(|told| *told != granted.run.first).map(|told| i64::from(told.get()));
    let former =
        former.into_iter().flat_map(|first| (first + 1..).take_while(|number| carried.contains(number)));
    let former: BTreeSet<i64> = former.collect();
    let first = i64::from(granted.run.first.get());
    // An entry of the first number under the other protocol is its companion.
    let stays = |place: &Place<'_>| match place.port.host_port {
        number if number == first => place.port.protocol() != base.port.protocol(),
        number => granted.run.iter().any(|member| i64::from(member.get()) == number),
    };
    let stale = there.into_iter().filter(|place| former.contains(&place.port.host_port) && !stays(place));
    edits.extend(stale.map(|place| Edit::Remove { place }));
    edits
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        annotations::Plan,
        grants::{Asking, settle},
        mutate::{Decision, Draft},
        run::Run,
        standing::Standing,
        testing::port,
        validate,
    };

    /// The pod as it is when claim `rtp` holds these numbers, and what the validation says of it.
    fn with_block(raw: &Value, first: u16, count: u16) -> (Value, Result<(), String>) {
        let pod = Pod::deserialize(raw).unwrap();
        let plan = Plan::of(&pod).unwrap();
        let standings = [("rtp".to_owned(), Standing::Held(Run::new(port(first), count).unwrap()))].into();
        let asking = Asking { namespace: "voice", dry_run: false, retries: false };
        let decision = Draft::new(raw, &pod, &plan).unwrap().decide(&standings, asking);
        let Decision::Allow { pod: mutated, .. } = decision else { panic!("{decision:?}") };
        let grants = settle(&plan, &standings, asking).unwrap();
        let carried = validate::annotated(&Pod::deserialize(&mutated).unwrap(), &plan, &grants);
        (mutated, carried.map_err(|refusal| refusal.to_string()))
    }

    fn sip(source: &str, options: Option<&str>) -> Value {
        let mut pod = json!({
            "metadata": {"name": "sbc-0", "annotations": {"claim.hostport.io/rtp": source}},
            "spec": {"containers": [{"name": "rtp", "ports": [
                {"name": "rtp", "containerPort": 1, "protocol": "UDP"},
                {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
            ]}]},
        });
        if let Some(options) = options {
            pod["metadata"]["annotations"]["options.hostport.io/rtp"] = json!(options);
        }
        pod
    }

    fn ports(pod: &Value) -> Vec<(&str, u64, u64, &str)> {
        let entries = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
        let number = |entry: &Value, field| entry.get(field).and_then(Value::as_u64).unwrap_or_default();
        let one = |entry| (number(entry, "containerPort"), number(entry, "hostPort"));
        entries
            .iter()
            .map(|entry| {
                let (container, host) = one(entry);
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                (name, container, host, entry["protocol"].as_str().unwrap_or("TCP"))
            })
            .collect()
    }

    #[test]
    fn the_name_of_a_port_stands_for_the_whole_block() {
        let (pod, checked) = with_block(&sip("rtp", None), 20000, 3);

        assert_eq!(
            ports(&pod),
            [
                ("rtp", 20000, 20000, "UDP"),
                ("metrics", 9090, 0, "TCP"),
                ("", 20001, 20001, "UDP"),
                ("", 20002, 20002, "UDP"),
            ]
        );
        assert_eq!(pod["metadata"]["annotations"]["port.hostport.io/rtp"], "20000");
        assert_eq!(
            pod["spec"]["containers"][0]["env"],
            json!([{"name": "HOSTPORT_RTP", "value": "20000"}, {"name": "HOSTPORT_RTP_LAST", "value": "20002"}])
        );
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn a_second_call_changes_nothing() {
        for options in [None, Some("TCPUDP")] {
            let (once, _) = with_block(&sip("rtp", options), 20000, 3);

            let (twice, checked) = with_block(&once, 20000, 3);

            assert_eq!(once, twice);
            assert_eq!(checked, Ok(()));
        }
    }

    #[test]
    fn a_copied_pod_sheds_the_block_of_its_origin() {
        let (copied, _) = with_block(&sip("rtp", None), 20000, 3);
        let (fresh, _) = with_block(&sip("rtp", None), 20002, 3);

        let (moved, checked) = with_block(&copied, 20002, 3);

        let sorted = |pod: &Value| {
            let mut ports: Vec<_> = ports(pod).into_iter().map(|(_, _, host, _)| host).collect();
            ports.sort_unstable();
            ports
        };
        assert_eq!(sorted(&moved), sorted(&fresh));
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn both_protocols_are_declared_for_every_number() {
        let (pod, checked) = with_block(&sip("rtp", Some("TCPUDP")), 20000, 2);

        assert_eq!(
            ports(&pod),
            [
                ("rtp", 20000, 20000, "UDP"),
                ("metrics", 9090, 0, "TCP"),
                ("rtp-tcp", 20000, 20000, "TCP"),
                ("", 20001, 20001, "UDP"),
                ("", 20001, 20001, "TCP"),
            ]
        );
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn one_number_of_a_block_is_taken_by_its_place() {
        let (pod, checked) = with_block(&sip("rtp/2", None), 20000, 3);

        assert_eq!(ports(&pod)[0], ("rtp", 1, 20002, "UDP"));
        assert_eq!(ports(&pod).len(), 2);
        assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "HOSTPORT_RTP", "value": "20002"}]));
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn a_place_beyond_the_block_is_refused() {
        let raw = sip("rtp/3", None);
        let pod = Pod::deserialize(&raw).unwrap();
        let plan = Plan::of(&pod).unwrap();
        let standings = [("rtp".to_owned(), Standing::Held(Run::new(port(20000), 3).unwrap()))].into();
        let asking = Asking { namespace: "voice", dry_run: false, retries: false };

        let Decision::Deny(refusal) = Draft::new(&raw, &pod, &plan).unwrap().decide(&standings, asking)
        else {
            panic!("allowed")
        };

        assert_eq!(
            refusal.to_string(),
            "annotation claim.hostport.io/rtp asks for number 3 of claim \"rtp\", which holds 20000-20002; the \
             first is 0. Correct the index, or leave \"/3\" out for all of them."
        );
    }

    #[test]
    fn a_pod_that_lost_a_number_of_its_block_is_refused() {
        let (mut pod, _) = with_block(&sip("rtp", None), 20000, 3);
        pod["spec"]["containers"][0]["ports"].as_array_mut().unwrap().pop();
        let seen = Pod::deserialize(&pod).unwrap();
        let plan = Plan::of(&seen).unwrap();
        let standings = [("rtp".to_owned(), Standing::Held(Run::new(port(20000), 3).unwrap()))].into();
        let asking = Asking { namespace: "voice", dry_run: false, retries: false };
        let grants = settle(&plan, &standings, asking).unwrap();

        let refusal = validate::annotated(&seen, &plan, &grants).unwrap_err().to_string();

        assert!(refusal.contains("does not carry port 20000-20002 of claim \"rtp\""), "{refusal}");
    }
}
