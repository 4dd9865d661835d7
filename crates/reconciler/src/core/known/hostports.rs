//! HostPorts as they are told of, and what the ledger hears of them.

use allocator::{Hold, Spot};
use crds::HostPortPhase;

use super::{Known, Touch};
use crate::{
    action::{Action, ActionId},
    seen::{Change, HostPort, Uid},
};

impl Known {
    pub(super) fn apply_hostport(&mut self, change: Change<HostPort>) {
        match change {
            Change::Listing => self.hostport_list.names.clear(),
            Change::Listed(hostport) => {
                self.hostport_list.names.insert(hostport.spot);
                self.rewound |= self.dead_hostports.was_told(&hostport.uid);
                let older =
                    self.hostports.get(&hostport.spot).is_some_and(|known| known.version > hostport.version);
                if older || self.dead_hostports.hold(&hostport.uid) {
                    self.doubts.push(Action::GetHostPort(hostport.spot));
                }
                self.put_hostport(hostport);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.hostport_list.names);
                let gone = self.hostports.values().filter(|hostport| !names.contains(&hostport.spot));
                let mut gone: Vec<_> = gone.map(|hostport| (hostport.spot, hostport.uid.clone())).collect();
                gone.sort_unstable();
                gone.iter().for_each(|(spot, uid)| self.remove_hostport(*spot, uid));
                self.dead_hostports.tell_all(&names, self.next);
                (self.hostport_list.complete, self.hostport_list.since) = (true, self.next);
            }
            Change::Applied(hostport) => self.put_hostport(hostport),
            Change::Deleted(hostport) => {
                self.remove_hostport(hostport.spot, &hostport.uid);
                self.dead_hostports.tell(hostport.spot, hostport.uid, self.next);
            }
        }
    }

    /// The HostPort as the reply to this request showed it.
    pub(in crate::core) fn learn_hostport(&mut self, hostport: HostPort, asked: ActionId) {
        let known = self.hostports.get(&hostport.spot).is_some_and(|known| known.uid == hostport.uid);
        if known || asked >= self.hostport_list.since {
            self.put_hostport(hostport);
        }
    }

    /// The HostPort as a watch, a read or our own write showed it. An older sight of it changes nothing.
    pub(super) fn put_hostport(&mut self, hostport: HostPort) {
        let spot = hostport.spot;
        if self.dead_hostports.hold(&hostport.uid) {
            return;
        }
        if self.hostports.get(&spot).is_some_and(|known| known.version >= hostport.version) {
            return;
        }
        let before = self.hostports.insert(spot, hostport);
        self.index_hostport(spot, before.as_ref());
    }

    /// This very HostPort is gone, a read or our own DELETE has shown it; what watches still tell of it is old.
    pub(in crate::core) fn bury_hostport(&mut self, spot: Spot, uid: &Uid) {
        if self.hostports.get(&spot).is_some_and(|known| known.uid == *uid) {
            self.dead_hostports.dig(spot, uid.clone(), self.next);
            self.remove_hostport(spot, uid);
        }
    }

    pub(super) fn remove_hostport(&mut self, spot: Spot, uid: &Uid) {
        if self.hostports.get(&spot).is_some_and(|known| known.uid == *uid) {
            let before = self.hostports.remove(&spot);
            self.index_hostport(spot, before.as_ref());
        }
    }

    pub(super) fn index_hostport(&mut self, spot: Spot, before: Option<&HostPort>) {
        let after = self.hostports.get(&spot);
        let holder = |hostport: Option<&HostPort>| hostport?.claim_key().cloned();
        let holders = [holder(before), holder(after)];
        let classes = [before, after].map(|hostport| hostport.map(|hostport| hostport.class.clone()));
        if holders[0] != holders[1] {
            if let Some(key) = &holders[0] {
                let spots = self.spots_of.entry(key.clone()).or_default();
                spots.retain(|other| *other != spot);
                if spots.is_empty() {
                    self.spots_of.remove(key);
                }
            }
            if let Some(key) = &holders[1] {
                self.spots_of.entry(key.clone()).or_default().push(spot);
            }
        }
        if let Some(class) = &classes[0] {
            self.available.entry(class.clone()).or_default().remove(&spot);
        }
        if let Some(hostport) = after
            && hostport.phase == HostPortPhase::Available
            && hostport.kept_for.is_none()
        {
            self.available.entry(hostport.class.clone()).or_default().insert(spot);
        }
        self.index_slot(spot, before);
        self.enter(spot);
        self.touched.extend(holders.into_iter().flatten().map(Touch::Claim));
        self.touched.extend(classes.into_iter().flatten().map(Touch::ClassStatus));
        self.touched.push(Touch::Spot(spot));
    }

    /// Tells the ledger who has the number: its HostPort, or else a decision under way.
    pub(super) fn enter(&mut self, spot: Spot) {
        self.recount_usage(spot);
        if let Some(hostport) = self.hostports.get(&spot) {
            let hold = match hostport.phase {
                HostPortPhase::Available => Hold::Available,
                HostPortPhase::Bound => Hold::Bound,
                HostPortPhase::Released => Hold::Released,
            };
            self.ledger.hold(spot, &hostport.class, hold);
        } else if let Some((class, _)) = self.assumed.get(&spot) {
            self.ledger.hold(spot, class, Hold::Bound);
        } else {
            self.ledger.unhold(spot);
        }
    }
}
