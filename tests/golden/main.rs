//! The golden table: cases as files, each read in every dialect that can say it and written in every other, compared with
//! what stands under `tests/fixtures/wire/golden`. `INSTA_UPDATE=always` writes that anew; read what `git diff` shows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod answers;
mod errors;
mod fixtures;
mod properties;
mod requests;
mod show;
