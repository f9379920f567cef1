//! One call of the demo, sent over HTTP like any client's, and its outcome.

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::upstream::Client;

/// The caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The shop's backend: may call everything.
    Shop,
    /// The office: may call some models.
    Office,
    /// A key with a limit of five requests a minute and one model, which is revoked.
    Intern,
    /// Somebody with a key that was never made.
    Stranger,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// To its end.
    Whole,
    /// Until its first piece is there; then the caller hangs up.
    HangUp,
}

/// The outcome that a call should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An answer.
    Answer,
    /// A refusal with this code.
    Refusal(&'static str),
    /// An answer, or a refusal with this code, as others get ahead.
    Either(&'static str),
    /// A stream that ends in an error.
    Break,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub caller: Caller,
    pub path: &'static str,
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
    pub reading: Reading,
    pub wanted: Wanted,
}

/// The keys of the callers, and where the gateway is.
pub struct Line {
    pub client: Client,
    pub base: String,
    pub shop: String,
    pub office: String,
    pub intern: String,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A model answered; `retried` where it took more than one attempt.
    Served { retried: bool },
    /// The cache answered.
    Hit,
    /// The call shared the answer of an equal call that ran.
    Coalesced,
    /// The gateway refused it, or no provider answered.
    Refused { status: u16, code: String, message: String },
    /// The stream ended in an error.
    Broke { message: String },
    /// The caller hung up.
    HungUp,
    /// The gateway could not be reached.
    Lost(String),
}

impl Call {
    /// A chat call that should be answered.
    pub fn chat(caller: Caller, body: Value) -> Self {
        let path = "/v1/chat/completions";
        Self { caller, path, body, headers: Vec::new(), reading: Reading::Whole, wanted: Wanted::Answer }
    }

    pub fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn streamed(mut self) -> Self {
        self.body["stream"] = true.into();
        self
    }

    pub fn read(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    pub fn wants(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }

    pub fn is_stream(&self) -> bool {
        self.body["stream"] == true
    }

    /// Makes the call and reads its answer.
    pub async fn make(&self, line: &Line) -> Outcome {
        let key = match self.caller {
            Caller::Shop => &line.shop,
            Caller::Office => &line.office,
            Caller::Intern => &line.intern,
            Caller::Stranger => "fk-nobody",
        };
        let value = |value: &str| HeaderValue::from_str(value).ok();
        let headers =
            self.headers.iter().filter_map(|(name, text)| Some((HeaderName::from_static(name), value(text)?)));
        let url = format!("{}{}", line.base, self.path);
        let asked = line.client.ask((Method::POST, &url), Some(key), headers.collect(), Some(self.body.to_string()));
        let mut response = match asked.await {
            Ok(response) => response,
            Err(error) => return Outcome::Lost(error.to_string()),
        };
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (cache, attempts) = (header("x-fulcrum-cache"), header("x-fulcrum-attempts"));
        if self.reading == Reading::HangUp {
            return response.piece().await.map_or_else(|error| Outcome::Lost(error.to_string()), |_| Outcome::HungUp);
        }
        match response.text().await {
            Ok(text) if status < 300 => answered(self, &text, cache.as_deref(), attempts.as_deref()),
            Ok(text) => refused(status, &text),
            Err(error) => Outcome::Lost(error.to_string()),
        }
    }
}

fn answered(call: &Call, text: &str, cache: Option<&str>, attempts: Option<&str>) -> Outcome {
    if call.is_stream() && !text.trim_end().ends_with("data: [DONE]") {
        let last = text.trim_end().rsplit("data: ").next().unwrap_or_default();
        let (_, message) = error_of(last);
        return Outcome::Broke { message };
    }
    match cache {
        Some("hit") => Outcome::Hit,
        Some("coalesced") => Outcome::Coalesced,
        _ => Outcome::Served { retried: attempts.is_some_and(|attempts| attempts != "1") },
    }
}

fn refused(status: u16, text: &str) -> Outcome {
    let (code, message) = error_of(text);
    Outcome::Refused { status, code, message }
}

fn error_of(text: &str) -> (String, String) {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (field("code"), field("message"))
}

impl Outcome {
    /// Whether the outcome is the wanted one.
    pub fn is(&self, wanted: Wanted) -> bool {
        match self {
            Self::Served { .. } | Self::Hit | Self::Coalesced | Self::HungUp => {
                matches!(wanted, Wanted::Answer | Wanted::Either(_))
            }
            Self::Refused { code, .. } => {
                matches!(wanted, Wanted::Refusal(wanted) | Wanted::Either(wanted) if code == wanted)
            }
            Self::Broke { .. } => wanted == Wanted::Break,
            Self::Lost(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_without_its_end_is_broken() {
        let call = Call::chat(Caller::Shop, json!({})).streamed();
        let whole = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
        assert_eq!(answered(&call, whole, Some("miss"), Some("1")), Outcome::Served { retried: false });
        let torn = "data: {\"choices\":[]}\n\ndata: {\"error\":{\"message\":\"it broke\",\"code\":\"x\"}}\n\n";
        assert_eq!(answered(&call, torn, None, Some("1")), Outcome::Broke { message: "it broke".to_owned() });
    }

    #[test]
    fn an_answer_tells_where_it_came_from() {
        let call = Call::chat(Caller::Shop, json!({}));
        assert_eq!(answered(&call, "{}", Some("hit"), None), Outcome::Hit);
        assert_eq!(answered(&call, "{}", Some("coalesced"), None), Outcome::Coalesced);
        assert_eq!(answered(&call, "{}", None, Some("3")), Outcome::Served { retried: true });
    }

    #[test]
    fn only_the_wanted_code_is_a_wanted_refusal() {
        let call = refused(404, r#"{"error":{"message":"no","code":"prompt_not_found"}}"#);
        assert!(call.is(Wanted::Refusal("prompt_not_found")) && call.is(Wanted::Either("prompt_not_found")));
        assert!(!call.is(Wanted::Refusal("model_not_found")) && !call.is(Wanted::Answer));
        assert!(Outcome::Hit.is(Wanted::Answer) && !Outcome::Hit.is(Wanted::Break));
    }
}
