//! Requests, answers, streams and errors.

mod answers;
mod requests;
mod streams;

use serde_json::Value;

use super::Bedrock;
use crate::chat::{Emulated, Error, Message, Request, Role};
use crate::wire::dialect::ProviderCodec;

/// Models of families that differ.
const CLAUDE: &str = "us.anthropic.claude-next";
const OLD_CLAUDE: &str = "anthropic.claude-3-7-sonnet-20250219-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";
const LLAMA: &str = "us.meta.llama3-3-70b-instruct-v1:0";

/// The body for a target, and what was emulated.
fn write(request: &Request) -> Result<(Value, Vec<&'static str>), Error> {
    let mut emulated = Emulated::default();
    let written = Bedrock.write_request(request, &mut emulated)?;
    assert!(written.headers.is_empty());
    Ok((serde_json::from_slice(&written.body).unwrap(), emulated.names().to_vec()))
}

fn hello(model: &str) -> Request {
    Request {
        model: model.to_owned(),
        messages: vec![Message::text(Role::User, "Hi")],
        max_tokens: Some(9_000),
        ..Request::default()
    }
}
