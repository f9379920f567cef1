//! Looks a prompt up that memory does not know: another process may have made it, or moved its label, since the prompts were read
//! last.

use std::time::Duration;

use tokio::time::timeout;

use super::state::Parts;
use crate::chat::{Code, Error};
use crate::keys::VirtualKey;
use crate::types::now;

/// How long a call of an unknown prompt waits for the database.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Whether a call that failed with `error` is worth another look at its prompt, since the prompts were read again. Each key may cause
/// only so many readings a minute, so that nobody loads the database with names that nothing has.
pub(super) async fn looked_up(parts: &Parts, key: &VirtualKey, error: &Error) -> bool {
    if error.code != Code::PromptNotFound || !key.may_look_up(now()) {
        return false;
    }
    match timeout(LOOK_UP, parts.prompts.refresh()).await {
        Ok(Ok(())) => true,
        Ok(Err(failure)) => {
            tracing::warn!(error = %failure, "cannot look an unknown prompt up");
            false
        }
        Err(_late) => false,
    }
}
