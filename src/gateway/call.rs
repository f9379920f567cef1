//! A call: its phases in order, a file each.
//!
//! `http` admits it. Then it is read, an arm of an experiment assigned, its prompt resolved, its key checked and its targets planned (`prepared`); its answer is
//! recalled (`recall`), or made in attempts that reserve what they may cost before they go out (`attempt`, `meter`); and the
//! reply goes down once it is settled (`direct`, `lead`, `follow`).

use std::sync::Arc;

use super::aside::{LARGE, aside};
use super::detached;
use super::follow::follow;
use super::idempotent::{self, Claimed};
use super::incoming::Incoming;
use super::lead::lead;
use super::look_up::looked_up;
use super::meaning::{Meant, judged};
use super::meter::Meter;
use super::plan::Moment;
use super::planned::{Planned, refuse};
use super::prepared::{Known, Prepared};
use super::recall::{Recalled, recall};
use super::reply::{Head, Reply};
use super::shadow;
use super::state::{Gateway, Live};
use crate::chat::{Code, Error};
use crate::routing::{CacheMode, StoreBodies};

impl Gateway {
    /// Serves one request of a caller whose key is good. Dropping the future cancels the call, which is still accounted.
    pub async fn call(&self, mut incoming: Incoming) -> Reply {
        let meter = Meter::begin(self.parts().clone(), &incoming);
        let mut head = Head::new(incoming.id, 200, incoming.endpoint.dialect());
        let live = self.live();
        let is_large = incoming.body.len() > LARGE;
        let mut prepared = self.prepare_at_once_or_aside(&live, &mut incoming, &meter, &mut head).await;
        // Its prompt may be looked up, then its text be judged for the rules.
        for _ in 0..2 {
            let Err(error) = &prepared else { break };
            if !Box::pin(self.amended(&live, &mut incoming, &meter, error)).await {
                break;
            }
            prepared = self.prepare_at_once_or_aside(&live, &mut incoming, &meter, &mut head).await;
        }
        let Prepared { request, plan } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Box::pin(refuse(head, meter, error)).await,
        };
        let meant = Meant::default();
        let mut planned = Box::new(Planned { parts: self.parts().clone(), live, incoming, request, plan, head, meant });
        if let Some(late) = planned.incoming.judged.is_some().then(|| planned.late()).flatten() {
            return Box::pin(refuse(planned.head, meter, late)).await;
        }
        if planned.plan.shadow.is_some() {
            shadow::draw(&planned, &meter);
        }
        if is_large && planned.plan.cache.mode != CacheMode::Off {
            let (pool, head) = (planned.parts.pool.clone(), planned.head.clone());
            planned = match Box::pin(aside(&pool, move || planned.keyed())).await {
                Ok(planned) => planned,
                Err(error) => return Box::pin(refuse(head, meter, error)).await,
            };
        }
        if idempotent::has_key(&planned.incoming) {
            Box::pin(serve_once(planned, meter)).await
        } else if planned.live.drains {
            detached::run(planned, meter, None, serve).await
        } else {
            serve(planned, meter).await
        }
    }

    /// Read, assign, resolve, key, plan; the row and the head note what is known of the request, refused or not.
    fn prepare(&self, live: &Live, incoming: &mut Incoming, meter: &Meter, head: &mut Head) -> Result<Prepared, Error> {
        self.takes_calls()?;
        let mut known = Known::default();
        let prepared = Prepared::of((self.parts(), live), incoming, &mut known, Moment::here());
        self.note((live, incoming), (known, prepared), meter, head)
    }

    /// Whether a call that could not be prepared may be now: its prompt was read again, or its text was judged for the rules.
    async fn amended(&self, live: &Live, incoming: &mut Incoming, meter: &Meter, error: &Error) -> bool {
        looked_up(self.parts(), &incoming.key, error).await || judged((self.parts(), live), incoming, meter).await
    }

    /// Prepares a request, on the pool where its body is large.
    async fn prepare_at_once_or_aside(
        &self,
        live: &Arc<Live>,
        incoming: &mut Incoming,
        meter: &Meter,
        head: &mut Head,
    ) -> Result<Prepared, Error> {
        if incoming.body.len() > LARGE {
            return Box::pin(self.prepare_aside(live, incoming, meter, head)).await;
        }
        self.prepare(live, incoming, meter, head)
    }

    /// The same on the pool, where all is worked out that the first attempt asks of the request.
    async fn prepare_aside(
        &self,
        live: &Arc<Live>,
        incoming: &mut Incoming,
        meter: &Meter,
        head: &mut Head,
    ) -> Result<Prepared, Error> {
        self.takes_calls()?;
        let (parts, their_live, mut asked) = (self.parts().clone(), live.clone(), incoming.clone());
        let piece = move || {
            let mut known = Known::default();
            let prepared = Prepared::of((&parts, &their_live), &mut asked, &mut known, Moment::here());
            if let Ok(prepared) = &prepared {
                prepared.work_out(&their_live);
            }
            (asked, known, prepared)
        };
        let (asked, known, prepared) = aside(&self.parts().pool, piece).await?;
        *incoming = asked;
        self.note((live, incoming), (known, prepared), meter, head)
    }

    fn takes_calls(&self) -> Result<(), Error> {
        if self.parts().ledger.healthy() {
            return Ok(());
        }
        Err(Error::new(Code::LedgerUnavailable, "the ledger takes no rows just now, so nothing is sent"))
    }

    /// Notes what is known of a request in its row and its head.
    fn note(
        &self,
        (live, incoming): (&Live, &Incoming),
        (known, prepared): (Known, Result<Prepared, Error>),
        meter: &Meter,
        head: &mut Head,
    ) -> Result<Prepared, Error> {
        let parts = self.parts();
        meter.note(&known, incoming);
        head.prompt = known.prompt.as_ref().map(|version| (version.name.clone(), version.version));
        head.variant = known.assigned.as_ref().map(|assigned| assigned.variant().into());
        let Prepared { request, plan } = prepared?;
        if let Some(version) = &known.prompt {
            parts.prompts.touch(&version.name, incoming.started_at);
        }
        head.route.clone_from(&plan.route);
        let store = plan.store_bodies.unwrap_or(live.store_bodies);
        if store != StoreBodies::None {
            meter.keep_request(request.first().object().bytes().clone(), store == StoreBodies::Full);
        }
        meter.note_plan(&plan);
        if plan.is_unjudged {
            parts.metrics.embedding_failed("rules");
        }
        Ok(Prepared { request, plan })
    }
}

