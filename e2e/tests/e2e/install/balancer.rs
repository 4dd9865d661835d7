//! One address for several admissions, as a Service is: each new connection goes to the next of them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running one; it ends when dropped.
pub(super) struct Balancer {
    address: SocketAddr,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    pub(super) async fn start() -> Result<Balancer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let endpoints: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = endpoints.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let next = {
                    let mut known = known.lock();
                    if !known.is_empty() {
                        known.rotate_left(1);
                    }
                    known.last().copied()
                };
                let Some(next) = next else { continue };
                tokio::spawn(async move {
                    if let Ok(mut endpoint) = TcpStream::connect(next).await {
                        let _ = copy_bidirectional(&mut caller, &mut endpoint).await;
                    }
                });
            }
        });
        Ok(Balancer { address, endpoints, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to these; those that stand stay.
    pub(super) fn set(&self, endpoints: &[SocketAddr]) {
        *self.endpoints.lock() = endpoints.to_vec();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
