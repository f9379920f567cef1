//! What an answer of a cascade's target must be to be accepted: the checks that look at the answer alone.

use std::sync::Arc;

use regex::Regex;
use serde_json::{Value, json};

use super::refusal::begins_as_refusal;
use super::target::Target;
use crate::chat::{Choice, Content, Response, Stop};
use crate::wire::exact_numbers;

/// The checks that look at an answer alone. Those that are not set are passed.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// The least confidence that the answer must carry, 0 to 1.
    pub min_confidence: Option<f64>,
    /// Whether the answer must be of the form that the request asked for, or JSON where it asked for none.
    pub json_schema: bool,
    /// What the answer's text must match.
    pub regex: Option<Regex>,
    /// Whether the answer must be no refusal.
    pub not_refusal: bool,
    /// The least mean of the log-probabilities of the answer's tokens, at most 0.
    pub min_logprob: Option<f64>,
    /// The most characters of the answer's text.
    pub max_chars: Option<u64>,
}

/// The `accept` of a target, compiled.
#[derive(Debug)]
pub struct Accept {
    /// The checks that look at the answer alone.
    pub checks: Checks,
    /// Who judges an answer that passed them.
    pub judge: Option<Arc<Target>>,
}

/// What an answer shows of itself beside its body.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shown {
    /// The confidence that the model itself states, 0 to 1.
    pub confidence: Option<f64>,
    /// The mean of the log-probabilities of its tokens.
    pub mean_logprob: Option<f64>,
}

/// Why an answer was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// It says nothing and calls no tool.
    Empty,
    /// It is a refusal.
    Refusal,
    /// It has too many characters.
    TooLong,
    /// Its text does not match.
    NoMatch,
    /// It is not of the form that was asked for, or no JSON.
    Form,
    /// Its model is not sure enough.
    Unsure,
    /// Its model states no confidence.
    NoConfidence,
    /// Its tokens are too unlikely.
    Unlikely,
    /// It came without a log-probability of each token.
    NoLogprobs,
    /// The judge says that it is not good.
    Judged,
    /// The judge said nothing that can be read, or could not be asked.
    NoJudgement,
    /// It, or the request, is longer than what a judge reads.
    TooLongToJudge,
}

impl NotAccepted {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::Refusal,
        Self::TooLong,
        Self::NoMatch,
        Self::Form,
        Self::Unsure,
        Self::NoConfidence,
        Self::Unlikely,
        Self::NoLogprobs,
        Self::Judged,
        Self::NoJudgement,
        Self::TooLongToJudge,
    ];

    /// The code of the attempt whose answer was not accepted: it names the check.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "not_accepted_empty",
            Self::Refusal => "not_accepted_refusal",
            Self::TooLong => "not_accepted_max_chars",
            Self::NoMatch => "not_accepted_regex",
            Self::Form => "not_accepted_json_schema",
            Self::Unsure | Self::NoConfidence => "not_accepted_min_confidence",
            Self::Unlikely | Self::NoLogprobs => "not_accepted_min_logprob",
            Self::Judged | Self::NoJudgement | Self::TooLongToJudge => "not_accepted_judge",
        }
    }

    /// Why, in words that are the same for all such answers.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::Refusal => "it is a refusal",
            Self::TooLong => "it has more characters than max_chars",
            Self::NoMatch => "it does not match regex",
            Self::Form => "it is not of the form asked for",
            Self::Unsure => "its confidence is below min_confidence",
            Self::NoConfidence => "its model states no confidence",
            Self::Unlikely => "its mean log-probability is below min_logprob",
            Self::NoLogprobs => "it came without a log-probability of each token",
            Self::Judged => "the judge says that it is not good",
            Self::NoJudgement => "no judgement of it came",
            Self::TooLongToJudge => "it or its request is longer than a judge reads",
        }
    }

    /// Whether this is the code of an answer that was not accepted.
    #[must_use]
    pub fn is_code(code: &str) -> bool {
        Self::ALL.iter().any(|refused| refused.code() == code)
    }
}

