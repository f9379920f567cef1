//! The front half of a call, in the one order that calls, explanations and lines of batches share: read, assign, resolve, key, plan.

use std::sync::Arc;

use super::assign::{assign, may_get_any_arm};
use super::hint;
use super::incoming::Incoming;
use super::key::{check_model, check_prompt};
use super::plan::{Moment, plan};
use super::read::{Read, read};
use super::request::{Request, user_of};
use super::resolve::resolve;
use super::state::{Live, Parts};
use crate::chat::Error;
use crate::experiments::Assigned;
use crate::prompts::Version;
use crate::routing::{Plan, Routes};

/// A request that its key may make, and whom the rules choose for it.
pub struct Prepared {
    /// The request, with its prompt rendered for what stands for all targets.
    pub request: Arc<Request>,
    /// The targets, in order.
    pub plan: Plan,
}

/// What a request's row and head say of it, refused or not.
#[derive(Default)]
pub struct Known {
    /// The name that the caller asked for, at most 256 characters of it; empty where the request could not be read.
    pub requested: Arc<str>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The prompt's version.
    pub prompt: Option<Arc<Version>>,
    /// The arm that an experiment gave it.
    pub assigned: Option<Assigned>,
}

impl Prepared {
    /// Reads a request, checks that its key may make it and that its prompt can be rendered, and plans whom to ask. Waits for nothing.
    ///
    /// # Errors
    /// What the caller is refused with; `known` says as much of the request as was understood.
    pub fn of(
        (parts, live): (&Parts, &Live),
        incoming: &mut Incoming,
        known: &mut Known,
        moment: Moment,
    ) -> Result<Self, Error> {
        let request = Self::request((parts, live), incoming, known)?;
        Self::planned((parts, live), incoming, request, moment)
    }

    /// The first half of [`Self::of`]: all but the plan.
    ///
    /// # Errors
    /// What the caller is refused with.
    pub fn request(
        (parts, live): (&Parts, &Live),
        incoming: &mut Incoming,
        known: &mut Known,
    ) -> Result<Arc<Request>, Error> {
        Ok(match read(incoming)? {
            Read::Ready(request) => {
                let asked = &request.first().asked;
                known.note(request.requested(), asked.stream, &live.routes);
                incoming.user = incoming.user.take().or_else(|| user_of(&asked.object));
                check_model(&incoming.key, request.requested())?;
                request
            }
            Read::Prompted(asked, reference) => {
                incoming.user = incoming.user.take().or_else(|| user_of(&asked.object));
                let assigned = assign(&parts.experiments, &reference, incoming)
                    .filter(|assigned| may_get_any_arm(&incoming.key, &reference, assigned));
                known.assigned.clone_from(&assigned);
                let resolved = resolve(&parts.prompts, &reference, &asked, assigned)
                    .map_err(|error| hint::prompt(error, &parts.prompts, &reference, &incoming.key))?;
                known.note(&resolved.requested, asked.stream, &live.routes);
                known.prompt = Some(resolved.version.clone());
                check_prompt(&incoming.key, &asked.model, &reference, &resolved)?;
                let request = Request::prompted(incoming.endpoint, *asked, resolved)
                    .map_err(|error| hint::variables(error, &incoming.body))?;
                incoming.user = incoming.user.take().or_else(|| user_of(request.first().object()));
                Arc::new(request)
            }
        })
    }

    /// The other half: whom the rules choose for it.
    ///
    /// # Errors
    /// What the caller is refused with.
    pub fn planned(
        (parts, live): (&Parts, &Live),
        incoming: &mut Incoming,
        request: Arc<Request>,
        moment: Moment,
    ) -> Result<Self, Error> {
        let plan = plan((parts, live), incoming, &request, moment)
            .map_err(|error| hint::model(error, live, incoming, &request))?;
        Ok(Self { request, plan })
    }

    /// Works out what the attempt at the first target asks of the request, which keeps it.
    pub fn work_out(&self, live: &Live) {
        let Some(target) = self.plan.targets.first() else { return };
        let Ok(rendering) = self.request.rendering(target) else { return };
        rendering.input_tokens();
        let client = live.clients.get(&target.provider).filter(|_| self.request.endpoint.is_answer());
        let dialect = client.map(|client| client.dialect_for(self.request.endpoint.dialect(), &target.model));
        if dialect.is_some_and(|dialect| !rendering.goes_as_it_came(dialect, target)) {
            // Kept with the rendering, with the error where there is one.
            let _kept = rendering.internal();
        }
    }
}

impl Known {
    fn note(&mut self, requested: &str, stream: bool, routes: &Routes) {
        self.stream = stream;
        self.requested = routes.known(requested).unwrap_or_else(|| {
            let end = requested.char_indices().nth(256).map_or(requested.len(), |(end, _)| end);
            requested[..end].into()
        });
    }
}
