//! Settings that OpenAI's and Google's APIs have, and Anthropic's and Amazon's lack.

use crate::chat::Request;

/// The first setting of a request that an API without these cannot honour.
pub(super) fn unavailable(request: &Request) -> Option<&'static str> {
    let is_penalty = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let settings = [
        (request.choices.is_some_and(|choices| choices > 1), "n"),
        (request.logprobs.is_some(), "logprobs"),
        (is_penalty(request.sampling.frequency_penalty), "frequency_penalty"),
        (is_penalty(request.sampling.presence_penalty), "presence_penalty"),
        (request.sampling.seed.is_some(), "seed"),
    ];
    settings.into_iter().find_map(|(is_set, field)| is_set.then_some(field))
}
