//! Reads the JSON bodies of the admin API.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::chat::{Code, Error};
use crate::http::data::read_body;
use crate::http::error::Refusal;

/// The largest body that an admin route reads.
const MAX_BODY: usize = 1 << 20;

/// Reads a JSON body whose unknown fields are refused by its type.
pub(in crate::http) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    parsed(read_body(headers, body, MAX_BODY, None).await?)
}

/// The same of a project's key, which has a share of the bodies that are waited for.
pub(in crate::http) async fn read_of<T: DeserializeOwned>(
    owner: (&App, &Arc<str>),
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Refusal> {
    parsed(read_body(headers, body, MAX_BODY, Some(owner)).await?)
}

fn parsed<T: DeserializeOwned>(bytes: Bytes) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Error::new(Code::InvalidRequest, "the body must be a JSON object").into());
    }
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        // Where a field is named, its place in the text says nothing more, and a command's user never saw that text.
        let message = match message.rsplit_once(" at line ") {
            Some((message, _)) if path != "." => message.to_owned(),
            _ => message,
        };
        unreadable(&path, &message)
    })?;
    reader.end().map_err(|error| unreadable(".", &error.to_string()))?;
    Ok(read)
}

/// Names the field at fault: the one that the message names, or else the one that was read.
fn unreadable(path: &str, message: &str) -> Refusal {
    let named = message.split('`').nth(1).filter(|_| message.contains("field"));
    let field = named.or(Some(path).filter(|path| *path != "."));
    let error = |message: String| Error::new(Code::InvalidRequest, message);
    Refusal(match field {
        Some(field) if named.is_none() => error(format!("`{field}` cannot be read: {message}")).at(field),
        Some(field) => error(format!("the body cannot be read: {message}")).at(field),
        None => error(format!("the body cannot be read: {message}")),
    })
}