/// How many running calls a request follows that end without an answer to it; then it makes one that it shares with nobody.
const MOST_FOLLOWED: usize = 3;

/// Recall, attempt, reply, settle.
async fn serve(mut planned: Box<Planned>, mut meter: Meter) -> Reply {
    for _ in 0..MOST_FOLLOWED {
        let mut recalled = recall(&mut planned, &meter);
        if let Ok(Recalled::Missed(missed)) = recalled {
            match Box::pin(missed.look_by_meaning(&mut planned, &meter)).await {
                Some(hit) => return planned.hit(hit, meter).await,
                None => match planned.late() {
                    Some(late) => return Box::pin(refuse(planned.head, meter, late)).await,
                    None => recalled = missed.join(&mut planned, &meter),
                },
            }
        }
        match recalled {
            Ok(Recalled::Hit(hit)) => return planned.hit(hit, meter).await,
            Ok(Recalled::Alone | Recalled::Missed(_)) => break,
            Ok(Recalled::Follow(follower)) => match Box::pin(follow(planned, meter, follower)).await {
                Ok(reply) => return reply,
                Err(again) => (planned, meter) = again,
            },
            Ok(Recalled::Lead(key, flight)) => return Box::pin(lead(planned, meter, key, flight)).await,
            Err(error) => return Box::pin(refuse(planned.head, meter, error)).await,
        }
    }
    planned.direct(meter).await
}

/// The same, of a call with an idempotency-key: where it is the first with its key.
async fn serve_once(mut planned: Box<Planned>, meter: Meter) -> Reply {
    match idempotent::claim(&mut planned, &meter).await {
        Ok(Claimed::First(recorder)) => detached::run(planned, meter, Some(recorder), serve).await,
        Ok(Claimed::Again(stored)) => idempotent::again(planned, meter, stored).await,
        Err(error) => refuse(planned.head, meter, error).await,
    }
}
