//! `hostport probe`: asks whether something is ready, for `helm test`: the image has no shell and no curl.

use std::time::Duration;

use anyhow::{Context, ensure};
use axum::{
    body::{self, Body},
    http::Uri,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, sleep, timeout};

use crate::definitions;

const ATTEMPT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer that are read: it is a status and a line.
const ANSWER: usize = 64 * 1024;

/// Asks each URL until it answers 200, within `patience` for all of them.
pub(crate) async fn run(urls: Vec<String>, patience: Duration) -> anyhow::Result<()> {
    // A URL that cannot be asked is not waited for.
    let uris: Vec<Uri> = urls.iter().map(|url| uri(url)).collect::<Result<_, _>>()?;
    let until = Instant::now() + patience;
    // Not kube's client: it wants certificate authorities also where it does not need them, and the image has none.
    let client = Client::builder(TokioExecutor::new()).build_http();
    for (url, uri) in urls.iter().zip(uris) {
        loop {
            let answer = timeout(ATTEMPT, ask(&client, &uri)).await;
            match answer.context("no answer in time").and_then(|answer| answer) {
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
async fn ask(client: &Client<HttpConnector, Body>, uri: &Uri) -> anyhow::Result<String> {
    let (head, body) = client.get(uri.clone()).await?.into_parts();
    let body = body::to_bytes(Body::new(body), ANSWER).await?;
    let body = String::from_utf8_lossy(&body);
    ensure!(head.status == 200, "it answers {}: {}", head.status, body.trim());
    Ok(body.into_owned())
}

/// An IPv6 address may stand without brackets, as in the variables that a pod has of its Services.
fn uri(url: &str) -> anyhow::Result<Uri> {
    let parts = || {
        let rest = url.strip_prefix("http://")?;
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|_| !host.is_empty())?;
        let bare = host.contains(':') && !host.starts_with('[');
        let address = if bare { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        format!("http://{address}{path}").parse().ok()
    };
    parts().with_context(|| {
        format!("{url:?} is no plain http:// URL with a port, as http://hostport-admission:8080/readyz")
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

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

    #[tokio::test]
    async fn a_mistaken_url_is_told_at_once() {
        let ready = server(&["HTTP/1.0 200 OK\r\n\r\nok\n"]).await;
        let urls = vec![ready, "https://hostport-admission/readyz".to_owned()];

        let error = timeout(Duration::from_secs(5), run(urls, Duration::from_secs(600))).await.unwrap();

        assert!(error.unwrap_err().to_string().contains("https://hostport-admission/readyz"));
    }

    #[test]
    fn a_url_has_a_host_and_a_port() {
        for (url, understood) in [
            ("http://10.0.0.1:8080/readyz", "http://10.0.0.1:8080/readyz"),
            ("http://a:1", "http://a:1/"),
            ("http://fd00::1:8080/readyz", "http://[fd00::1]:8080/readyz"),
            ("http://[fd00::1]:8080/readyz", "http://[fd00::1]:8080/readyz"),
        ] {
            assert_eq!(uri(url).unwrap().to_string(), understood);
        }
        for url in ["https://a:1/x", "http://a/x", "http://a:b/x", "http://:1/x", "http://a b:1/x"] {
            assert!(uri(url).is_err(), "{url}");
        }
    }
}