impl Checks {
    /// Whether no check is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { min_confidence, json_schema, regex, not_refusal, min_logprob, max_chars } = self;
        let is_set = [min_confidence.is_some(), *json_schema, regex.is_some(), *not_refusal];
        !(is_set.contains(&true) || min_logprob.is_some() || max_chars.is_some())
    }

    /// Looks at a whole answer, the cheapest checks first; `fits` says whether it is of the form that was asked for. All choices
    /// must pass. A call of a tool is no text, so `regex` and `max_chars` look at what text there is beside it.
    ///
    /// # Errors
    /// The first check that the answer does not pass.
    pub fn look(&self, answer: &Response, shown: Shown, fits: impl FnOnce() -> bool) -> Result<(), NotAccepted> {
        let choices = &answer.choices;
        if choices.is_empty() || choices.iter().any(is_empty) {
            return Err(NotAccepted::Empty);
        }
        if self.not_refusal && choices.iter().any(is_refusal) {
            return Err(NotAccepted::Refusal);
        }
        choices.iter().try_for_each(|choice| self.look_at_text(choice))?;
        if self.json_schema && !fits() {
            return Err(NotAccepted::Form);
        }
        at_least(self.min_confidence, shown.confidence, [NotAccepted::Unsure, NotAccepted::NoConfidence])?;
        let mean_logprob = shown.mean_logprob.or_else(|| mean_logprob(answer));
        at_least(self.min_logprob, mean_logprob, [NotAccepted::Unlikely, NotAccepted::NoLogprobs])
    }

    fn look_at_text(&self, choice: &Choice) -> Result<(), NotAccepted> {
        if self.regex.is_none() && self.max_chars.is_none() {
            return Ok(());
        }
        let text = text_of(choice);
        if text.is_empty() && calls_tools(choice) {
            return Ok(());
        }
        let is_within = |most: u64| text.chars().nth(usize::try_from(most).unwrap_or(usize::MAX)).is_none();
        if !self.max_chars.is_none_or(is_within) {
            return Err(NotAccepted::TooLong);
        }
        match self.regex.as_ref().is_none_or(|regex| regex.is_match(&text)) {
            true => Ok(()),
            false => Err(NotAccepted::NoMatch),
        }
    }
}

impl Accept {
    /// The checks as the admin API and `explain` show them.
    #[must_use]
    pub fn shown(&self) -> Value {
        let Checks { min_confidence, json_schema, regex, not_refusal, min_logprob, max_chars } = &self.checks;
        let all = json!({
            "min_confidence": min_confidence, "json_schema": json_schema.then_some(true),
            "regex": regex.as_ref().map(Regex::as_str), "not_refusal": not_refusal.then_some(true),
            "min_logprob": min_logprob, "max_chars": max_chars, "judge": self.judge.as_ref().map(|judge| &judge.id),
        });
        let Value::Object(mut set) = all else { return Value::Null };
        set.retain(|_, value| !value.is_null());
        Value::Object(set)
    }
}

fn at_least(least: Option<f64>, found: Option<f64>, [below, none]: [NotAccepted; 2]) -> Result<(), NotAccepted> {
    match (least, found) {
        (None, _) => Ok(()),
        (Some(least), Some(found)) if found >= least => Ok(()),
        (Some(_), Some(_)) => Err(below),
        (Some(_), None) => Err(none),
    }
}

/// The text of a choice, without its thoughts.
#[must_use]
pub fn text_of(choice: &Choice) -> String {
    choice.parts.iter().filter_map(|part| part.as_text()).collect()
}

fn calls_tools(choice: &Choice) -> bool {
    choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }))
}

