//! Embeds texts for one call: each call of the embedding model is an attempt of that call's, with a row and a cost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::super::fault::fault_of;
use super::super::incoming::Incoming;
use super::super::merged_call::{Mergeable, Merged};
use super::super::merges::Part;
use super::super::meter::Meter;
use super::super::open_attempt::Ended;
use super::super::price::Pricing;
use super::super::probe::Probe;
use super::super::reserve::Attempt;
use super::super::state::{Live, Parts};
use super::super::target_log::Met;
use super::known::{Model, Set, TextKey};
use crate::chat::{Code, Embed, UnitVector, Usage, Used, Vectors};
use crate::routing::{Asking, Entry, ExampleSet, Fault, Target};
use crate::types::now;
use crate::upstream::{Call, Failure, Operation, Phase, ProviderClient};
use crate::usage::{Role, Status};
use crate::wire::dialect::BadAnswer;
use crate::wire::{DialectId, gemini, openai_embeddings, token_estimate};

/// How long a call waits for vectors, all in all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nor longer than this part of what is left of its caller's limit: its answer has the rest.
const PART: u32 = 4;

/// The longest answer of an embedding model.
const LONGEST_ANSWER: usize = 16 << 20;

/// Why there are no vectors: the code of what the attempt met, or `all_targets_cooling` where none was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unembedded(pub &'static str);

impl From<Code> for Unembedded {
    fn from(code: Code) -> Self {
        Self(code.text())
    }
}

/// What is asked for the vectors of some texts.
struct Asked {
    count: usize,
    /// Whether it is in Gemini's shape, else in OpenAI's.
    is_geminis: bool,
    body: Bytes,
    /// Its tokens by estimate.
    tokens: u64,
}

/// The vectors of texts, and the tokens that their provider reports.
type Answer = (Vec<Arc<UnitVector>>, Option<Usage>);

/// An attempt that brought no vectors.
struct Failed {
    failure: Failure,
    /// Whether another caller's attempt stands for this one where the model's health is noted.
    is_anothers: bool,
}

/// What became of an attempt.
type Outcome = Result<Vec<Arc<UnitVector>>, Failed>;

/// Embeds texts for one call.
pub struct Embedder<'a> {
    parts: &'a Parts,
    live: &'a Live,
    incoming: &'a Incoming,
    meter: &'a Meter,
    target: &'a Arc<Target>,
    client: &'a Arc<ProviderClient>,
    deadline: Instant,
    /// Whether the deadline is a part of the caller's own limit.
    is_callers: bool,
}

impl<'a> Embedder<'a> {
    /// What embeds texts for a call; `None` where the configuration has no embedding model.
    pub fn of((parts, live): (&'a Parts, &'a Live), incoming: &'a Incoming, meter: &'a Meter) -> Option<Self> {
        let target = live.routes.embedding()?;
        let client = live.clients.get(&target.provider)?;
        let began = Instant::now();
        let left = incoming.timeout.map(|limit| (incoming.started + limit).saturating_duration_since(began));
        let callers = left.map(|left| left / PART).filter(|part| *part < PATIENCE);
        let (is_callers, deadline) = (callers.is_some(), began + callers.unwrap_or(PATIENCE));
        Some(Self { parts, live, incoming, meter, target, client, deadline, is_callers })
    }

    /// Whether texts stay inside of the organisation.
    pub fn is_local(&self) -> bool {
        self.client.provider().local
    }

