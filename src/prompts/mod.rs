//! The prompt registry: versions, labels and their history, in memory for calls and in SQL for good.

mod author;
mod change;
mod compiled;
mod diff;
mod doubts;
mod draft;
mod error;
mod folder;
mod import;
mod life;
mod read;
mod registry;
mod release;
mod schema_work;
mod selector;
mod snapshot;
mod standing;
mod store;
mod toml_text;
mod variables;
mod version;

pub use author::Author;
pub use change::{LabelChange, Saved};
pub use diff::{Change, Diff, Side};
pub use draft::{Draft, Entry, Submission, TestCase};
pub use error::Error;
pub use folder::{Checked, MAX_FILE, check_dir, check_dir_with, has_files, stamp, write_file};
pub use import::{IMPORTED, Imports, LabelMove, LabelStay, LeftOut, StayReason};
pub use registry::{Registry, Rendered, TOPIC};
pub use release::Release;
pub use selector::{DEFAULT_LABEL, Reference, Selector, halves, model_name, names_prompt, prompt_of};
pub use snapshot::{LabelState, Prompt};
pub use store::{Move, PromptChange, Target};
pub use toml_text::{parse_file, parse_file_with};
pub use version::Version;

#[cfg(test)]
mod tests;
