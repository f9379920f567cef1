//! Whether an experiment fits the prompts that it is of.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::chat::{Code, Error};
use crate::db::Db;
use crate::experiments::{self, Arm, Author, Experiment, Spec};
use crate::gateway::Parts;
use crate::prompts::{Draft, Prompt, Selector};
use crate::types::{Diagnostic, ExperimentName, Share, Timestamp};
use crate::usage::unreported;

/// How long the check of an experiment's settings may wait for a thread of the pool, and run there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes an experiment, whose prompt must have the versions of its arms.
///
/// # Errors
/// Where the prompt or a version is missing, nobody reports a metric, an arm's settings are wrong, or the name is taken.
pub async fn create(
    (parts, ledger_db): (&Parts, &Db),
    spec: Spec,
    (author, now): (Author, Timestamp),
) -> Result<Arc<Experiment>, Error> {
    let wrong = unreported_metrics(ledger_db, &spec).await?;
    if !wrong.is_empty() {
        return Err(experiments::Error::Invalid(wrong).into());
    }
    let prompt = parts.prompts.get(&spec.prompt).map_err(|error| Error::from(error).at("prompt"))?;
    let arms = spec.arms.clone();
    let checked = parts.pool.run(PATIENCE, move || {
        let wrong: Vec<Diagnostic> = arms.iter().enumerate().flat_map(|(n, arm)| mistakes(&prompt, n, arm)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(experiments::Error::Invalid(wrong)) }
    });
    let checked = checked.await;
    checked.map_err(|error| Error::new(Code::Overloaded, format!("the arms cannot be checked: {error}")))??;
    Ok(parts.experiments.create(spec, Uuid::now_v7().simple().to_string(), (author, now)).await?)
}

/// Metrics that callers should report, and of which there is no feedback.
async fn unreported_metrics(db: &Db, spec: &Spec) -> Result<Vec<Diagnostic>, Error> {
    let guards = spec.guardrails.iter().enumerate();
    let guards = guards.map(|(n, guardrail)| (format!("guardrails[{n}].metric"), &guardrail.metric));
    let mut wrong = Vec::new();
    for (key, metric) in [("metric.name".to_owned(), &spec.goal.metric)].into_iter().chain(guards) {
        if metric.is_reported()
            && let Some(problem) = unreported(db, metric.name()).await?
        {
            wrong.push(Diagnostic::new(key, problem));
        }
    }
    Ok(wrong)
}

/// What is wrong with the arm at place `n`.
fn mistakes(prompt: &Prompt, n: usize, arm: &Arm) -> Vec<Diagnostic> {
    let key = format!("arms[{n}]");
    let version = match prompt.resolve(&Selector::Version(arm.version)) {
        Ok(version) => version,
        Err(error) => return vec![Diagnostic::new(format!("{key}.version"), error.to_string())],
    };
    if !arm.is_more_than_a_version() {
        return Vec::new();
    }
    let draft = version.draft().map(|mut draft| {
        draft.settings = arm.settings_over(&draft.settings);
        draft
    });
    match draft {
        Ok(draft) => match Draft::from_json(&draft.to_json()) {
            Ok(_) => Vec::new(),
            Err(wrong) => {
                wrong.into_iter().map(|wrong| Diagnostic { key: format!("{key}.{}", wrong.key), ..wrong }).collect()
            }
        },
        Err(error) => vec![Diagnostic::new(key, error.to_string())],
    }
}

/// Starts an experiment, goes on with a frozen one, or gives a running one a larger share. Its label must point at the control.
///
/// # Errors
/// Where it stands where it cannot start, the label points elsewhere, or the label is protected from `author`.
pub async fn start(
    parts: &Parts,
    name: &ExperimentName,
    share: Option<Share>,
    (author, now): (Author, Timestamp),
) -> Result<Arc<Experiment>, Error> {
    let experiment = parts.experiments.get(name.as_str())?;
    let Spec { prompt, label, promotes, .. } = &experiment.spec;
    let control = experiment.spec.control();
    let known = parts.prompts.get(prompt)?;
    let state = known.labels.get(label);
    let at = state.and_then(|state| state.targets.first()).map(|target| target.version);
    if at != Some(control.version) {
        let is = at.map_or_else(|| "points nowhere".to_owned(), |at| format!("points at version {at}"));
        let message = format!(
            "the label {label} of {prompt} {is}, and the control `{}` is version {}: calls outside of the experiment would get another version",
            control.name, control.version
        );
        return Err(Error::new(Code::Conflict, message));
    }
    if *promotes && !author.admin && state.is_some_and(|state| state.protected) {
        let message =
            format!("the label {label} of {prompt} is protected; an experiment that may move it needs an admin key");
        return Err(Error::new(Code::Forbidden, message));
    }
    Ok(parts.experiments.start(name, share, (author, now)).await?)
}
