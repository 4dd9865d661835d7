//! Sockets that listen.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// `[::]` stands for every address of the machine, IPv4 ones too, whether the machine
/// has IPv6 or not.
///
/// # Errors
/// Those of bind(2).
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).or_else(|error| {
        // The port may be taken as well: then this fails in its turn.
        let everywhere = addr.ip() == Ipv6Addr::UNSPECIFIED && !has_ipv6();
        if everywhere { TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())) } else { Err(error) }
    })
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn everywhere_is_ipv4_too() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();

        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if has_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error() {
        let first = listen("[::]:0".parse().unwrap()).unwrap();
        let taken = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), first.local_addr().unwrap().port());

        assert_eq!(listen(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
