//! Who has which address in a cluster with real nodes: all of them within one /16, so that several clusters can run on a
//! machine. Pure.

use std::net::Ipv4Addr;

/// The second number of the addresses, 10.N.0.0/16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::devcluster) struct Addresses(pub(super) u8);

/// The largest number of nodes.
pub(super) const MOST_NODES: usize = 60;

impl Addresses {
    /// What all addresses begin with, as `ip route` writes it.
    pub(super) fn prefix(self) -> String {
        format!("10.{}.", self.0)
    }

    /// This machine, and so the API server.
    pub(in crate::devcluster) fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, 1)
    }

    /// A node; the first has number 1.
    pub(super) fn node(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, 10 + number)
    }

    /// The pods of a node.
    pub(super) fn pods_of(self, number: u8) -> String {
        format!("10.{}.{}.0/24", self.0, 64 + number)
    }

    /// All pods, and neither nodes nor this machine: what comes from elsewhere to a Service gets another sender on its
    /// way, so that the answer comes back the same way.
    pub(super) fn pods(self) -> String {
        format!("10.{}.64.0/18", self.0)
    }

    /// The Services.
    pub(in crate::devcluster) fn services(self) -> String {
        format!("10.{}.128.0/17", self.0)
    }

    /// The first of them, which Kubernetes gives to its own API.
    pub(in crate::devcluster) fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 128, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_pods_and_services_have_addresses_of_their_own() {
        let all = Addresses(201);

        assert_eq!(all.host().to_string(), "10.201.0.1");
        assert_eq!(all.node(MOST_NODES as u8).to_string(), "10.201.0.70");
        assert_eq!(all.pods_of(1), "10.201.65.0/24");
        assert_eq!(all.pods_of(MOST_NODES as u8), "10.201.124.0/24");
        assert_eq!((all.pods().as_str(), all.services().as_str()), ("10.201.64.0/18", "10.201.128.0/17"));
    }
}
