//! Providers behind TLS: good ones over HTTP/1.1 and HTTP/2, and ones that nobody should trust.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::app::{TestApp, hello, streamed};
use crate::upstream::{EVENTS, WHOLE, without_usage};

/// An authority of the test's own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server whose certificate, by this authority, is for `name` and good as `change` leaves it.
    async fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Server {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Server::start(vec![certificate.der().clone()], &key).await
    }

    /// A server whose connections carry so many streams, and which answers as the gate lets it.
    async fn gated(&self, streams: u32, gate: &Gate) -> Server {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let manner = Manner { streams, gate: Some(gate.clone()) };
        Server::speaking(vec![certificate.der().clone()], &key, &["h2"], manner).await
    }
}

type Gate = Arc<tokio::sync::Semaphore>;

/// How a server answers.
#[derive(Clone)]
struct Manner {
    /// Streams of a connection.
    streams: u32,
    gate: Option<Gate>,
}

const PLAIN: Manner = Manner { streams: 100, gate: None };

/// A provider behind TLS that records how it was called.
struct Server {
    address: SocketAddr,
    seen: Arc<std::sync::Mutex<Vec<(Version, String)>>>,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self::speaking(chain, key, &["h2", "http/1.1"], PLAIN).await
    }

    async fn speaking(
        chain: Vec<rustls::pki_types::CertificateDer<'static>>,
        key: &KeyPair,
        protocols: &[&str],
        manner: Manner,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::default(), Arc::default());
        let tls = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(accept((listener, tls), Arc::clone(&seen), Arc::clone(&connections), manner));
        Self { address, seen, connections, task: task.abort_handle() }
    }

    fn seen(&self) -> Vec<(Version, String)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn accept(
    (listener, tls): (TcpListener, TlsAcceptor),
    seen: Arc<std::sync::Mutex<Vec<(Version, String)>>>,
    connections: Arc<AtomicUsize>,
    manner: Manner,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, seen, connections, manner) = (tls.clone(), seen.clone(), connections.clone(), manner.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else { return };
            connections.fetch_add(1, Ordering::Relaxed);
            let streams = manner.streams;
            let service = service_fn(move |request| answer(request, seen.clone(), manner.gate.clone()));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().max_concurrent_streams(streams);
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    seen: Arc<std::sync::Mutex<Vec<(Version, String)>>>,
    gate: Option<Gate>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let host = head.uri.authority().map(ToString::to_string);
    let host = host.or_else(|| head.headers.get("host").map(|host| host.to_str().unwrap().to_owned()));
    seen.lock().unwrap().push((head.version, host.unwrap_or_default()));
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let asked: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let (kind, pieces) = if asked["stream"] == true {
        ("text/event-stream", EVENTS.to_vec())
    } else {
        ("application/json", vec![WHOLE])
    };
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(Response::builder().header("content-type", kind).body(BodyExt::boxed(body)).unwrap())
}

/// A gateway whose provider `far` is at `url`, trusting `ca`, and `pair` falls back to `spare`.
async fn gateway(url: &str, ca: Option<&PathBuf>) -> TestApp {
    let ca = ca.map(|file| format!("ca_file = \"{}\"\n", file.display())).unwrap_or_default();
    TestApp::with(&format!(
        "[providers.far]\nkind = \"openai\"\nbase_url = \"{url}/v1\"\napi_key = \"env:UP_KEY\"\n{ca}\
         timeouts = {{ connect = \"2s\", first_token = \"10s\" }}\n[defaults]\nretries = 0\n\
         [[routes]]\nname = \"backed\"\nmodels = [\"backed\"]\ntargets = [{{ model = \"far/m\" }}]\nfallbacks = [\"spare\"]\n"
    ))
    .await
}

#[tokio::test]
async fn a_provider_with_an_authority_of_its_own_is_called_over_http_2() {
    let authority = Authority::new();
    let server = authority.server("localhost", |_| ()).await;
    let app = gateway(&format!("https://localhost:{}", server.address.port()), Some(&authority.file())).await;
    let mut calls = tokio::task::JoinSet::new();
    assert_eq!(app.hello("far/m").await.text(), WHOLE);
    for _ in 0..16 {
        let call = crate::client::Call::chat(&streamed(hello("far/m"))).key(&app.key);
        calls.spawn(crate::client::Open::of_call(app.address, call));
    }
    for answer in calls.join_all().await {
        assert_eq!((answer.status, answer.text()), (200, &*without_usage()));
    }
    let host = format!("localhost:{}", server.address.port());
    assert_eq!(server.seen(), vec![(Version::HTTP_2, host); 17]);
    assert!(server.connections.load(Ordering::Relaxed) <= 17, "calls share connections");
    app.rows(17).await;
    app.close().await;
}

#[tokio::test]
async fn a_provider_that_speaks_only_http_1_over_tls_is_called_so() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let server = Server::speaking(vec![certificate.der().clone()], &key, &["http/1.1"], PLAIN).await;
    let app = gateway(&format!("https://localhost:{}", server.address.port()), Some(&authority.file())).await;
    for _ in 0..3 {
        assert_eq!(app.hello("far/m").await.text(), WHOLE);
        assert_eq!(app.hello_stream("far/m").await.text(), without_usage());
    }
    assert!(server.seen().iter().all(|(version, _)| *version == Version::HTTP_11));
    app.close().await;
}

