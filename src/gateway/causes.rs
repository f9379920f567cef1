//! Why a target refuses a request that another may answer, on routes that have targets for that.

use std::sync::Arc;

use serde::Serialize;

use super::answer::Answered;
use super::attempt::{Attempts, Turn};
use super::beginning::read_on;
use super::empty::is_empty;
use super::open_attempt::Ended;
use super::peek::has_content;
use super::price::known_as;
use super::rendering::Rendering;
use super::reserve::Attempt;
use crate::chat::{self, Code, Stop, Usage};
use crate::routing::{Cause, Standing, Target};
use crate::types::now;
use crate::upstream::Failure;
use crate::wire::ProviderDialect;
use crate::wire::filtered;
use crate::wire::sse::Event;

/// A target that is skipped, since by estimate the request is longer than its model reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TooLong {
    pub(super) model: Arc<str>,
    /// How many tokens the model reads.
    pub(super) reads: u64,
    /// How many the request has, by estimate. Not a part of traces, which are the same for all requests with that outcome.
    #[serde(skip)]
    pub(super) input_tokens: u64,
    /// The target that is asked in its place.
    pub(super) asked_first: Arc<str>,
}

impl Attempts<'_> {
    fn has_targets(&self, cause: Cause) -> bool {
        self.plan.causes.as_deref().is_some_and(|causes| !causes.of(cause).is_empty())
    }

    /// The cause of a failure, where the plan has targets for it.
    pub(super) fn cause_of(&self, failure: &Failure) -> Option<Cause> {
        self.plan.causes.as_ref()?;
        let (Failure::Refused { error, .. } | Failure::Server { status: 200, error }) = failure else { return None };
        let cause = match error.code {
            Code::ContextLengthExceeded => Some(Cause::ContextLength),
            Code::ContentFilter => Some(Cause::ContentFilter),
            _ => filtered::is_refusal(error).then_some(Cause::ContentFilter),
        };
        cause.filter(|cause| self.has_targets(*cause))
    }

    /// The target of the plan that is asked first, where the request is too long for it.
    pub(super) fn first_skipped(&self) -> Option<TooLong> {
        let first = self.plan.targets.iter().position(|target| self.takes_calls(target));
        self.too_long(first.unwrap_or_default())
    }

    /// How much longer the request is, by estimate, than the model at `place` reads, where a target for that takes calls.
    /// Nothing is known of most models.
    pub(super) fn too_long(&self, place: usize) -> Option<TooLong> {
        let causes = self.plan.causes.as_deref()?;
        let target = self.plan.targets.get(place)?;
        let (input_tokens, reads) = self.exceeded(target)?;
        let asked_first = causes.of(Cause::ContextLength).iter().find(|target| self.takes_calls(target))?;
        Some(TooLong { model: target.id.clone(), reads, input_tokens, asked_first: asked_first.id.clone() })
    }

    /// The tokens of the request, and how many `target` reads, where these are fewer.
    fn exceeded(&self, target: &Target) -> Option<(u64, u64)> {
        let client = self.live.clients.get(&target.provider)?;
        let about = known_as(&self.live.prices, client.provider(), target);
        let most = about.and_then(|about| about.max_input_tokens).or_else(|| {
            client
                .listed_models()
                .iter()
                .find(|listed| listed.id.as_str() == &*target.model)
                .and_then(|listed| listed.context)
        });
        let (most, input) = (most?, self.request.rendering(target).ok()?.input_tokens());
        (input > most).then_some((input, most))
    }

    fn takes_calls(&self, target: &Target) -> bool {
        let standing = self.parts.health.state(target, &self.incoming.key.id, now());
        !matches!(standing, Standing::Cooling { .. })
    }

    /// Whether an answer to `request` says nothing, as far as it is there.
    pub(super) fn says_nothing(answered: &Answered, request: &Rendering) -> bool {
        match answered {
            _ if !request.endpoint.is_answer() => false,
            Answered::Whole { body, used, .. } => is_empty(body, used.usage, request.endpoint.dialect()),
            Answered::Stream { dialect, first, .. } => ends_without_words(*dialect, first),
            Answered::Bytes { .. } => false,
        }
    }

    /// Whether a filter ended an answer before anything of it went down, where the plan has targets for that: the attempt has
    /// ended then.
    pub(super) async fn ends_filtered(&self, turn: &Turn<'_>, attempt: &Attempt, answered: &mut Answered) -> bool {
        if !self.has_targets(Cause::ContentFilter) || !turn.rendering.endpoint.is_answer() {
            return false;
        }
        match answered {
            Answered::Whole { ended_well: true, .. } | Answered::Bytes { .. } => false,
            Answered::Whole { body, used, .. } => {
                let is_filtered =
                    turn.rendering.codec().read_response(body).is_ok_and(|answer| filtered::ended(&answer));
                if is_filtered {
                    attempt.end(Ended::filtered(Some(*used)));
                }
                is_filtered
            }
            Answered::Stream { dialect, answer, decoder, first, .. } => {
                if !ends_without_content(*dialect, first) {
                    return false;
                }
                Box::pin(read_on((answer, decoder), first, attempt)).await;
                let used = usage_in(*dialect, first).map(Into::into).or_else(|| attempt.estimate());
                attempt.end(Ended::filtered(used));
                true
            }
        }
    }
}

/// What the first events of a stream mean, as far as they can be read.
fn meant(dialect: ProviderDialect, first: &[Event]) -> Vec<chat::Event> {
    let (mut reader, mut meant) = (dialect.codec().stream_reader(), Vec::new());
    for event in first {
        if reader.read(event, &mut meant).is_err() {
            break;
        }
    }
    meant
}

/// Whether a stream is at its end, by a filter and without content.
fn ends_without_content(dialect: ProviderDialect, first: &[Event]) -> bool {
    let meant = meant(dialect, first);
    let is_filtered =
        |event: &chat::Event| matches!(event, chat::Event::Finish { stop: Stop::Filtered | Stop::Refused, .. });
    meant.iter().any(is_filtered) && !meant.iter().any(says_something)
}

/// Whether a stream is at its end, and has no content.
fn ends_without_words(dialect: ProviderDialect, first: &[Event]) -> bool {
    let meant = meant(dialect, first);
    let is_end = |event: &chat::Event| matches!(event, chat::Event::Finish { .. } | chat::Event::End);
    meant.iter().any(is_end) && !meant.iter().any(says_something)
}

fn says_something(event: &chat::Event) -> bool {
    !matches!(event, chat::Event::End) && has_content(event)
}

fn usage_in(dialect: ProviderDialect, first: &[Event]) -> Option<Usage> {
    let of_event = |event: &chat::Event| if let chat::Event::Usage(usage) = event { Some(*usage) } else { None };
    meant(dialect, first).iter().rev().find_map(of_event)
}
