//! The cache by meaning: an answer that is stored for another question may serve one that means the same.

use std::time::Duration;

use super::super::aside::LARGE;
use super::super::meter::Meter;
use super::super::planned::Planned;
use super::super::recall::Hit;
use super::embedder::{Embedder, Unembedded};
use super::known::Model;
use super::meant::Meant;
use crate::cache::{self, CacheKey, Question, Scanned, Similar, bucket_key};
use crate::chat::{Content, Stop};
use crate::routing::{CacheMode, Target};
use crate::types::now;

/// A scan over more questions than this runs on the pool: it may take the processor longer than a fifth of a millisecond.
const MANY: usize = 16_384;

/// How long such a scan may wait for a thread of the pool, and run.
const PATIENCE: Duration = Duration::from_millis(500);

/// What of a question is compared by meaning, and the key of all else.
pub struct Compared {
    /// The key of all else.
    pub bucket: CacheKey,
    /// The texts.
    pub texts: Vec<Box<str>>,
}

impl Planned {
    /// Whether a stored answer may be found by meaning, and was not looked for yet.
    pub fn looks_by_meaning(&self) -> bool {
        self.plan.cache.mode == CacheMode::Semantic
            && matches!(self.meant, Meant::Unasked)
            && self.request.endpoint.is_answer()
    }

    /// What of the question to `target` is compared by meaning; `None` where only an equal question may get its answer.
    pub fn compared(&self, target: &Target) -> Option<Compared> {
        if self.incoming.body.len() > LARGE || self.counting_headers().next().is_some() {
            return None;
        }
        let embedding = self.live.routes.embedding()?;
        let base_url = &self.live.clients.get(&embedding.provider)?.provider().base_url;
        let meaning = format!("{base_url} {}", embedding.id);
        let rendering = self.rendering(Some(target));
        let request = rendering.question()?;
        let texts = cache::texts(&request)?.into_iter().map(Into::into).collect();
        let (served_by, beside) = ((&*target.provider, &*target.model), self.beside(target));
        Some(Compared { bucket: bucket_key(self.scope(), served_by, (&beside, &meaning), &request), texts })
    }

    /// The question as it is compared, where the vectors of all its texts are known without a call.
    pub fn known_question(&self, compared: &Compared) -> Option<Question> {
        let embedding = self.live.routes.embedding()?;
        let provider = self.live.clients.get(&embedding.provider)?.provider();
        let (model, project) = (Model { provider, model: &embedding.model }, &self.incoming.key.project);
        let vector = |text: &str| self.parts.meaning.text(&model.key("text", project, [text]));
        let vectors: Option<Vec<_>> = compared.texts.iter().map(|text| vector(text)).collect();
        Some(Question { bucket: compared.bucket, texts: compared.texts.clone(), vectors: vectors? })
    }

    /// Looks for the answer to a question that means the same; what the call is known to mean is kept for its own answer.
    pub async fn similar(&mut self, target: &Target, meter: &Meter) -> Option<Hit> {
        self.meant = Meant::Alone;
        let Compared { bucket, texts } = self.compared(target)?;
        let embedder = Embedder::of((&self.parts, &self.live), &self.incoming, meter)?;
        if self.plan.local_only && !embedder.is_local() {
            return None;
        }
        let borrowed: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let vectors = match self.incoming.cache.only {
            // Then nobody is called.
            true => embedder.known(&borrowed)?,
            false => match embedder.vectors(&borrowed).await {
                Ok(vectors) => vectors,
                Err(Unembedded(reason)) => {
                    self.parts.metrics.embedding_failed("cache");
                    tracing::debug!(request = %self.incoming.id, reason, "a question has no vectors, so none like it is looked for");
                    return None;
                }
            },
        };
        let question = Box::new(Question { bucket, texts, vectors });
        let hit = if self.incoming.cache.read { self.resembling(&question).await } else { None };
        self.meant = Meant::Known(question);
        hit
    }

    async fn resembling(&self, question: &Question) -> Option<Hit> {
        let threshold = self.plan.cache.threshold.number();
        let scanned = match self.parts.cache.similar_size(&question.bucket) {
            0..=MANY => self.parts.cache.scan(question, threshold),
            _ => self.scanned_aside(question.clone(), threshold).await,
        };
        let fresh = (now(), self.incoming.cache.max_age);
        match self.parts.cache.similar(question, &scanned, fresh, |key, entry| self.in_dialect(key, entry.clone())) {
            Similar::Hit(hit, similarity) => Some(hit.by_meaning(similarity)),
            Similar::Refused(difference) => {
                self.parts.metrics.semantic_refused(difference.text());
                None
            }
            Similar::None => None,
        }
    }

    /// A long scan, on the pool; nothing is found where that has no time for it.
    async fn scanned_aside(&self, question: Question, threshold: f64) -> Scanned {
        let parts = self.parts.clone();
        let scan = move || parts.cache.scan(&question, threshold);
        self.parts.pool.run(PATIENCE, scan).await.unwrap_or_default()
    }

    /// Notes that the answer under `key`, which `target` gave, is one to this question. One that calls tools, or that its limit
    /// cut off, serves equal questions only.
    pub fn store_by_meaning(&self, key: CacheKey, target: &Target, body: &[u8]) {
        let Meant::Known(question) = &self.meant else { return };
        let is_planned = self.plan.targets.first().is_some_and(|first| first.id == target.id);
        let bucket =
            if is_planned { Some(question.bucket) } else { self.compared(target).map(|compared| compared.bucket) };
        let Some(bucket) = bucket.filter(|_| self.is_words(body)) else { return };
        self.parts.cache.put_similar(key, &Question { bucket, ..(**question).clone() });
    }

    /// Whether an answer is nothing but words, and came to its own end.
    fn is_words(&self, body: &[u8]) -> bool {
        let Ok(response) = self.head.dialect.codec().read_response(body) else { return false };
        let [choice] = &response.choices[..] else { return false };
        let words = |content: &Content| matches!(content, Content::Text { .. });
        choice.stop == Some(Stop::End) && choice.parts.iter().all(|part| words(&part.content))
    }
}
