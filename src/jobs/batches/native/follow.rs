//! Follows the hand-overs of a batch: each is submitted once, checked, and cancelled where the batch must end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio::time::sleep;

use super::super::shared::Shared;
use crate::batches::{Batch, Error, Handover, Stage};
use crate::types::now;
use crate::upstream::{
    BatchApi, BatchApiCall, Failure, Order, Payload, ProviderClient, RemoteBatch, RemoteState, id_of,
};

/// For a question, for a batch or file that is sent, and for results that are fetched.
pub(super) const QUESTION: Duration = Duration::from_secs(60);
const SENDING: Duration = Duration::from_secs(600);
pub(super) const FETCHING: Duration = Duration::from_secs(3_600);

/// The longest answer to a question.
const ANSWER: usize = 4 << 20;

/// How long after a batch's window its provider may take to end its hand-overs.
const OVERTIME: Duration = Duration::from_secs(86_400);

/// The name of a line at the provider, which no other batch uses.
pub(super) fn line_id(batch: &str, n: u64) -> String {
    format!("{}-{n}", batch.trim_start_matches("batch_"))
}

/// The line of this name, where the batch has such a line.
pub(super) fn line_number(batch: &str, id: &str) -> Option<u64> {
    let (named, n) = id.rsplit_once('-')?;
    if named == batch.trim_start_matches("batch_") { n.parse().ok() } else { None }
}

/// Follows the hand-overs until every line has its result. `ending` cancels them: the batch must end.
pub(in crate::jobs::batches) async fn follow(shared: &Shared, batch: &Batch, ending: bool) -> Result<(), Error> {
    loop {
        let mut open = shared.batches().handovers(&batch.id).await?;
        open.retain(|one| one.stage != Stage::Ended);
        for one in &mut open {
            advance(shared, batch, ending, one).await?;
        }
        if open.iter().all(|one| one.stage == Stage::Ended) {
            return Ok(());
        }
        sleep(shared.batches().settings().poll).await;
    }
}

async fn advance(shared: &Shared, batch: &Batch, ending: bool, one: &mut Handover) -> Result<(), Error> {
    let live = shared.work.gateway.live();
    let client = live.clients.get(&one.provider).cloned();
    let api = client.as_ref().and_then(|client| client.provider().kind.row().batch_api);
    let Some((client, api)) = client.as_ref().zip(api) else {
        tracing::warn!(batch = %batch.id, provider = %one.provider, "the provider of a batch is not configured any more");
        return Follow::without(shared, batch, one).await;
    };
    let follow = Follow { shared, batch, client, api, ending };
    match one.stage {
        _ if batch.expires_at.plus(OVERTIME) <= now() => follow.end(one).await,
        Stage::Planned if ending => follow.end(one).await,
        Stage::Planned => follow.submit(one).await,
        Stage::Submitting => follow.look_up(one).await,
        Stage::Running => follow.look(one).await,
        Stage::Ended => Ok(()),
    }
}

/// One hand-over at one provider.
pub(super) struct Follow<'a> {
    pub(super) shared: &'a Shared,
    pub(super) batch: &'a Batch,
    pub(super) client: &'a ProviderClient,
    pub(super) api: &'static BatchApi,
    pub(super) ending: bool,
}