fn is_empty(choice: &Choice) -> bool {
    let says = |content: &Content| match content {
        Content::Text { text, .. } | Content::Refusal(text) => !text.trim().is_empty(),
        Content::Thinking(_) => false,
        other => !matches!(other, Content::RedactedThinking(_)),
    };
    !choice.parts.iter().any(|part| says(&part.content))
}

/// Whether a choice is a refusal: its provider says so, or it begins with the words of one.
fn is_refusal(choice: &Choice) -> bool {
    let is_named = |part: &crate::chat::Part| matches!(part.content, Content::Refusal(_));
    matches!(choice.stop, Some(Stop::Refused | Stop::Filtered))
        || choice.parts.iter().any(is_named)
        || (!calls_tools(choice) && begins_as_refusal(&text_of(choice)))
}

/// The mean of the log-probabilities of all tokens of an answer; `None` where it has none, or where that of any token or choice is
/// missing or no logarithm of a probability: a mean of the others says nothing of those.
#[must_use]
pub fn mean_logprob(answer: &Response) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for choice in &answer.choices {
        let tokens = choice.logprobs.as_ref()?.get("content")?.as_array().filter(|tokens| !tokens.is_empty())?;
        for token in tokens {
            let logprob = exact_numbers::as_f64(token.get("logprob")?)?;
            sum += Some(logprob).filter(|logprob| logprob.is_finite() && *logprob <= 0.0)?;
            count += 1;
        }
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Part;

    const REFUSAL: &str = "I'm sorry, but I can't help with that.";

    fn answer(text: &str) -> Response {
        let choice = Choice { parts: vec![Part::text(text)], stop: Some(Stop::End), logprobs: None };
        Response { choices: vec![choice], ..Response::default() }
    }

    fn call(text: &str) -> Response {
        let mut response = answer(text);
        let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        response.choices[0].parts.push(Part::new(call));
        response
    }

    fn look(checks: &Checks, answer: &Response) -> Result<(), NotAccepted> {
        checks.look(answer, Shown::default(), || true)
    }

    #[test]
    fn each_check_refuses_what_it_is_for() {
        let regex = Checks { regex: Some(Regex::new("^[A-Z]").unwrap()), ..Checks::default() };
        let short = Checks { max_chars: Some(2), ..Checks::default() };
        let polite = Checks { not_refusal: true, ..Checks::default() };
        for (checks, good, bad, why) in [
            (&regex, "Yes", "no", NotAccepted::NoMatch),
            (&short, "äö", "äöü", NotAccepted::TooLong),
            (&polite, "Sorry to hear that.", "I'm sorry, but I can't help with that.", NotAccepted::Refusal),
            (&Checks::default(), "x", " \n", NotAccepted::Empty),
        ] {
            assert_eq!(look(checks, &answer(good)), Ok(()), "{good}");
            assert_eq!(look(checks, &answer(bad)), Err(why), "{bad}");
        }
        let form = Checks { json_schema: true, ..Checks::default() };
        assert_eq!(form.look(&answer("x"), Shown::default(), || false), Err(NotAccepted::Form));
    }

    #[test]
    fn what_an_answer_shows_must_be_there_and_be_enough() {
        let checks = Checks { min_confidence: Some(0.9), min_logprob: Some(-0.5), ..Checks::default() };
        let with = |confidence, mean_logprob| {
            let shown = Shown { confidence, mean_logprob };
            checks.look(&answer("x"), shown, || true)
        };
        assert_eq!(with(Some(0.9), Some(-0.5)), Ok(()));
        assert_eq!(with(Some(0.89), Some(-0.5)), Err(NotAccepted::Unsure));
        assert_eq!(with(None, Some(-0.5)), Err(NotAccepted::NoConfidence));
        assert_eq!(with(Some(1.0), Some(-0.51)), Err(NotAccepted::Unlikely));
        assert_eq!(with(Some(1.0), None), Err(NotAccepted::NoLogprobs));
    }

    #[test]
    fn the_mean_is_over_all_tokens_of_all_choices() {
        let mut response = answer("x");
        response.choices[0].logprobs = Some(json!({"content": [{"logprob": -1.0}, {"logprob": -2.0}]}));
        assert_eq!(mean_logprob(&response), Some(-1.5));
        let second = Choice { logprobs: Some(json!({"content": [{"logprob": 0.0}]})), ..response.choices[0].clone() };
        response.choices.push(second);
        assert_eq!(mean_logprob(&response), Some(-1.0));
        response.choices[1].logprobs = None;
        assert_eq!(mean_logprob(&response), None, "a choice without any");
    }

    #[test]
    fn a_mean_is_of_every_token_or_there_is_none() {
        for other in [
            json!({"token": "b"}),
            json!({"logprob": null}),
            json!({"logprob": "NaN"}),
            json!({"logprob": "-0.1"}),
            json!({"logprob": 0.1}),
            json!({"logprob": [-0.1]}),
            json!(null),
        ] {
            let mut response = answer("x");
            response.choices[0].logprobs = Some(json!({"content": [{"logprob": -0.1}, other]}));
            assert_eq!(mean_logprob(&response), None, "{other}");
            let checks = Checks { min_logprob: Some(-0.5), ..Checks::default() };
            assert_eq!(look(&checks, &response), Err(NotAccepted::NoLogprobs), "{other}");
        }
        let beyond =
            exact_numbers::read::<Value>(br#"{"content": [{"logprob": 1e999}, {"logprob": -1e999}]}"#).unwrap();
        let mut response = answer("x");
        for list in [json!([beyond["content"][0]]), json!([beyond["content"][1]]), json!([])] {
            response.choices[0].logprobs = Some(json!({"content": list}));
            assert_eq!(mean_logprob(&response), None);
        }
    }

    #[test]
    fn every_choice_must_pass_and_a_call_of_a_tool_is_no_text() {
        let checks = Checks { regex: Some(Regex::new("^yes$").unwrap()), not_refusal: true, ..Checks::default() };
        let mut two = answer("yes");
        two.choices.push(answer("no").choices.remove(0));
        assert_eq!(look(&checks, &two), Err(NotAccepted::NoMatch));
        assert_eq!(look(&checks, &call("")), Ok(()));
        assert_eq!(look(&checks, &call("no")), Err(NotAccepted::NoMatch));
        let mut filtered = answer("yes");
        filtered.choices[0].stop = Some(Stop::Filtered);
        assert_eq!(look(&checks, &filtered), Err(NotAccepted::Refusal));
        let polite = Checks { not_refusal: true, ..Checks::default() };
        for (text, why) in [(" ", NotAccepted::Empty), (REFUSAL, NotAccepted::Refusal)] {
            two.choices[1] = answer(text).choices.remove(0);
            assert_eq!(look(&polite, &two), Err(why), "one of two: {text}");
        }
    }

    #[test]
    fn a_refusal_is_what_its_provider_calls_one_and_no_words_beside_a_call() {
        let polite = Checks { not_refusal: true, ..Checks::default() };
        assert_eq!(look(&polite, &call(REFUSAL)), Ok(()), "it calls a tool");
        let with = |content: Content| {
            let choice = Choice { parts: vec![Part::new(content)], stop: Some(Stop::End), logprobs: None };
            Response { choices: vec![choice], ..Response::default() }
        };
        let refused = with(Content::Refusal("No.".to_owned()));
        assert_eq!(look(&polite, &refused), Err(NotAccepted::Refusal));
        let yes = Checks { regex: Some(Regex::new("^yes$").unwrap()), ..Checks::default() };
        assert_eq!(look(&yes, &refused), Err(NotAccepted::NoMatch), "it has no text, and calls no tool");
        assert_eq!(look(&Checks::default(), &with(Content::Thinking("Hm".to_owned()))), Err(NotAccepted::Empty));
    }
}
