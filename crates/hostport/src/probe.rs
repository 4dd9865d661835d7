//! `hostport probe`: asks whether something is ready, for `helm test`: the image has no shell and no curl.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::definitions;

const ATTEMPT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
/// An answer is a status and a line.
const ANSWER: u64 = 64 * 1024;

/// Asks each URL until it answers 200, within `patience` for all of them.
pub(crate) async fn run(urls: Vec<String>, patience: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + patience;
    for url in &urls {
        loop {
            match timeout(ATTEMPT, ask(url)).await.context("no answer in time").and_then(|answer| answer) {
                Ok(said) => {
                    definitions::say(&format!("{url}: {}\n", said.trim()))?;
                    break;
                }
                Err(error) if Instant::now() >= until => {
                    return Err(error.context(format!("{url} is not ready")));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
    Ok(())
}

/// The body of an answer of 200.
async fn ask(url: &str) -> anyhow::Result<String> {
    let Parts { host, port, path } = parts(url)?;
    let stream = TcpStream::connect((host, port)).await;
    let mut stream = stream.with_context(|| format!("connect to {host}, port {port}"))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "it answers {status:?}: {}", body.trim());
    Ok(body.to_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

/// An IPv6 address may stand without brackets, as in the variables that a pod has of its Services.
fn parts(url: &str) -> anyhow::Result<Parts<'_>> {
    let parts = || {
        let rest = url.strip_prefix("http://")?;
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = address.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Parts { host, port: port.parse().ok()?, path: if path.is_empty() { "/" } else { path } })
    };
    parts().with_context(|| {
        format!("{url:?} is no plain http:// URL with a port, as http://hostport-admission:8080/readyz")
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each connection with the next of these, and the last for ever.
    async fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers.iter().chain(std::iter::repeat(&answers[answers.len() - 1])) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}/readyz")
    }

    #[tokio::test]
    async fn it_waits_until_all_are_ready() {
        let slow = server(&["HTTP/1.0 503 x\r\n\r\nnot yet\n", "HTTP/1.0 200 OK\r\n\r\nok\n"]).await;
        let ready = server(&["HTTP/1.0 200 OK\r\n\r\nstandby\n"]).await;

        run(vec![slow, ready], Duration::from_secs(30)).await.unwrap();
    }

    #[tokio::test]
    async fn it_says_what_is_not_ready_and_why() {
        let down = server(&["HTTP/1.0 503 x\r\n\r\nno certificate\n"]).await;

        let error = run(vec![down.clone()], Duration::ZERO).await.unwrap_err();

        let text = format!("{error:#}");
        assert!(text.contains(&down) && text.contains("no certificate"), "{text}");
    }

    #[test]
    fn a_url_has_a_host_and_a_path() {
        let parts_of = |host, port, path| Parts { host, port, path };

        let ready = parts_of("10.0.0.1", 8080, "/readyz");
        assert_eq!(parts("http://10.0.0.1:8080/readyz").unwrap(), ready);
        assert_eq!(parts("http://a:1").unwrap(), parts_of("a", 1, "/"));
        for url in ["http://fd00::1:8080/readyz", "http://[fd00::1]:8080/readyz"] {
            assert_eq!(parts(url).unwrap(), parts_of("fd00::1", 8080, "/readyz"));
        }
        for url in ["https://a:1/x", "http://a/x", "http://a:b/x"] {
            assert!(parts(url).is_err(), "{url}");
        }
    }
}
