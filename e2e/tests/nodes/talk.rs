//! Clients of pods: they ask a port of a node who is there.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const ANSWER: Duration = Duration::from_secs(2);

/// Who answers a GET: the name of a pod.
pub async fn over_tcp(address: Ipv4Addr, port: u16) -> Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of a head")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        anyhow::Ok(body.trim_end().to_owned())
    };
    timeout(ANSWER, ask).await.with_context(|| format!("no answer from {address}:{port} in time"))?
}

/// A client that goes on to send from the same port of its own: what a node remembers of it must not lead it astray.
pub struct OverUdp(UdpSocket);

impl OverUdp {
    pub async fn new() -> Result<OverUdp> {
        Ok(OverUdp(UdpSocket::bind("0.0.0.0:0").await?))
    }

    /// Who answers a datagram: the name of a pod.
    pub async fn ask(&self, address: Ipv4Addr, port: u16) -> Result<String> {
        let mut buffer = [0; 1500];
        // Late answers to earlier questions.
        while self.0.try_recv(&mut buffer).is_ok() {}
        self.0.send_to(b"who is there?", (address, port)).await?;
        let received = timeout(ANSWER, self.0.recv_from(&mut buffer)).await;
        let (length, from) =
            received.with_context(|| format!("no answer from {address}:{port} in time"))??;
        ensure!(from == (address, port).into(), "{from} answers instead of {address}:{port}");
        let text = String::from_utf8_lossy(&buffer[..length]);
        Ok(text.strip_suffix(": who is there?").with_context(|| format!("{text:?}"))?.to_owned())
    }
}
