//! A call whose targets all cool: the one that recovers first is called all the same, unless its provider asked for quiet.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempts, Progress};
use super::cooling::seconds;
use super::meter::Meter;
use super::probe_line::{Turn, Waiting};
use crate::chat::{Code, Error};
use crate::routing::{AllCooling, Failing, Outcome};
use crate::types::{Timestamp, now};
use crate::upstream::{Failure, Phase};

/// How long a call waits for its turn at a target that cools.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most attempts of such a call, where its target wants another form of it or another key.
const MOST: usize = 3;

impl<'a> Attempts<'a> {
    /// Calls the target that recovers first, once it is this call's turn.
    ///
    /// # Errors
    /// Where every provider asked for quiet, or the caller's limit passes.
    pub(super) async fn force(&self, progress: &mut Progress<'a>, meter: &Meter) -> Result<Outcome, Error> {
        let place = match self.loudest(now()) {
            Ok(place) => place,
            Err(Some(error)) => return Err(error),
            Err(None) => return Ok(Outcome::Unsent),
        };
        if self.plan.all_cooling == AllCooling::Refuse {
            return Ok(Outcome::Unsent);
        }
        let Some(_turn) = self.turn_at(place, meter).await? else { return Ok(Outcome::Unsent) };
        let mut outcome = self.ask((place, true), progress, meter).await?;
        for _ in 1..MOST {
            if !matches!(outcome, Outcome::Failed(Failing::Form | Failing::Key)) {
                break;
            }
            outcome = self.ask((place, true), progress, meter).await?;
        }
        Ok(outcome)
    }

    /// The first target whose provider did not ask for quiet.
    ///
    /// # Errors
    /// The error of the call, where all did; none where there are no targets.
    fn loudest(&self, now: Timestamp) -> Result<usize, Option<Error>> {
        let mut soonest: Option<(Timestamp, &str)> = None;
        for (place, target) in self.plan.targets.iter().enumerate() {
            match self.parts.health.quiet(target, now) {
                None => return Ok(place),
                Some(until) if soonest.is_some_and(|(soonest, _)| soonest <= until) => {}
                Some(until) => soonest = Some((until, &target.id)),
            }
        }
        Err(soonest.map(|(until, id)| {
            let left = until - now;
            let message = format!(
                "{id} is rate limited: its provider asked for a pause, of which {} s are left; nothing was sent",
                seconds(left)
            );
            Error { retry_after: Some(left), ..Error::new(Code::UpstreamRateLimited, message) }
        }))
    }

    /// Waits until it is this call's turn at the target; `None` where it does not come in time.
    ///
    /// # Errors
    /// Where the caller's limit passes first, or the gateway is about to stop.
    async fn turn_at(&self, place: usize, meter: &Meter) -> Result<Option<Turn>, Error> {
        let Some(target) = self.plan.targets.get(place) else { return Ok(None) };
        let (began, key) = (Instant::now(), &self.incoming.key.id);
        let late = began + PATIENCE;
        let until = self.deadline.map_or(late, |deadline| deadline.min(late));
        let is_open = || self.parts.health.state(target, key, now()).is_open();
        let turn = tokio::select! {
            biased;
            turn = self.parts.probe_line.wait(Waiting { target: &target.id, key }, until, is_open) => turn,
            () = self.parts.closing.cancelled() => return Err(Failure::Closing.into_error(&target.id)),
        };
        meter.waited(began.elapsed());
        match turn {
            Turn::None if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                Err(Failure::TimedOut(Phase::Caller).into_error(&target.id))
            }
            Turn::None => Ok(None),
            turn => Ok(Some(turn)),
        }
    }
}
