//! The providers of a rehearsal: each answers in this process, as the fault of the moment says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::answers::{Answers, JUDGEMENT, WORDS, error_body, error_event};
use super::fault::{Act, Scope};
use crate::routing::Target;
use crate::upstream::{CpuTime, Failure, InProcess, InProcessAnswer, InProcessCall, InProcessModels, Kind};
use crate::wire::DialectId;

/// The providers of one stage.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

struct State {
    act: Act,
    scope: Scope,
    /// The models that judge the answers of others.
    judges: Vec<Arc<Target>>,
    /// The target that was asked first, as `provider/model`.
    first: Option<String>,
    made: Vec<String>,
    /// Whether a call had the caller's own key in it.
    leaked: bool,
    callers_key: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            act: Act::Well,
            scope: Scope::All,
            judges: Vec::new(),
            first: None,
            made: Vec::new(),
            leaked: false,
            callers_key: String::new(),
        }
    }
}

/// The provider's key, which no caller may see.
pub fn canary(provider: &str, n: usize) -> String {
    format!("sk-rehearsal-canary-{provider}-{n}-7f3a9c2e")
}

impl Script {
    /// The same script for every kind of provider.
    pub fn models(&self) -> InProcessModels {
        let one = |(name, _): (&'static str, Kind)| (name, Arc::new(self.clone()) as Arc<dyn InProcess>);
        Kind::names().into_iter().map(one).collect()
    }

    /// From now on, those whom a call asks have this fault, and `judges` judge; `callers_key` is looked for in what they are sent.
    pub fn play(&self, (act, scope): (Act, Scope), judges: &[Arc<Target>], callers_key: &str) {
        let (judges, callers_key) = (judges.to_vec(), callers_key.to_owned());
        *self.lock() = State { act, scope, judges, callers_key, ..State::default() };
    }

    /// Every call that came since, as `provider/model`.
    pub fn made(&self) -> Vec<String> {
        self.lock().made.clone()
    }

    /// How many calls came since.
    pub fn count(&self) -> usize {
        self.lock().made.len()
    }

    /// Whether a call had the caller's own key in it.
    pub fn leaked(&self) -> bool {
        self.lock().leaked
    }

    /// What the called target does.
    fn act(&self, call: &InProcessCall<'_>) -> Act {
        let mut state = self.lock();
        let target = format!("{}/{}", call.profile.unwrap_or_default(), call.model);
        let judges = state.judges.iter().any(|judge| *judge.id == *target);
        let strikes = match state.scope {
            Scope::All => !judges,
            Scope::First => !judges && *state.first.get_or_insert_with(|| target.clone()) == target,
            Scope::Judge => judges,
        };
        let key = state.callers_key.clone();
        state.leaked |= !key.is_empty() && memchr::memmem::find(call.body, key.as_bytes()).is_some();
        state.made.push(target);
        match strikes {
            true => state.act,
            false if judges => Act::Judge,
            false => Act::Well,
        }
    }

    /// A panic that held the lock leaves what was counted so far.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InProcess for Script {
    fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>> {
        let act = self.act(&call);
        Box::pin(async move {
            match act {
                Act::Refuse => return Err(Failure::Connect("connection refused (rehearsed)".to_owned())),
                Act::Silence => return std::future::pending().await,
                Act::Reset => return Err(reset()),
                _ => {}
            }
            Ok(answered(act, &call))
        })
    }
}

fn reset() -> Failure {
    Failure::Protocol("connection reset (rehearsed)".to_owned())
}

fn answered(act: Act, call: &InProcessCall<'_>) -> InProcessAnswer {
    let words = if act == Act::Judge { JUDGEMENT } else { WORDS };
    let Some(answers) = Answers::of(call, words, act != Act::NoUsage) else {
        return whole(404, "application/json", Bytes::from_static(br#"{"error":{"message":"no such route"}}"#));
    };
    let dialect = answers.dialect;
    match act {
        Act::Status(status, retry_after) => {
            let mut answer = whole(status, "application/json", error_body(dialect, status, "rehearsed"));
            if let Some(value) = retry_after {
                answer.headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            }
            if status == 302 {
                answer.headers.insert(LOCATION, HeaderValue::from_static("http://127.0.0.1:9/elsewhere"));
            }
            answer
        }
        Act::Refusal(message) => whole(400, "application/json", error_body(dialect, 400, message)),
        Act::EchoKey => {
            let message = format!("bad request, called with {}", canary(call.profile.unwrap_or_default(), 0));
            whole(400, "application/json", error_body(dialect, 400, &message))
        }
        Act::Nonsense(kind, body) => whole(200, kind, Bytes::from_static(body.as_bytes())),
        act if call.stream => streamed(act, dialect, answers.events()),
        act => {
            let mut answer = whole(200, "application/json", answers.whole());
            if act == Act::Headers {
                let key = canary(call.profile.unwrap_or_default(), 0);
                answer.headers.insert(SET_COOKIE, HeaderValue::from_static("session=rehearsed"));
                if let Ok(key) = HeaderValue::from_str(&key) {
                    answer.headers.insert(HeaderName::from_static("x-api-key"), key);
                }
            }
            answer
        }
    }
}

fn whole(status: u16, kind: &'static str, body: Bytes) -> InProcessAnswer {
    InProcessAnswer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
        body: stream::iter([Ok(body)]).boxed(),
        cpu: CpuTime::default(),
    }
}

/// A stream of these events, of which `content` is the first that has content.
fn streamed(act: Act, dialect: DialectId, (events, content): (Vec<Bytes>, usize)) -> InProcessAnswer {
    let until = |count: usize| stream::iter(events.iter().take(count).cloned().map(Ok).collect::<Vec<_>>());
    let body = match act {
        Act::CutBefore => until(content).chain(stream::iter([Err(reset())])).boxed(),
        Act::ErrorFirst => stream::iter([Ok(error_event(dialect))]).boxed(),
        Act::CutAfter => until(content + 1).chain(stream::iter([Err(reset())])).boxed(),
        Act::StallAfter => until(content + 1).chain(stream::pending()).boxed(),
        Act::NoEnd => until(content + 1).boxed(),
        _ => until(events.len()).boxed(),
    };
    InProcessAnswer { body, ..whole(200, "text/event-stream", Bytes::new()) }
}
