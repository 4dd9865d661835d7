//! What a pod's annotations are read as, and in which words they are refused.

use super::*;

fn parse(annotations: &[(&str, &str)]) -> Result<Plan, String> {
    let owned = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let annotations: BTreeMap<_, _> = owned.collect();
    let pod = serde_json::json!({ "metadata": { "annotations": annotations } });
    let pod = <Pod as serde::Deserialize>::deserialize(&pod).unwrap();
    Plan::of(&pod).map_err(|refusal| refusal.to_string())
}

fn refusal(annotations: &[(&str, &str)]) -> String {
    parse(annotations).unwrap_err()
}

#[test]
fn claims_options_and_refs_become_a_plan() {
    let plan = parse(&[
        ("claim.hostport.io/web", "shop-web"),
        ("options.hostport.io/web", "Passthrough, TCPUDP"),
        ("ref.hostport.io/PEER", "shop-peer"),
        ("port.hostport.io/web", "9000"),
        ("example.com/other", "x"),
    ])
    .unwrap();

    let mut web = Use::of("claim.hostport.io/web", "web", "shop-web".into(), None);
    (web.passthrough, web.tcp_udp) = (true, true);
    assert_eq!(plan.uses, [web]);
    assert_eq!(plan.refs, [Ref { name: "PEER".into(), claim: "shop-peer".into(), index: None }]);
}

#[test]
fn several_port_names_may_share_a_claim() {
    let plan = parse(&[("claim.hostport.io/sip", "s"), ("claim.hostport.io/sip-udp", "s")]).unwrap();

    assert_eq!((plan.uses.len(), plan.claims().len()), (2, 1));
}

#[test]
fn only_our_domain_is_ours() {
    for key in ["hostport.io/enabled", "claim.hostport.io/x", "a.b.hostport.io/x"] {
        assert!(is_ours(key), "{key}");
    }
    for key in ["hostport.io", "myhostport.io/x", "hostport.io.example.com/x", "example.com/hostport.io", ""]
    {
        assert!(!is_ours(key), "{key}");
    }
}

#[test]
fn what_this_version_does_not_support_is_refused_not_ignored() {
    for key in ["hostport.io/enable", "clam.hostport.io/web", "hostportclass.hostport.io/is-default-class"] {
        let said = refusal(&[(key, "x")]);
        assert!(said.contains(key) && said.contains("not supported by this version"), "{said}");
    }
}

#[test]
fn a_typing_error_of_one_letter_is_told() {
    for (key, known) in [
        ("clam.hostport.io/web", "claim.hostport.io/web"),
        ("optoins.hostport.io/web", "options.hostport.io/web"),
        ("hostport.io/enable", "hostport.io/enabled"),
    ] {
        let said = refusal(&[(key, "x")]);
        assert!(said.contains(&format!("Did you mean {known}? ")), "{said}");
    }
    for key in ["hostport.io/claim", "hostportclass.hostport.io/is-default-class"] {
        let said = refusal(&[(key, "x")]);
        assert!(!said.contains("Did you mean"), "{said}");
    }
}

#[test]
fn a_number_of_a_block_is_named_by_its_place() {
    let plan = parse(&[("claim.hostport.io/web", "rtp/7"), ("ref.hostport.io/PEER", "rtp/0")]).unwrap();

    assert_eq!((&*plan.uses[0].claim, plan.uses[0].index), ("rtp", Some(7)));
    assert_eq!((&*plan.refs[0].claim, plan.refs[0].index), ("rtp", Some(0)));
}

#[test]
fn a_claim_name_that_is_none_is_refused() {
    for name in [
        "",
        "Web",
        "a/../../b",
        "a b",
        "-a",
        "a..b",
        "a?x=1",
        "ä",
        "rtp/07",
        "rtp/+7",
        "rtp/",
        "rtp/x",
        "rtp/1/2",
        "rtp/99999",
        &"a".repeat(254),
    ] {
        let said = refusal(&[("claim.hostport.io/web", name)]);
        assert!(said.contains("is not the name of a HostPortClaim"), "{said}");
        assert!(said.len() < 400, "{said}");
    }
}

#[test]
fn options_are_known_and_belong_to_a_claim() {
    let unknown = refusal(&[("claim.hostport.io/web", "w"), ("options.hostport.io/web", "TCPUDP,Fast")]);
    assert!(unknown.contains("\"Fast\"") && unknown.contains("Passthrough and TCPUDP"), "{unknown}");

    let alone = refusal(&[("options.hostport.io/web", "TCPUDP")]);
    assert!(alone.contains("claim.hostport.io/web"), "{alone}");
}

#[test]
fn a_variable_has_one_source() {
    let said = refusal(&[("claim.hostport.io/web-a", "w"), ("ref.hostport.io/WEB_A", "x")]);

    assert!(said.contains("HOSTPORT_WEB_A"), "{said}");
}

#[test]
fn a_ref_name_that_no_variable_can_have_is_refused() {
    for name in ["", "a=b", "a b", "-a", "a\n"] {
        assert!(parse(&[(&format!("ref.hostport.io/{name}"), "w")]).is_err(), "{name:?} was accepted");
    }
}

#[test]
fn a_pod_that_names_thousands_of_claims_is_refused_at_once() {
    for prefix in ["ref", "claim", "class"] {
        let many: Vec<_> = (0..50_000).map(|n| format!("{prefix}.hostport.io/r{n}")).collect();
        let many: Vec<_> = many.iter().map(|key| (key.as_str(), "one")).collect();
        let begun = std::time::Instant::now();

        let said = refusal(&many);

        assert!(said.contains("128"), "{said}");
        assert!(begun.elapsed().as_secs() < 5, "{prefix}: {:?}", begun.elapsed());
    }
}

#[test]
fn an_annotation_longer_than_any_is_refused_at_once() {
    for prefix in ["clam", "claim", "class", "port"] {
        let key = format!("{prefix}.hostport.io/{}", "x".repeat(500_000));
        let begun = std::time::Instant::now();

        let said = refusal(&[(&key, "one")]);

        assert!(said.contains("at most 63 characters") && said.len() < 400, "{said}");
        assert!(begun.elapsed().as_secs() < 5, "{prefix}: {:?}", begun.elapsed());
    }
}

#[test]
fn only_a_port_number_is_a_hint() {
    let annotations = |value: &str| BTreeMap::from([("port.hostport.io/web".to_owned(), value.to_owned())]);

    assert_eq!(told_before(&annotations("9000"), "web"), Port::new(9000));
    for value in ["0", "70000", "", "x"] {
        assert_eq!(told_before(&annotations(value), "web"), None);
    }
}
