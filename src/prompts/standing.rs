//! Whether a prompt takes changes by its name.

use super::error::Error;
use super::store::{self, State};
use crate::db::Tx;
use crate::types::PromptName;

/// Refuses a change of a prompt that is archived, or has another name by now.
pub(super) async fn check_changeable(tx: &mut Tx, name: &PromptName) -> Result<(), Error> {
    match store::state(tx, name).await? {
        Some(State { renamed_to: Some(to), .. }) => {
            Err(Error::Moved { name: name.clone(), to: store::now_called(tx, to).await? })
        }
        Some(State { archived: true, .. }) => Err(Error::Shelved(name.clone())),
        _ => Ok(()),
    }
}