impl Follow<'_> {
    /// Where the provider is gone from the configuration: lines that were not sent run here, the others wait.
    pub(super) async fn without(shared: &Shared, batch: &Batch, one: &mut Handover) -> Result<(), Error> {
        let over = batch.expires_at.plus(OVERTIME) <= now();
        if one.stage != Stage::Planned && !over {
            return Ok(());
        }
        if one.stage == Stage::Planned {
            shared.batches().take_back(&batch.id, Some(one.n)).await?;
        }
        one.stage = Stage::Ended;
        shared.batches().keep_handovers(&batch.id, std::slice::from_ref(one)).await
    }

    pub(super) async fn save(&self, one: &Handover) -> Result<(), Error> {
        self.shared.batches().keep_handovers(&self.batch.id, std::slice::from_ref(one)).await
    }

    pub(super) async fn end(&self, one: &mut Handover) -> Result<(), Error> {
        one.stage = Stage::Ended;
        self.save(one).await
    }

    /// Calls the batch API and reads its answer.
    pub(super) async fn ask(&self, call: BatchApiCall<'_>, payload: Payload) -> Result<Bytes, Failure> {
        self.client.call_batch_api(call, payload).await?.whole(ANSWER).await
    }

    /// Submits a batch. The stage is stored first, so that the batch is never sent twice.
    pub(super) async fn submit(&self, one: &mut Handover) -> Result<(), Error> {
        let content = self.content(one).await?;
        let file = match self.api.file {
            Some(form) => {
                let Some(file) = self.leave_file(one, form(&content)).await? else { return Ok(()) };
                Some(file)
            }
            None => None,
        };
        let (file, path, batch, part) = (file.as_deref(), &*one.path, &*self.batch.id, one.n);
        let order = (self.api.order)(&Order { content: &content, file, path, batch, part });
        drop(content);
        (one.stage, one.submitted_at) = (Stage::Submitting, Some(now()));
        self.save(one).await?;
        match self.ask(BatchApiCall::AddBatch, Payload::json(order, SENDING)).await {
            Ok(made) => self.submitted(one, id_of(&made)).await,
            Err(failure) => self.refused(one, failure).await,
        }
    }

    pub(super) async fn submitted(&self, one: &mut Handover, id: Option<String>) -> Result<(), Error> {
        // An answer without an id does not count; the provider's list shows whether the batch is there.
        let Some(id) = id else { return Ok(()) };
        tracing::info!(batch = %self.batch.id, provider = %one.provider, remote = %id, "a part of a batch was handed over");
        (one.stage, one.remote_id) = (Stage::Running, Some(id));
        self.save(one).await
    }

    /// The provider's id of the file of the lines; `None` where it could not be left now, or never.
    pub(super) async fn leave_file(
        &self,
        one: &mut Handover,
        (kind, body): (HeaderValue, Bytes),
    ) -> Result<Option<String>, Error> {
        if let Some(known) = &one.remote_file_id {
            return Ok(Some(known.clone()));
        }
        match self.ask(BatchApiCall::AddFile, Payload { kind, body, limit: SENDING }).await {
            Ok(made) => {
                one.remote_file_id = id_of(&made);
                self.save(one).await?;
                Ok(one.remote_file_id.clone())
            }
            Err(failure) => self.refused(one, failure).await.map(|()| None),
        }
    }

    pub(super) async fn content(&self, one: &Handover) -> Result<Bytes, Error> {
        let mut content = BytesMut::new();
        for n in 0.. {
            let Some(chunk) = self.shared.batches().chunk(&one.content_id, n).await? else { break };
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// What a failed submission means: nothing is there, or only the provider knows.
    pub(super) async fn refused(&self, one: &mut Handover, failure: Failure) -> Result<(), Error> {
        let batch = &self.batch.id;
        let error = failure.clone().into_error(&one.provider);
        match failure {
            Failure::Connect(_)
            | Failure::Throttled { .. }
            | Failure::Busy
            | Failure::Auth { another_key: true, .. } => {
                tracing::info!(%batch, %error, "a batch cannot be handed over yet: {error}");
                one.stage = Stage::Planned;
                self.save(one).await
            }
            Failure::Refused { status: 404 | 405, .. } => {
                tracing::warn!(%batch, provider = %one.provider, "the provider has no batch API; its lines run here");
                self.shared.batches().take_back(batch, Some(one.n)).await?;
                self.end(one).await
            }
            Failure::Refused { .. } | Failure::Auth { .. } => {
                tracing::warn!(%batch, %error, "the provider refused a batch: {error}");
                self.fail_rest(one, error.code.text(), &error.message).await?;
                self.end(one).await
            }
            // The provider may have the batch all the same.
            failure => {
                tracing::info!(%batch, ?failure, "it is not known whether a batch was handed over");
                Ok(())
            }
        }
    }

    /// Asks for the state of a batch, and fetches its results when it has ended.
    pub(super) async fn look(&self, one: &mut Handover) -> Result<(), Error> {
        let Some(id) = one.remote_id.clone() else {
            one.stage = Stage::Submitting;
            return self.save(one).await;
        };
        if self.ending {
            // Answers until then are fetched. A refusal means that the batch has ended already.
            drop(self.ask(BatchApiCall::Cancel(&id), Payload::none(QUESTION)).await);
        }
        let seen = self.ask(BatchApiCall::Batch(&id), Payload::none(QUESTION)).await;
        let remote = match seen {
            Ok(body) => (self.api.state)(&body),
            Err(Failure::Refused { status: 404, .. }) => {
                let state = RemoteState::Failed("the provider has it no longer".to_owned());
                Some(RemoteBatch { state, files: Vec::new() })
            }
            Err(failure) => {
                tracing::debug!(batch = %self.batch.id, ?failure, "a provider does not tell how a batch stands");
                None
            }
        };
        let Some(remote) = remote else { return Ok(()) };
        match remote.state {
            RemoteState::Running => Ok(()),
            RemoteState::Ended => self.collect(one, &id, &remote.files).await,
            RemoteState::Failed(reason) => {
                let reason = self.client.refused(400, reason.as_bytes()).message;
                tracing::warn!(batch = %self.batch.id, provider = %one.provider, "a provider failed a batch: {reason}");
                self.fail_rest(one, "batch_failed", &format!("The provider failed the batch: {reason}")).await?;
                self.clean_up(one, &remote.files).await;
                self.end(one).await
            }
        }
    }

    /// Deletes the copies at the provider, where they are files. They expire by themselves where that fails.
    pub(super) async fn clean_up(&self, one: &Handover, files: &[String]) {
        for id in one.remote_file_id.iter().chain(files) {
            drop(self.ask(BatchApiCall::DropFile(id), Payload::none(QUESTION)).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_name_only_in_its_own_batch() {
        assert_eq!(line_number("batch_0a", &line_id("batch_0a", 7)), Some(7));
        assert_eq!(line_number("batch_0b", &line_id("batch_0a", 7)), None);
        for id in ["", "0a", "0a-", "0a-x", "-7"] {
            assert_eq!(line_number("batch_0a", id), None, "{id}");
        }
        assert!(line_id(&format!("batch_{}", "f".repeat(32)), 1_000_000).len() <= 64, "Anthropic takes 64 characters");
    }
}
