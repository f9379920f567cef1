//! What the log says of an import of prompts.

use crate::prompts;

/// Logs what is likely to surprise in files that changed, and each file that was left out.
pub fn report_doubts(imported: &prompts::Imports) {
    for warning in &imported.warnings {
        tracing::warn!(key = warning.key, "{warning}");
    }
    for prompts::LeftOut { name, file, renamed_to } in &imported.left_out {
        let Some(to) = renamed_to else {
            tracing::warn!(
                prompt = %name,
                "{file} is left out: the prompt is archived; take the file away, or bring the prompt back: fulcrum prompt \
                 unarchive {name}"
            );
            continue;
        };
        tracing::warn!(prompt = %name, "{file} is left out: the prompt is called {to} by now; rename the file");
    }
}

/// Logs each label that an import moved, and each that did not follow its file.
pub fn report_labels(imported: &prompts::Imports) {
    let version = |version: Option<u32>| version.map_or_else(|| "unset".to_owned(), |version| version.to_string());
    for prompts::LabelMove { name, label, from, to } in &imported.labelled {
        tracing::info!(prompt = %name, %label, from, to, "the import moved {label} of {name} from {} to {to}", version(*from));
    }
    for stay in &imported.stayed {
        let prompts::LabelStay { name, label, at, version, .. } = stay;
        tracing::warn!(prompt = %name, %label, at, version, "{stay}");
    }
}
