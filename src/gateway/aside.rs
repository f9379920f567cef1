//! Work on large bodies, which runs on the pool: a call of many parts holds up no other call of its worker.

use std::time::Duration;

use crate::chat::{Code, Error};
use crate::pool::{self, Pool};

/// From here on, in bytes, a body is large: to read it may take milliseconds.
pub const LARGE: usize = 256 << 10;

/// How long a body may wait for a thread of the pool, and be worked on there.
const PATIENCE: Duration = Duration::from_secs(10);

/// When to ask again where that was too long.
const AGAIN: Duration = Duration::from_secs(1);

/// Does a piece of work on a large body.
///
/// # Errors
/// `overloaded` where the pool has no time for it.
pub async fn aside<T: Send + 'static>(pool: &Pool, piece: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    pool.run(PATIENCE, piece).await.map_err(|error| match error {
        pool::Error::Panicked => Error::new(Code::Internal, "the gateway failed on this request; its log says why"),
        error => {
            let message = format!("the gateway is busy with other large requests: {error}");
            Error { retry_after: Some(AGAIN), ..Error::new(Code::Overloaded, message) }
        }
    })
}
