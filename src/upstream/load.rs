//! How busy a local server says that it is: the calls of all its clients, read of its `/metrics` beside the calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, timeout};

use super::client::SideCall;
use super::provider_client::ProviderClient;

/// How long the server may take to report.
const LIMIT: Duration = Duration::from_secs(1);

/// The most bytes of a page of metrics.
const LONGEST: usize = 2 << 20;

/// How old a report gets before the next one is asked for.
const FRESH: Duration = Duration::from_secs(2);

/// How old a report gets before it counts no more, where the server does not answer.
const KEPT: Duration = Duration::from_secs(10);

/// The most calls that a server is believed to have.
const MOST: f64 = 1e6;

/// What a server reported, and when.
#[derive(Debug)]
struct Report {
    at: Instant,
    /// Calls that are no calls of this gateway.
    others: usize,
}

/// The load of one local server, as far as it is known.
pub struct ServerLoad {
    client: Arc<ProviderClient>,
    known: ArcSwapOption<Report>,
    /// From when it may be asked for again.
    due: Mutex<Option<Instant>>,
}

impl ServerLoad {
    /// The load of `client`'s server; `None` where its software reports none.
    #[must_use]
    pub fn of(client: &Arc<ProviderClient>) -> Option<Self> {
        let reports = !client.provider().server.row().load.is_empty();
        reports.then(|| Self { client: client.clone(), known: ArcSwapOption::default(), due: Mutex::default() })
    }

    /// The calls of others that the server runs and holds back; `None` where it did not report lately.
    #[must_use]
    pub fn others(&self, now: Instant) -> Option<usize> {
        let report = self.known.load();
        let fresh = report.as_ref().filter(|report| now.saturating_duration_since(report.at) < KEPT);
        fresh.map(|report| report.others)
    }

    /// Whether it is time to ask; a caller that is told so asks, and no other meanwhile.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = due.is_none_or(|due| now >= due);
        if is_due {
            *due = Some(now + FRESH);
        }
        is_due
    }

    /// Asks the server, for a bounded time.
    pub async fn ask(&self) {
        let asked = timeout(LIMIT, self.client.read_load()).await.ok().flatten();
        match asked {
            Some(all) => {
                let others = all.saturating_sub(self.client.in_flight());
                self.known.store(Some(Arc::new(Report { at: Instant::now(), others })));
            }
            None => {
                let provider = &self.client.provider().name;
                tracing::debug!(%provider, "the server's load cannot be read of its /metrics");
            }
        }
    }
}

impl ProviderClient {
    /// The calls that the server runs and holds back, whoever makes them.
    async fn read_load(&self) -> Option<usize> {
        let (base, row) = (&self.provider().base_url, self.provider().server.row());
        let url = format!("{}/metrics", base.strip_suffix("/v1").unwrap_or(base));
        let headers = self.key_headers().into_iter().next().unwrap_or_default();
        let asked = self.side().ok()?.send(SideCall { method: Method::GET, url: &url, headers, body: Bytes::new() });
        let mut reply = asked.await.ok().filter(|reply| reply.status().is_success())?;
        let mut page = Vec::new();
        while let Some(piece) = reply.piece().await.ok()? {
            if page.len() + piece.len() > LONGEST {
                return None;
            }
            page.extend_from_slice(&piece);
        }
        sum(&String::from_utf8_lossy(&page), row.load)
    }
}

/// The sum of some gauges of a page in Prometheus's text form, over all labels; `None` where one has no sample there.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds, and a count")]
fn sum(page: &str, gauges: &[&str]) -> Option<usize> {
    let mut all = 0.0;
    for gauge in gauges {
        let samples = page.lines().filter_map(|line| sample(line.strip_prefix(gauge)?));
        all += samples.reduce(|one, other| one + other)?;
    }
    Some(all.clamp(0.0, MOST) as usize)
}

/// The value of a sample, by what stands behind its name.
fn sample(rest: &str) -> Option<f64> {
    let value = match rest.strip_prefix('{') {
        Some(labelled) => labelled.rsplit_once('}')?.1,
        None => rest.strip_prefix([' ', '\t'])?,
    };
    value.split_whitespace().next()?.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::address::tests::at;
    use crate::upstream::provider::{Kind, Server};
    use crate::upstream::{InProcessModels, ProviderKeys};

    const VLLM: &str = "# HELP vllm:num_requests_running Number of requests in model execution batches.\n\
        # TYPE vllm:num_requests_running gauge\n\
        vllm:num_requests_running{engine=\"0\",model_name=\"a } b\"} 3.0\n\
        vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 2.0 1795427193000\n\
        vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 4.0\n\
        vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 4.0\n";

    #[test]
    fn the_pages_of_each_server_are_read() {
        let vllm = Server::Vllm.row().load;
        let llama = Server::LlamaCpp.row().load;
        assert_eq!(sum(VLLM, vllm), Some(9));
        assert_eq!(sum("llamacpp:requests_processing 2\nllamacpp:requests_deferred 46\n", llama), Some(48));
        assert_eq!(sum("llamacpp:requests_processing 0\r\nllamacpp:requests_deferred 0\r\n", llama), Some(0));
        for none in [
            "",
            "<html>",
            "llamacpp:requests_processing 2\n",
            "llamacpp:requests_processing NaN\nllamacpp:requests_deferred -1\n",
            "llamacpp:requests_processing\nllamacpp:requests_deferred{\n",
        ] {
            assert_eq!(sum(none, llama), None, "{none}");
        }
        let huge =
            "llamacpp:requests_processing 1e300\nllamacpp:requests_deferred +Inf\nllamacpp:requests_deferred 1\n";
        assert_eq!(sum(huge, llama), Some(1_000_000));
    }

    /// A server that answers each connection with the next of these; then it is silent.
    #[expect(clippy::disallowed_methods, reason = "the test that started the server ends before it")]
    async fn server(answers: Vec<String>) -> Arc<ProviderClient> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut provider = at(Kind::OpenAi, &format!("http://{}/v1", listener.local_addr().unwrap()));
        provider.server = Server::LlamaCpp;
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = Vec::new();
                while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                    stream.read_buf(&mut read).await.unwrap();
                }
                assert!(read.starts_with(b"GET /metrics HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        Arc::new(ProviderClient::new(provider, &InProcessModels::default(), &ProviderKeys::default()).unwrap())
    }

    #[tokio::test]
    async fn a_report_counts_for_a_while_and_neither_silence_nor_nonsense_replaces_it() {
        let page = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 5\n";
        let reply = |status: &str, page: &str| {
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}", page.len())
        };
        let client = server(vec![reply("501", ""), reply("200", page), reply("200", "no metrics")]).await;
        let load = ServerLoad::of(&client).unwrap();
        let start = Instant::now();
        assert!(load.is_due(start) && !load.is_due(start) && load.others(start).is_none());
        load.ask().await;
        assert_eq!(load.others(start), None, "llama.cpp without --metrics");
        for _ in 0..2 {
            load.ask().await;
            assert_eq!(load.others(Instant::now()), Some(7));
        }
        let later = Instant::now() + KEPT;
        assert!(load.is_due(start + FRESH) && load.others(later - FRESH).is_some() && load.others(later).is_none());
    }

    #[test]
    fn software_without_such_a_page_is_not_asked() {
        let provider = at(Kind::OpenAi, "http://127.0.0.1:9/v1");
        let client = ProviderClient::new(provider, &InProcessModels::default(), &ProviderKeys::default()).unwrap();
        assert!(ServerLoad::of(&Arc::new(client)).is_none());
    }
}
