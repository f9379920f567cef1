//! Models that answer in this process: nothing is called, and the machine's own CPU does the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::address::Operation;
use super::failure::Failure;
use crate::types::QuickMap;

/// A kind of models that answer in this process.
pub trait InProcess: Send + Sync {
    /// Answers a call. It must not hold its thread for long: work that takes the CPU more than a millisecond belongs on threads
    /// of the model's own, and ends when the future, or the answer's body, is dropped.
    ///
    /// # Errors
    /// Where there is no answer, such as [`Failure::Busy`]. A refusal is an answer with its status.
    fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>>;
}

/// The header by which a model in this process says how sure it is of its answer: 0 to 1.
const CONFIDENCE: &str = "x-fulcrum-confidence";

/// The kinds of models that answer in this process, by the names of their kinds of providers. A kind that is called over the
/// network otherwise is not called at all where it stands here.
pub type InProcessModels = QuickMap<&'static str, Arc<dyn InProcess>>;

/// What a model in this process is asked.
#[derive(Clone, Copy)]
pub struct InProcessCall<'a> {
    /// What is asked.
    pub operation: Operation,
    /// Of which model.
    pub model: &'a str,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The body, in the dialect of the operation.
    pub body: &'a Bytes,
    /// The body's type, where the body is a form.
    pub form: Option<&'a HeaderValue>,
    /// The provider's profile, if there is one.
    pub profile: Option<&'a str>,
    /// When the answer must be complete.
    pub deadline: Instant,
}

/// An answer as a server would send it.
pub struct InProcessAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers; their `content-type` says whether the body is a stream of events.
    pub headers: HeaderMap,
    /// The body, in pieces.
    pub body: BoxStream<'static, Result<Bytes, Failure>>,
    /// The CPU time that the answer takes.
    pub cpu: CpuTime,
}

/// CPU time that an answer took so far, to which the maker of its body adds.
#[derive(Clone, Debug, Default)]
pub struct CpuTime(Arc<AtomicU64>);

impl CpuTime {
    /// Adds CPU time.
    pub fn add(&self, more: Duration) {
        self.0.fetch_add(u64::try_from(more.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The CPU time so far.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// How sure a model in this process says that it is.
pub(super) fn confidence_in(headers: &HeaderMap) -> Option<f64> {
    let stated: f64 = headers.get(CONFIDENCE)?.to_str().ok()?.parse().ok()?;
    (0.0..=1.0).contains(&stated).then_some(stated)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http::header::{CONTENT_TYPE, RETRY_AFTER};

    use super::*;
    use crate::upstream::address::tests::at;
    use crate::upstream::{BadAddress, Call, Kind, Phase, Provider, ProviderClient, ProviderKeys, Timeouts};

    /// Answers as the model's name says.
    struct Scripted;

    impl InProcess for Scripted {
        fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>> {
            Box::pin(async move {
                let cpu = CpuTime::default();
                cpu.add(Duration::from_millis(2));
                let (counted, pieces) = (cpu.clone(), if call.stream { 3 } else { 1 });
                let body = stream::iter(0..pieces).map(move |n| {
                    counted.add(Duration::from_millis(1));
                    Ok(Bytes::from(n.to_string()))
                });
                let kind = if call.stream { "text/event-stream" } else { "application/json" };
                let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
                let status = match call.model {
                    "never" => std::future::pending().await,
                    "busy" => return Err(Failure::Busy),
                    "limited" => StatusCode::TOO_MANY_REQUESTS,
                    _ => StatusCode::OK,
                };
                headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
                Ok(InProcessAnswer { status, headers, body: body.boxed(), cpu })
            })
        }
    }

    fn client_of(provider: Provider) -> ProviderClient {
        let scripted: Arc<dyn InProcess> = Arc::new(Scripted);
        let models = InProcessModels::from_iter([("simulated", scripted)]);
        ProviderClient::new(provider, &models, &ProviderKeys::default()).unwrap()
    }

    fn client() -> ProviderClient {
        client_of(at(Kind::Simulated, ""))
    }

    fn call(model: &str, stream: bool) -> Call<'_> {
        static PROJECT: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "a".into());
        let (operation, headers, body) = (Operation::Chat, HeaderMap::new(), Bytes::new());
        let (deadline, background) = (None, false);
        Call { operation, model, stream, headers, body, deadline, project: &PROJECT, shares: false, background }
    }

    #[tokio::test]
    async fn a_whole_answer_comes_with_the_cpu_time_it_took() {
        let mut answer = client().send(call("m", false)).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(!answer.is_stream());
        assert_eq!(answer.whole(10).await, Ok(Bytes::from_static(b"0")));
        assert_eq!(answer.cpu_time(), Some(Duration::from_millis(3)));
    }

    #[tokio::test]
    async fn a_streamed_answer_comes_piece_by_piece() {
        let mut answer = client().send(call("m", true)).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(answer.is_stream());
        assert_eq!(answer.piece().await, Ok(Some(Bytes::from_static(b"0"))));
        assert_eq!(answer.cpu_time(), Some(Duration::from_millis(3)));
        assert_eq!(answer.whole(10).await, Ok(Bytes::from_static(b"12")));
    }

    #[tokio::test]
    async fn an_answer_that_never_begins_ends_at_its_limit() {
        let provider = at(Kind::Simulated, "");
        let timeouts = Timeouts { first_token: Duration::ZERO, ..provider.timeouts };
        let impatient = client_of(Provider { timeouts, ..provider });
        let providers_limit = impatient.send(call("never", false)).await.err();
        assert_eq!(providers_limit, Some(Failure::TimedOut(Phase::FirstToken)));
        let deadline = Some(Instant::now());
        let callers_limit = client().send(Call { deadline, ..call("never", false) }).await.err();
        assert_eq!(callers_limit, Some(Failure::TimedOut(Phase::Caller)));
    }

    #[tokio::test]
    async fn a_refusal_is_read_as_a_servers_would_be() {
        let limited = client().send(call("limited", false)).await.err();
        let wait = Some(Duration::from_secs(7));
        assert!(matches!(limited, Some(Failure::Throttled { retry_after, .. }) if retry_after == wait), "{limited:?}");
        assert_eq!(client().send(call("busy", false)).await.err(), Some(Failure::Busy));
    }

    #[test]
    fn a_kind_that_this_build_has_no_models_of_is_refused() {
        let made = ProviderClient::new(at(Kind::Simulated, ""), &InProcessModels::default(), &ProviderKeys::default());
        assert!(matches!(made.err(), Some(BadAddress::NoModels("simulated"))));
    }
}