    fn model(&self) -> Model<'a> {
        Model { provider: self.client.provider(), model: &self.target.model }
    }

    fn key(&self, text: &str) -> TextKey {
        self.model().key("text", &self.incoming.key.project, [text])
    }

    /// The vector of each text. What is known is not asked for, and equal texts of calls at once are asked for once.
    ///
    /// # Errors
    /// Where one cannot be had in time.
    pub async fn vectors(&self, texts: &[&str]) -> Result<Vec<Arc<UnitVector>>, Unembedded> {
        if let Some(known) = self.known(texts) {
            return Ok(known);
        }
        let key = self.model().key("texts", &self.incoming.key.project, texts.iter().copied());
        self.in_turn(key, async {
            if let Some(known) = self.known(texts) {
                return Ok(known);
            }
            let mut lacking: Vec<&str> = Vec::new();
            for text in texts {
                if !lacking.contains(text) && self.vector(text).is_none() {
                    lacking.push(text);
                }
            }
            let vectors = self.embed(&lacking).await?;
            let found: Vec<(&str, Arc<UnitVector>)> = lacking.into_iter().zip(vectors).collect();
            for (text, vector) in &found {
                self.parts.meaning.keep(self.key(text), vector.clone());
            }
            let of = |text: &&str| {
                let new = found.iter().find(|(known, _)| known == text).map(|(_, vector)| vector.clone());
                new.or_else(|| self.vector(text)).ok_or(Unembedded::from(Code::Internal))
            };
            texts.iter().map(of).collect()
        })
        .await
    }

    /// Sees to it that the vectors of sets of examples are known, as far as they can be.
    pub async fn learn(&self, sets: &[Arc<ExampleSet>]) {
        let is_open = |key: &TextKey| matches!(self.parts.meaning.set(key, Instant::now()), Set::Open);
        for set in sets {
            let key = self.model().key_of_set(set);
            if !is_open(&key) {
                continue;
            }
            let learnt = self.in_turn(key, async {
                if !is_open(&key) {
                    return Ok(());
                }
                let sentences: Vec<&str> = set.sentences.iter().map(String::as_str).collect();
                let embedded = self.embed(&sentences).await;
                let failed = embedded.as_ref().err().copied();
                // What one caller has no time for has not failed for others.
                if failed.is_none_or(|failed| !self.is_haste(failed)) {
                    self.parts.meaning.keep_set(key, embedded.ok(), Instant::now());
                }
                failed.map_or(Ok(()), Err)
            });
            if let Err(failed @ Unembedded(reason)) = learnt.await
                && !self.is_haste(failed)
            {
                tracing::warn!(examples = %set.name, reason, "the examples `{}` cannot be embedded", set.name);
            }
        }
    }

    /// The vectors of texts, where all are known.
    pub fn known(&self, texts: &[&str]) -> Option<Vec<Arc<UnitVector>>> {
        texts.iter().map(|text| self.vector(text)).collect()
    }

    fn vector(&self, text: &str) -> Option<Arc<UnitVector>> {
        self.parts.meaning.text(&self.key(text))
    }

    /// Runs what embeds these texts, once no other call does.
    async fn in_turn<T>(
        &self,
        key: TextKey,
        run: impl Future<Output = Result<T, Unembedded>>,
    ) -> Result<T, Unembedded> {
        let (queued, began) = (self.parts.meaning.queue(key), Instant::now());
        let turn = timeout_at(self.deadline, queued.turn()).await;
        self.meter.waited(began.elapsed());
        match turn {
            Ok(_turn) => run.await,
            Err(_late) => Err(Code::RequestTimeout.into()),
        }
    }

    /// Asks for the vectors of some texts: as part of a merged call where the provider has a `batch_window`, else alone.
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Arc<UnitVector>>, Unembedded> {
        let asking = Asking { target: self.target, key: &self.incoming.key.id, began: now() };
        if self.deadline <= Instant::now() {
            return Err(Code::RequestTimeout.into());
        }
        // Calls that wait for how a probe ends are served after this one.
        let _probes = self.enter(asking)?;
        self.parts.health.called(&self.target.provider, asking.began);
        let asked = self.asked(texts);
        let outcome = match self.merged(&asked).await? {
            Merged::Ended(outcome) => outcome,
            Merged::Alone(trial) => {
                let outcome = self.alone(&asked).await?;
                trial.iter().for_each(|trial| trial.saw(outcome.is_ok()));
                outcome
            }
        };
        let met = Met { target: self.target, key: asking.key, request: self.incoming.id };
        match outcome {
            Ok(vectors) => {
                self.parts.health.succeeded(asking, now());
                if self.is_callers {
                    self.parts.meaning.in_haste.succeeded(asking, now());
                }
                self.parts.target_log.answered(met, now());
                Ok(vectors)
            }
            Err(Failed { failure, is_anothers }) => {
                self.note_failure(asking, &failure, is_anothers);
                self.parts.target_log.failed(met, &failure, &self.parts.health, now());
                Err(failure.code().into())
            }
        }
    }

    /// What is asked for the vectors of some texts.
    fn asked(&self, texts: &[&str]) -> Asked {
        let embed = Embed { texts: texts.iter().map(|text| (*text).to_owned()).collect(), dimensions: None };
        let is_geminis = self.client.provider().kind.row().embeddings() == Some(DialectId::Gemini);
        let body = match is_geminis {
            true => gemini::write_embed(&embed, &self.target.model),
            false => openai_embeddings::write_embed(&embed, &self.target.model),
        };
        let tokens = token_estimate::of_bytes(texts.iter().map(|text| text.len()).sum());
        Asked { count: texts.len(), is_geminis, body, tokens }
    }

    async fn attempt(&self, asked: &Asked, pricing: Pricing) -> Result<Attempt, Unembedded> {
        let attempt = self.meter.attempt(Some(Role::Embedding), self.target, pricing, asked.estimate().into()).await;
        attempt.map_err(|error| error.code.into())
    }

    /// One attempt that is part of a merged call. It may have to go out alone after that.
    async fn merged(&self, asked: &Asked) -> Result<Merged<Outcome>, Unembedded> {
        let Self { live, incoming, client, target, .. } = *self;
        let (parts, deadline) = (self.meter.parts(), Some(self.deadline));
        let mergeable = Mergeable { parts, live, incoming, client, target, deadline };
        let Some(window) = mergeable.window().filter(|_| !asked.is_geminis) else {
            return Ok(Merged::Alone(None));
        };
        let Some(member) = mergeable.member(asked.body.clone(), asked.tokens) else {
            return Ok(Merged::Alone(None));
        };
        let (pricing, _) = live.priced(client.provider(), target);
        let attempt = self.attempt(asked, pricing.clone()).await?;
        Ok(match mergeable.part(window, pricing, member).await {
            Part::Answer(share, cost) => {
                attempt.charge(cost);
                Merged::Ended(self.ended(&attempt, asked, asked.read(&share.body), false))
            }
            Part::Failed { failure, is_first } => Merged::Ended(self.ended(&attempt, asked, Err(failure), !is_first)),
            Part::Alone(failure, trial) => {
                let _first = self.ended(&attempt, asked, Err(failure), false);
                Merged::Alone(trial)
            }
        })
    }

    /// One attempt by itself.
    async fn alone(&self, asked: &Asked) -> Result<Outcome, Unembedded> {
        let (pricing, _) = self.live.priced(self.client.provider(), self.target);
        let attempt = self.attempt(asked, pricing).await?;
        let called = tokio::select! {
            biased;
            called = self.call(asked) => called,
            () = self.parts.closing.cancelled() => Err(Failure::Closing),
        };
        Ok(self.ended(&attempt, asked, called, false))
    }

    /// Notes how an attempt ended in its row.
    fn ended(&self, attempt: &Attempt, asked: &Asked, answer: Result<Answer, Failure>, is_anothers: bool) -> Outcome {
        let failure = match answer {
            Ok((vectors, usage)) => {
                attempt.end(Ended::well(Used::from(usage.unwrap_or(asked.estimate()))));
                return Ok(vectors);
            }
            Err(failure) => self.client.redacted(self.late(failure)),
        };
        attempt.end(Ended {
            status: Status::Error,
            http_status: failure.status(),
            error: Some(failure.code().text()),
            retryable: failure.is_retryable(),
            used: None,
        });
        Err(Failed { failure, is_anothers })
    }

    /// Whether it failed for the caller's own limit, or may have: others can wait for longer.
    fn is_haste(&self, Unembedded(reason): Unembedded) -> bool {
        self.is_callers && [Code::RequestTimeout.text(), Code::AllTargetsCooling.text()].contains(&reason)
    }

    /// Enters the model where it may be asked: as its health says, and for a caller with a short limit as those before it fared.
    fn enter<'t>(&'t self, asking: Asking<'t>) -> Result<[Option<Probe<'t>>; 2], Unembedded> {
        let (in_haste, health) = (&self.parts.meaning.in_haste, &self.parts.health);
        let entered = |entry, health, line| match entry {
            Entry::Open => Ok(None),
            Entry::Probe => Ok(Some(Probe::new(health, asking, line))),
            Entry::Closed => Err(Unembedded::from(Code::AllTargetsCooling)),
        };
        let hasty = if self.is_callers { entered(in_haste.enter(asking), in_haste, None)? } else { None };
        Ok([hasty, entered(health.enter(asking), health, Some(&self.parts.probe_line))?])
    }

    /// Notes a failure for the model's health, which only callers' attempts touch. That a part of a caller's limit passed is no fault
    /// of the model, but a reason not to ask it for such callers for a while.
    fn note_failure(&self, asking: Asking<'_>, failure: &Failure, is_anothers: bool) {
        let counts = self.incoming.own.is_none() && !is_anothers;
        match fault_of(failure).filter(|_| counts) {
            Some(fault) => self.parts.health.failed(asking, fault, now(), rand::random()),
            None => self.parts.health.abandoned(asking, now()),
        }
        let in_haste = &self.parts.meaning.in_haste;
        match (self.is_callers, failure) {
            (true, Failure::TimedOut(Phase::Caller)) => in_haste.failed(asking, Fault::Slow, now(), rand::random()),
            (true, _) => in_haste.abandoned(asking, now()),
            (false, _) => {}
        }
    }

    /// A failure as the model's, where the limit that passed is not the caller's own.
    fn late(&self, failure: Failure) -> Failure {
        match failure {
            Failure::TimedOut(Phase::Caller) if !self.is_callers => Failure::TimedOut(Phase::FirstToken),
            failure => failure,
        }
    }

    async fn call(&self, asked: &Asked) -> Result<Answer, Failure> {
        let call = Call {
            operation: if asked.is_geminis { Operation::EmbedContents } else { Operation::Embeddings },
            model: &self.target.model,
            stream: false,
            headers: HeaderMap::new(),
            body: asked.body.clone(),
            deadline: Some(self.deadline),
            project: &self.incoming.key.project,
            shares: self.incoming.key.shares,
            background: self.incoming.background,
        };
        asked.read(&self.client.send(call).await?.whole(LONGEST_ANSWER).await?)
    }
}

impl Asked {
    /// What it is reckoned to use.
    fn estimate(&self) -> Usage {
        Usage { input: self.tokens, estimated: true, ..Usage::default() }
    }

    /// Its answer.
    fn read(&self, body: &Bytes) -> Result<Answer, Failure> {
        let read = if self.is_geminis { gemini::read_vectors(body) } else { openai_embeddings::read_vectors(body) };
        let Vectors { vectors, usage } = read.map_err(|error: BadAnswer| Failure::Protocol(error.to_string()))?;
        let found: Option<Vec<_>> = vectors.iter().map(|vector| UnitVector::of(vector).map(Arc::new)).collect();
        let is_even = |vectors: &Vec<Arc<UnitVector>>| {
            let width = vectors.first().map(|vector| vector.numbers().len());
            vectors.iter().all(|vector| Some(vector.numbers().len()) == width)
        };
        let found = found.filter(|vectors| vectors.len() == self.count && is_even(vectors));
        let message = || Failure::Protocol(format!("it has not {} vectors of one length", self.count));
        Ok((found.ok_or_else(message)?, usage))
    }
}
