//! `fulcrum init`: a configuration and a prompt to start from.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::outcome::{Failure, Outcome};
use super::output::{Form, json as print_json, note, say};
use crate::config::DEFAULT_FILE;

/// What is written, each below the folder.
const FILES: [(&str, &str); 2] = [
    (DEFAULT_FILE, include_str!("../../config/fulcrum.toml")),
    ("prompts/support-reply.toml", include_str!("../../prompts/support-reply.toml")),
];

/// Writes a configuration with comments and an example prompt to start from. Files that are there stay as they are.
#[derive(Args)]
#[command(after_help = "Example: fulcrum init my-gateway && cd my-gateway && fulcrum check && fulcrum serve")]
pub struct Init {
    /// The folder to write in, which is made where it is missing
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[arg(long, default_value = "table")]
    format: Form,
}

impl Init {
    pub fn run(&self) -> Outcome {
        let (mut written, mut left) = (Vec::new(), Vec::new());
        for (name, text) in FILES {
            let file = self.folder.join(name);
            let list = if write_new(&file, text)? { &mut written } else { &mut left };
            list.push(file.display().to_string());
        }
        match self.format {
            Form::Json => print_json(&json!({"written": written, "left": left})),
            Form::Table => {
                written.iter().for_each(|file| say(&format!("wrote {file}")));
                left.iter().for_each(|file| say(&format!("left  {file}, which is there already")));
            }
        }
        if written.is_empty() {
            return Err(Failure::Negative("nothing was written".to_owned()));
        }
        if self.format == Form::Table {
            let enter = if self.folder == Path::new(".") { "" } else { &*format!("cd {} && ", self.folder.display()) };
            note(&format!("next: {enter}fulcrum check && fulcrum serve"));
            note("its providers are simulated, so answers are made up until you name real ones in the configuration");
        }
        Ok(())
    }
}

/// Writes a file that is not there yet; false where one is.
fn write_new(file: &Path, text: &str) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::Input(format!("{}: {error}", file.display()));
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(mut made) => made.write_all(text.as_bytes()).map(|()| true).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
