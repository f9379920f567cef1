//! The simulated provider as the gateway calls it: a model in this process.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::sleep;

use super::server;
use crate::upstream::failure::Failure;
use crate::upstream::in_process::{CpuTime, InProcess, InProcessAnswer, InProcessCall};

/// Answers every model's calls with what is made up.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimulatedProvider;

impl InProcess for SimulatedProvider {
    fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>> {
        Box::pin(async move {
            let (began, cpu) = (Instant::now(), CpuTime::default());
            let path = call.operation.path();
            let made = match call.form {
                Some(kind) => server::answer_form(path, call.body, kind.as_bytes(), call.profile),
                None => server::answer(path, call.body, call.profile),
            };
            cpu.add(began.elapsed());
            sleep(made.after).await;
            let status = StatusCode::from_u16(made.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = made.body.map(|piece| piece.map_err(|cut| Failure::Protocol(cut.to_string()))).boxed();
            Ok(InProcessAnswer { status, headers: made.headers, body, cpu })
        })
    }
}