/// Checks that `url` is not trusted: nothing is sent there, the fallback serves, and it costs nothing.
async fn distrusted(url: &str, ca: Option<&PathBuf>, because: &str) {
    let app = gateway(url, ca).await;
    let refused = app.hello("far/m").await;
    assert_eq!(refused.outcome(), "502 upstream_connect", "{because}: {}", refused.text());
    let row = app.row(refused.id()).await;
    assert_eq!(
        (&row["attempts"][0]["error_code"], &row["attempts"][0]["cost_usd"]),
        (&"upstream_connect".into(), &"0".into())
    );
    let served = app.hello("backed").await;
    assert_eq!((served.status, served.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{because}");
    app.close().await;
}

#[tokio::test]
async fn who_cannot_be_trusted_is_sent_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let expired = authority.server("localhost", |params| params.not_after = date_time_ymd(2020, 1, 1)).await;
    let other_host = authority.server("elsewhere.test", |_| ()).await;
    let unknown = stranger.server("localhost", |_| ()).await;
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    let self_signed = Server::start(vec![own.der().clone()], &own_key).await;
    let file = authority.file();
    for (server, ca, because) in [
        (&expired, Some(&file), "its certificate expired"),
        (&other_host, Some(&file), "its certificate is another host's"),
        (&unknown, Some(&file), "its authority is another"),
        (&unknown, None, "its authority is none of the system's"),
        (&self_signed, Some(&file), "it signed for itself"),
    ] {
        distrusted(&format!("https://localhost:{}", server.address.port()), ca, because).await;
        assert_eq!(server.seen(), [], "{because}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off_by_the_limit_of_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = gateway(&format!("https://{}", silent.local_addr().unwrap()), None).await;
    let refused = app.hello("far/m").await;
    assert_eq!(refused.outcome(), "504 upstream_timeout");
    assert!(refused.text().contains("did not accept a connection"), "{}", refused.text());
    assert_eq!(app.row(refused.id()).await["attempts"][0]["cost_usd"], "0", "nothing was asked");
    app.close().await;
}

#[tokio::test]
async fn plain_text_where_tls_is_expected_is_502_and_so_is_tls_where_plain_text_is() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut socket, _)) = plain.accept().await {
            let mut hello = [0; 64];
            drop(socket.read(&mut hello).await);
            drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await);
        }
    });
    distrusted(&format!("https://{address}"), None, "it speaks no TLS").await;
    task.abort();
    let authority = Authority::new();
    let server = authority.server("localhost", |_| ()).await;
    let app = gateway(&format!("http://localhost:{}", server.address.port()), None).await;
    let refused = app.hello("far/m").await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert_eq!((app.hello("backed").await.status, server.seen().len()), (200, 0));
    app.close().await;
}

/// What stands between the gateway and a provider, and forgets connections without closing them.
async fn forgetful(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>, Arc<tokio::sync::Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (made, forgets) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (made_there, forgets_there) = (made.clone(), forgets.clone());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            made_there.fetch_add(1, Ordering::Relaxed);
            let forgets = forgets_there.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    passed = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(passed),
                    permit = forgets.acquire() => {
                        permit.unwrap().forget();
                        // Open, and silent.
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    (address, made, forgets)
}

#[tokio::test]
async fn a_connection_over_http_2_that_fell_silent_costs_one_call_and_no_more() {
    let authority = Authority::new();
    let server = authority.server("localhost", |_| ()).await;
    let (address, made, forgets) = forgetful(server.address).await;
    let app = TestApp::with(&format!(
        "[providers.far]\nkind = \"openai\"\nbase_url = \"https://localhost:{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         ca_file = \"{}\"\ntimeouts = {{ connect = \"5s\", first_token = \"2s\" }}\n[defaults]\nretries = 0\n",
        address.port(),
        authority.file().display()
    ))
    .await;
    // As many as there may be workers: each has connections of its own.
    for _ in 0..4 * fulcrum::http::worker_count() {
        assert_eq!(app.hello("far/m").await.text(), WHOLE);
    }
    let before = made.load(Ordering::Relaxed);
    forgets.add_permits(before);
    let mut late = 0;
    for _ in 0..4 * fulcrum::http::worker_count() {
        match app.hello("far/m").await.outcome().as_str() {
            "504 upstream_timeout" => late += 1,
            outcome => assert_eq!(outcome, "200"),
        }
    }
    assert!(late <= before, "{late} calls waited for {before} dead connections");
    app.close().await;
}

#[tokio::test]
async fn a_provider_that_lets_a_connection_carry_few_streams_gets_more_connections() {
    let authority = Authority::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let server = authority.gated(2, &gate).await;
    let app = gateway(&format!("https://localhost:{}", server.address.port()), Some(&authority.file())).await;
    gate.add_permits(2);
    for _ in 0..2 {
        assert_eq!(app.hello("far/m").await.text(), WHOLE);
    }
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let call = crate::client::Call::chat(&hello("far/m")).key(&app.key);
        calls.spawn(crate::client::Open::of_call(app.address, call));
    }
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while server.seen().len() < 18 {
        assert!(tokio::time::Instant::now() < deadline, "{} calls are there", server.seen().len());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    gate.add_permits(16);
    assert!(calls.join_all().await.iter().all(|answer| answer.status == 200));
    app.close().await;
}
