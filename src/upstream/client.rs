//! The HTTP client of all that is on no call's path: providers' batch APIs, and what the command line asks of a gateway.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rustls::ClientConfig;

use super::failure::{Failure, Phase, reason};
use super::place::Resolver;
use super::tls;

/// How long the command line waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of an answer to the command line.
const LONGEST: usize = 256 << 20;

/// A client. It follows no redirect, which would carry a key elsewhere, asks no proxy, decompresses nothing, and sends nothing
/// twice. Callers set the limits of an answer; making the connection has its own.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// A request.
pub(super) struct SideCall<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer whose body is still to come.
pub struct Reply(reqwest::Response);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The client cannot be made, the request cannot be sent, or the answer broke off.
    #[error("{}", reason(.0))]
    Http(#[from] reqwest::Error),
    /// The answer is longer than so many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The key has characters that no header can carry.
    #[error("the key has characters that no header can carry")]
    Key,
}

impl Client {
    /// A client for calls of `base`, to which a connection must stand within `connect`.
    ///
    /// # Errors
    /// Where none can be made.
    pub fn new(base: &str, connect: Duration) -> Result<Self, NoAnswer> {
        Self::with(tls::for_base(base), connect, None)
    }

    /// A client that trusts what `tls` trusts, and calls where `resolver` leads.
    pub(super) fn with(mut tls: ClientConfig, connect: Duration, resolver: Option<Resolver>) -> Result<Self, NoAnswer> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(connect);
        let client = match resolver {
            Some(resolver) => client.dns_resolver(Arc::new(resolver)),
            None => client,
        };
        Ok(Self(client.build()?))
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(&self, call: SideCall<'_>) -> Result<Reply, Failure> {
        let SideCall { method, url, headers, body } = call;
        let mut request = self.0.request(method.clone(), url).headers(headers);
        if method == Method::POST || !body.is_empty() {
            request = request.body(body);
        }
        request.send().await.map(Reply).map_err(|error| failure(&error))
    }

    /// Asks another gateway with a key of its own, and waits for the answer's head.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn ask(
        &self,
        (method, url): (Method, &str),
        key: Option<&str>,
        mut headers: HeaderMap,
        body: Option<String>,
    ) -> Result<Reply, NoAnswer> {
        if let Some(key) = key {
            let mut value: HeaderValue = format!("Bearer {key}").parse().map_err(|_| NoAnswer::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = self.0.request(method, url).timeout(PATIENCE).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        Ok(Reply(request.send().await.map_err(reqwest::Error::without_url)?))
    }
}

impl Reply {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// Where the answer breaks off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        Ok(self.0.chunk().await.map_err(reqwest::Error::without_url)?)
    }

    /// The body as text.
    ///
    /// # Errors
    /// Where the answer breaks off, or is too long.
    pub async fn text(mut self) -> Result<String, NoAnswer> {
        let mut text = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if text.len() + piece.len() > LONGEST {
                return Err(NoAnswer::TooLong(LONGEST));
            }
            text.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The next piece of a provider's answer; `None` at its end.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Failure> {
        self.0.chunk().await.map_err(|error| Failure::Protocol(reason(&error)))
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let found = self.look_up(name.as_str().to_owned());
        Box::pin(async move {
            let found: reqwest::dns::Addrs = Box::new(found.await?);
            Ok(found)
        })
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Failure::TimedOut(Phase::Connect),
        (true, false) => Failure::Connect(reason(error)),
        (false, _) => Failure::Protocol(reason(error)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with `answer`; returns its address, and what the request was.
    #[expect(clippy::disallowed_methods, reason = "the test that started the server awaits it, or ends before it")]
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                stream.read_buf(&mut read).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(read).unwrap().to_ascii_lowercase()
        });
        (base, asked)
    }

    fn client() -> Client {
        Client::new("http://h", Duration::from_secs(3)).unwrap()
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_takes_no_key_elsewhere() {
        let (elsewhere, visited) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let moved = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
        let (base, asked) = server(moved.leak()).await;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-api-key"), HeaderValue::from_static("sk"))]);
        let call = SideCall { method: Method::GET, url: &base, headers, body: Bytes::new() };
        assert_eq!(client().send(call).await.ok().map(|reply| reply.status()), Some(StatusCode::FOUND));
        let asked = asked.await.unwrap();
        assert!(asked.contains("x-api-key: sk") && !asked.contains("accept-encoding"), "{asked}");
        assert!(!visited.is_finished());
    }

    #[tokio::test]
    async fn a_compressed_answer_stays_as_it_is() {
        let zipped = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello";
        let (base, _asked) = server(zipped).await;
        let reply = client().ask((Method::GET, &base), None, HeaderMap::new(), None).await.unwrap();
        assert_eq!(reply.text().await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn what_was_never_sent_is_known_from_what_broke_off() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (base, _asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await;
        let closed = format!("http://{closed}");
        let call = |url| SideCall { method: Method::POST, url, headers: HeaderMap::new(), body: Bytes::new() };
        let refused = client().send(call(&closed)).await.err();
        assert!(matches!(refused, Some(Failure::Connect(_))), "{refused:?}");
        let mut reply = client().send(call(&base)).await.ok().unwrap();
        assert_eq!(reply.data().await, Ok(Some(Bytes::from_static(b"he"))));
        assert!(matches!(reply.data().await, Err(Failure::Protocol(_))));
    }
}
