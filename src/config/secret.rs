//! Secrets: references to the environment or a file, never texts in the configuration itself.

use super::environment::Secrets;
use super::read::Field;
use crate::types::Secret;

const LONGEST: u64 = 16 << 10;
const FIX: &str = "write \"env:NAME\" or \"file:PATH\"";

/// Stands for a secret that is not read. No call is made with it.
const UNREAD: &str = "unread";

/// Resolves `env:NAME` or `file:PATH`. Mistakes are reported without the value.
pub(super) fn resolve(field: &Field<'_>) -> Option<Secret> {
    let reference = field.text("\"env:NAME\" or \"file:PATH\"")?;
    let found = match reference.split_once(':') {
        Some(("env" | "file", _)) if field.reader.secrets == Secrets::Leave => return Some(Secret::new(UNREAD)),
        Some(("env", name)) => from_env(field, name),
        Some(("file", path)) => from_file(path).inspect(|_| warn_of_rights(field, path)),
        Some(("secret", _)) => Err(("the encrypted store of secrets is not supported yet".to_owned(), FIX.to_owned())),
        _ => Err(("a secret must not stand in the configuration itself".to_owned(), FIX.to_owned())),
    };
    match found.and_then(|value| usable(&value)) {
        Ok(secret) => Some(secret),
        Err((problem, fix)) => {
            field.problem(problem, fix);
            None
        }
    }
}

type Found = Result<String, (String, String)>;

fn from_env(field: &Field<'_>, name: &str) -> Found {
    // A key that stands after `env:` by mistake must not reach a log: only text that looks like a name is shown.
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_name) || name.as_bytes()[0].is_ascii_digit() {
        return Err((
            "what follows `env:` is no name of a variable".to_owned(),
            "write \"env:OPENAI_API_KEY\"".to_owned(),
        ));
    }
    let shown = if name.bytes().all(plain) { format!("`{name}`") } else { "named here".to_owned() };
    match (field.reader.env)(name) {
        Some(value) if !value.trim().is_empty() => Ok(value),
        Some(_) => Err((format!("the environment variable {shown} is empty"), "give it a value".to_owned())),
        None => Err((
            format!("the environment variable {shown} is not set"),
            "set it, or take the provider out of the configuration".to_owned(),
        )),
    }
}

fn from_file(path: &str) -> Found {
    let readable = super::file::text_of(std::path::Path::new(path), LONGEST);
    readable.map_err(|error| {
        let shown: String = path.chars().take(200).collect();
        (format!("the file `{shown}` cannot be read: {error}"), "check its path and rights".to_owned())
    })
}

/// Warns where everybody on the machine can read a secret. A group may be meant to.
fn warn_of_rights(field: &Field<'_>, path: &str) {
    use std::os::unix::fs::MetadataExt;
    if let Ok(data) = std::fs::metadata(path)
        && data.mode() & 0o007 != 0
    {
        let shown: String = path.chars().take(200).collect();
        let problem =
            format!("everybody on this machine can use the file `{shown}` (mode {:04o})", data.mode() & 0o7777);
        field.warn(problem, format!("make it its owner's alone: chmod 600 {shown}"));
    }
}

fn usable(value: &str) -> Result<Secret, (String, String)> {
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err(("the secret is empty".to_owned(), "give it a value".to_owned()));
    }
    if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "the secret holds spaces or characters that no header can carry".to_owned();
        return Err((problem, "check what was copied".to_owned()));
    }
    Ok(Secret::new(trimmed))
}
