//! TCPUDP: the other protocol under the same number. It is declared beside the port that asks for it, because
//! clients merge ports by number and lose a second one that was written by hand.

use std::collections::BTreeSet;

use crds::Port;

use crate::{
    annotations::Plan,
    mutate::Granted,
    pod::{Place, Pod},
};

/// The longest name that a port can have.
const LONGEST_NAME: usize = 15;

/// The entry that brings the other protocol.
#[derive(Debug)]
pub(crate) enum Companion<'a> {
    /// It is there already, from an earlier call or by the author's hand.
    Existing(Place<'a>),
    /// It is to be added. Without a name if `<name>-udp` is too long or taken: a second port of one name would
    /// make the pod ambiguous to the next call, a Service finds the port by number as well.
    New { name: Option<String>, protocol: &'static str },
}

/// The companions of all ports that ask for one; of a block, that of its first number.
pub(crate) fn all<'a, 'b>(
    pod: &'a Pod,
    plan: &Plan,
    granted: &'b [Granted<'a>],
) -> Vec<(&'b Granted<'a>, Companion<'a>)> {
    let mut names: BTreeSet<String> = pod.ports().map(|place| place.port.name.clone()).collect();
    let mut taken: Vec<Place<'a>> = Vec::new();
    let mut companions = Vec::new();
    for one in granted.iter().filter(|one| one.target.used.tcp_udp) {
        let Granted { target, run, listens } = one;
        let Some((protocol, suffix)) = other(target.place.port.protocol()) else { continue };
        let brought = |other: &Granted<'_>| {
            other.target.used.claim == target.used.claim
                && other.run.contains(run.first)
                && other.target.place.port.protocol() == protocol
        };
        if granted.iter().any(brought) {
            continue;
        }
        let free = |place: &Place<'_>| {
            let claimed = plan.uses.iter().any(|used| used.port_name == place.port.name);
            !claimed && !taken.iter().any(|other| other.is(place))
        };
        let companion = match existing(pod, target.place, protocol, run.first, *listens, free) {
            Some(place) => {
                taken.push(place);
                Companion::Existing(place)
            }
            None => {
                let name = format!("{}-{suffix}", target.place.port.name);
                let name = (name.len() <= LONGEST_NAME && names.insert(name.clone())).then_some(name);
                Companion::New { name, protocol }
            }
        };
        companions.push((one, companion));
    }
    companions
}

/// The other one of TCP and UDP, and what its port's name ends in.
pub(crate) fn other(protocol: &str) -> Option<(&'static str, &'static str)> {
    match protocol {
        "TCP" => Some(("UDP", "udp")),
        "UDP" => Some(("TCP", "tcp")),
        _ => None,
    }
}

/// The best entry of the same container for the same socket: one that has the number already (this is the
/// second call), else one that will share the containerPort, else one that shares it now.
fn existing<'a>(
    pod: &'a Pod,
    base: Place<'a>,
    protocol: &str,
    number: Port,
    listens: bool,
    free: impl Fn(&Place<'_>) -> bool,
) -> Option<Place<'a>> {
    let number = i64::from(number.get());
    let before = base.port.container_port;
    let after = if listens { number } else { before };
    let candidates =
        pod.ports().filter(|place| place.beside(&base) && place.port.protocol() == protocol && free(place));
    let rank = |place: &Place<'_>| match place.port.container_port {
        port if port == after && place.port.host_port == number => Some(0),
        port if port == after => Some(1),
        port if port == before => Some(2),
        _ => None,
    };
    let ranked = candidates.filter_map(|place| Some((rank(&place)?, place)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, place)| place)
}
