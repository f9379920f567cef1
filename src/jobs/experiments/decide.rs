//! What follows from a look, in one transaction: where the experiment stands, where its label points, and why.

use std::sync::Arc;

use uuid::Uuid;

use crate::chat::Error;
use crate::db::{Db, Tx};
use crate::experiments::{Arm, Experiment, State, Verdict};
use crate::gateway::Parts;
use crate::prompts::{self, Release, Selector};
use crate::types::Timestamp;

/// Writes down what follows from `verdict`, with a message about it where `notifies` asks for one; `None` where nothing does, or where another process was there first.
///
/// # Errors
/// Where the database fails; then nothing is changed.
pub async fn decide(
    (parts, db): (&Parts, &Db),
    experiment: &Arc<Experiment>,
    verdict: &Verdict,
    (now, notifies): (Timestamp, bool),
) -> Result<Option<Experiment>, Error> {
    let Some(mut next) = experiment.after(verdict, now) else { return Ok(None) };
    let mut changes = db.begin(prompts::TOPIC).await.map_err(crate::experiments::Error::from)?;
    let moved = label(parts, &mut changes, (&mut next, experiment), now).await;
    if let Err(error) = moved {
        let refusal = Error::from(error);
        if refusal.detail.is_some() {
            return Err(refusal);
        }
        // The prompt was archived, say: what was found out stays true, and the label where it is.
        drop(changes);
        changes = db.begin(prompts::TOPIC).await.map_err(crate::experiments::Error::from)?;
        next.is_promoted = false;
        add_reason(&mut next, &format!("the label stays: {}", refusal.message));
    }
    let id = Uuid::now_v7().to_string();
    let notice = notifies.then_some((id.as_str(), now));
    if !parts.experiments.decide(&mut changes, (experiment, &next), notice).await? {
        return Ok(None);
    }
    changes.commit().await.map_err(crate::experiments::Error::from)?;
    parts.experiments.refresh().await?;
    parts.prompts.refresh().await?;
    let reason = next.decision.as_ref().map_or("", |decision| &*decision.reason);
    tracing::info!(experiment = %next.spec.name, state = next.state.text(), "experiment {}: {reason}", next.spec.name);
    Ok(Some(next))
}

/// Moves the label where the experiment promotes or rolls back, with the reason in its history.
async fn label(
    parts: &Parts,
    changes: &mut Tx,
    (next, was): (&mut Experiment, &Experiment),
    now: Timestamp,
) -> Result<(), prompts::Error> {
    let spec = &was.spec;
    let reason = next.decision.as_ref().map_or(String::new(), |decision| decision.reason.clone());
    let arm = match next.state {
        State::Won if next.is_promoted => next.decision.as_ref().and_then(|decision| decision.arm.as_ref()),
        State::Harmed if spec.rolls_back => Some(&spec.control().name),
        _ => return Ok(()),
    };
    let Some(arm) = arm.and_then(|name| spec.arms.iter().find(|arm| arm.name == *name)) else { return Ok(()) };
    let at = parts.prompts.labelled_in(changes, &spec.prompt, &spec.label).await?;
    if at != Some(spec.control().version) && next.state == State::Won {
        next.is_promoted = false;
        let at = at.map_or_else(|| "nowhere".to_owned(), |at| format!("at version {at}"));
        add_reason(next, &format!("the label {} was moved meanwhile and stays {at}", spec.label));
        return Ok(());
    }
    if next.state == State::Harmed
        && at.is_some_and(|at| !spec.candidates().iter().any(|arm| arm.version == at))
        && at != Some(spec.control().version)
    {
        // Somebody moved it to what the experiment knows nothing of.
        return Ok(());
    }
    let reason = format!("experiment {}: {reason}", spec.name);
    let settings = settings(parts, was, arm)?;
    let release = Release { prompt: &spec.prompt, label: &spec.label, version: arm.version, settings, reason: &reason };
    let author = prompts::Author {
        key_id: was.author.key_id.clone(),
        name: format!("experiment {}", spec.name),
        admin: was.author.admin,
    };
    parts.prompts.release_in(changes, &release, (&author, now)).await.map(drop)
}

/// The settings of a release that is more than a version. The control's calls have the version's own, since its label stays.
fn settings(
    parts: &Parts,
    experiment: &Experiment,
    arm: &Arm,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, prompts::Error> {
    if !arm.is_more_than_a_version() || arm.name == experiment.spec.control().name {
        return Ok(None);
    }
    let version = parts.prompts.resolve(&experiment.spec.prompt, &Selector::Version(arm.version))?;
    Ok(Some(arm.settings_over(version.settings())))
}

fn add_reason(experiment: &mut Experiment, more: &str) {
    if let Some(decision) = &mut experiment.decision {
        decision.reason.push_str("; ");
        decision.reason.push_str(more);
    }
}
