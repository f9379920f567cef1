//! Whether a batch is handed over: all its lines must lead to one provider whose own batch API runs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::ahead::Ahead;
use super::super::call::{ask, wants_stream};
use super::super::shared::Shared;
use super::follow::line_id;
use crate::batches::{Batch, Error, HandedLine, Handover, Stage, Upload, read_line};
use crate::gateway::{HandedOver, PreparedLine};
use crate::keys::VirtualKey;
use crate::types::now;
use crate::upstream::BatchApi;
use crate::wire::endpoint::Endpoint;

/// The most bytes and lines of one batch of the provider's, which is held in memory while it is sent.
const MOST_BYTES: u64 = 32 << 20;
const MOST_LINES: u64 = 10_000;

/// The most models of a batch that is handed over; OpenAI wants a batch of its own for each.
const MOST_MODELS: usize = 32;

/// How many lines are written down at once.
const AT_ONCE: usize = 200;

/// A batch for the provider that is being put together.
struct Part {
    n: u64,
    path: String,
    upload: Upload,
    lines: u64,
    bytes: u64,
}

struct Planning<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    endpoint: Endpoint,
    key: Arc<VirtualKey>,
    provider: Option<Arc<str>>,
    api: Option<&'static BatchApi>,
    /// The parts that still grow, by what their lines have in common.
    open: BTreeMap<String, Part>,
    full: Vec<Part>,
    handed: Vec<HandedLine>,
}

/// Decides once whether the batch is handed over, and writes down what is.
pub(in crate::jobs::batches) async fn hand_over(shared: &Shared, batch: &Batch) -> Result<(), Error> {
    let live = shared.work.gateway.live();
    let batches = shared.batches();
    let possible = live.clients.values().any(|client| client.provider().native_batches);
    let begun = batch.counts.completed + batch.counts.failed > 0;
    if !possible || begun || !batches.handovers(&batch.id).await?.is_empty() {
        return Ok(());
    }
    // Answers of routes that only pass are not read, so such lines run here.
    let Some(endpoint) = Endpoint::at(&batch.endpoint).filter(|endpoint| endpoint.passing().is_none()) else {
        return Ok(());
    };
    let Ok(key) = shared.work.keys.holder(&batch.key_id, now()) else { return Ok(()) };
    // What an earlier try left.
    batches.take_back(&batch.id, None).await?;
    let mut planning = Planning {
        shared,
        batch,
        endpoint,
        key,
        provider: None,
        api: None,
        open: BTreeMap::new(),
        full: Vec::new(),
        handed: Vec::new(),
    };
    if planning.plan().await? {
        return planning.store().await;
    }
    for part in planning.open.into_values().chain(planning.full) {
        part.upload.discard().await;
    }
    batches.take_back(&batch.id, None).await
}

impl Planning<'_> {
    /// Plans every line; returns whether all lead to one provider.
    async fn plan(&mut self) -> Result<bool, Error> {
        let mut ahead = Ahead::new(self.shared, self.batch);
        while let Some((line, text)) = ahead.next().await? {
            // A line that its own call would refuse is refused by that call.
            let Ok(read) = read_line(&text, &self.batch.endpoint) else { continue };
            if wants_stream(&read.body) {
                continue;
            }
            let asked = ask(self.batch, self.key.clone(), self.endpoint, read.body);
            let Ok(prepared) = self.shared.work.gateway.prepare_line(asked) else { continue };
            let Some(prepared) = prepared else { return Ok(false) };
            if !self.fits(&prepared.handed) || !self.add(line.n, &prepared).await? {
                return Ok(false);
            }
        }
        self.hand().await?;
        Ok(self.provider.is_some())
    }

    fn fits(&mut self, handed: &HandedOver) -> bool {
        let provider = self.provider.get_or_insert_with(|| handed.provider.clone());
        if *provider != handed.provider {
            return false;
        }
        let live = self.shared.work.gateway.live();
        let Some(client) = live.clients.get(&handed.provider) else { return false };
        self.api = client.provider().kind.row().batch_api;
        self.api.is_some_and(|api| api.paths.contains(&&*handed.path))
    }

    /// Adds a line to its part; returns whether there is room for its model.
    async fn add(&mut self, n: u64, prepared: &PreparedLine) -> Result<bool, Error> {
        let PreparedLine { body, handed } = prepared;
        let (Some(api), Ok(body)) = (self.api, serde_json::from_slice::<&RawValue>(body)) else { return Ok(false) };
        let flat = flat(body);
        let id = line_id(&self.batch.id, n);
        let group = if api.one_model { handed.model.to_string() } else { String::new() };
        let text = (api.line)(&id, &handed.path, &flat);
        let length = text.len() as u64;
        let is_full = |part: &Part| part.lines >= MOST_LINES || part.bytes + length > MOST_BYTES;
        if self.open.get(&group).is_some_and(is_full)
            && let Some(mut part) = self.open.remove(&group)
        {
            part.upload.flush_all().await?;
            self.full.push(part);
        }
        if !self.open.contains_key(&group) {
            if self.open.len() >= MOST_MODELS {
                return Ok(false);
            }
            let upload = self.shared.batches().output(self.batch, "handover", now()).await?;
            let number = (self.open.len() + self.full.len() + 1) as u64;
            let part = Part { n: number, path: handed.path.clone(), upload, lines: 0, bytes: 0 };
            self.open.insert(group.clone(), part);
        }
        let Some(part) = self.open.get_mut(&group) else { return Ok(false) };
        part.upload.push(&text).await?;
        part.lines += 1;
        part.bytes += length;
        let handover = part.n;
        let handed = serde_json::to_string(handed).unwrap_or_default();
        self.handed.push(HandedLine { n, handover, handed });
        if self.handed.len() >= AT_ONCE {
            self.hand().await?;
        }
        Ok(true)
    }

    async fn hand(&mut self) -> Result<(), Error> {
        let handed = std::mem::take(&mut self.handed);
        self.shared.batches().hand(&self.batch.id, &handed).await
    }

    /// Stores the hand-overs. Until then their files count as being written, so that no purge deletes them.
    async fn store(self) -> Result<(), Error> {
        let Some(provider) = self.provider else { return Ok(()) };
        let mut parts: Vec<Part> = self.open.into_values().chain(self.full).collect();
        parts.sort_by_key(|part| part.n);
        let mut handovers = Vec::with_capacity(parts.len());
        for part in &mut parts {
            part.upload.flush_all().await?;
            handovers.push(Handover {
                n: part.n,
                provider: provider.clone(),
                path: part.path.clone(),
                content_id: part.upload.id().to_owned(),
                lines: part.lines,
                remote_file_id: None,
                remote_id: None,
                stage: Stage::Planned,
                submitted_at: None,
            });
        }
        tracing::info!(batch = %self.batch.id, %provider, parts = handovers.len(), "a batch goes to its provider's own batch API");
        self.shared.batches().keep_handovers(&self.batch.id, &handovers).await
    }
}

/// The same JSON without ends of lines, which separate requests.
fn flat(body: &RawValue) -> Box<RawValue> {
    let text = body.get();
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return body.to_owned();
    }
    RawValue::from_string(text.replace(['\n', '\r'], " ")).unwrap_or_else(|_| body.to_owned())
}
