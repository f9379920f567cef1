//! `/v1/files`: files that batches read and write, as OpenAI's SDKs bring, list and take them.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::{Value, json};

use super::arrival::Arrival;
use super::auth::Caller;
use super::batches::{Listed, admit, limit, listed, scope, unknown};
use super::error::Refusal;
use crate::app::App;
use crate::batches::{File, Upload};
use crate::chat::{Code, Error};
use crate::keys::VirtualKey;
use crate::types::now;

type Answer = Result<Json<Value>, Refusal>;

/// The longest list, which is the usual one.
const MOST: u32 = 10_000;

/// How long a caller may take for a whole file.
const TOTAL: Duration = Duration::from_secs(3_600);

/// The most bytes of a form beside its file, and of one of its fields.
const BESIDE: u64 = 64 << 10;
const LONGEST_FIELD: u64 = 1 << 10;

/// The least and the most seconds that an owner may set for how long a file is stored.
const LIFE: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// `POST /v1/files`.
pub async fn create(State(app): State<App>, Caller(key): Caller, headers: HeaderMap, body: Body) -> Answer {
    admit(&app, &key)?;
    let mut form = Form {
        app: &app,
        key: &key,
        arrival: Arrival::of(&app, &key.project, TOTAL),
        upload: None,
        purpose: None,
        life: None,
    };
    let read = form.read(&headers, body).await;
    let Form { upload, life, .. } = form;
    match (read, upload) {
        (Ok(()), Some(upload)) => Ok(Json(upload.finish(life).await?.json())),
        (Ok(()), None) => Err(Error::field("file", "the form has no `file`").into()),
        (Err(error), upload) => {
            if let Some(upload) = upload {
                upload.discard().await;
            }
            Err(error.into())
        }
    }
}

/// A form with a file.
struct Form<'a> {
    app: &'a App,
    key: &'a VirtualKey,
    arrival: Arrival<'a>,
    upload: Option<Upload>,
    purpose: Option<String>,
    life: Option<Duration>,
}

impl Form<'_> {
    async fn read(&mut self, headers: &HeaderMap, body: Body) -> Result<(), Error> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(|_| {
            Error::new(
                Code::UnsupportedMediaType,
                "a file comes as multipart/form-data with the fields purpose and file",
            )
        })?;
        let most = self.app.batches().settings().max_size;
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most + BESIDE) {
            return Err(crate::batches::Error::TooLarge(most).into());
        }
        let sizes = SizeLimit::new().whole_stream(most + BESIDE);
        let mut parts =
            Multipart::with_constraints(body.into_data_stream(), boundary, Constraints::new().size_limit(sizes));
        let mut seconds = None;
        while let Some(field) = self.in_time(parts.next_field()).await? {
            match field.name().unwrap_or_default() {
                "file" if self.upload.is_some() => return Err(Error::field("file", "`file` stands twice")),
                "file" => self.take(field).await?,
                "purpose" => {
                    let purpose = self.text(field, "purpose").await?;
                    check_purpose(&purpose)?;
                    self.purpose = Some(purpose);
                }
                "expires_after[anchor]" => {
                    if self.text(field, "expires_after").await? != "created_at" {
                        return Err(Error::field("expires_after", "`anchor` must be `created_at`"));
                    }
                }
                "expires_after[seconds]" => seconds = Some(self.text(field, "expires_after").await?),
                other => {
                    let name: String = other.chars().take(80).collect();
                    return Err(Error::field(name.clone(), format!("the form may not have `{name}`")));
                }
            }
        }
        if self.purpose.is_none() {
            return Err(Error::field("purpose", "`purpose` is missing; it must be `batch`"));
        }
        self.life = seconds.map(|text| life(&text)).transpose()?;
        Ok(())
    }

    /// Takes the file as it comes.
    async fn take(&mut self, mut field: Field<'_>) -> Result<(), Error> {
        let name = field.file_name().unwrap_or_default().to_owned();
        let (project, key_id) = (&self.key.project, &self.key.id);
        let upload = self.app.batches().upload(project, key_id, &name, now()).await?;
        self.upload = Some(upload);
        while let Some(bytes) = self.in_time(field.chunk()).await? {
            self.arrival.note(bytes.len());
            if let Some(upload) = &mut self.upload {
                upload.push(&bytes).await?;
            }
        }
        Ok(())
    }

    /// A short field.
    async fn text(&mut self, mut field: Field<'_>, name: &str) -> Result<String, Error> {
        let mut text = Vec::new();
        while let Some(bytes) = self.in_time(field.chunk()).await? {
            text.extend_from_slice(&bytes);
            if text.len() as u64 > LONGEST_FIELD {
                return Err(Error::field(name, format!("`{name}` is too long")));
            }
        }
        String::from_utf8(text).map_err(|_| Error::field(name, format!("`{name}` is no text")))
    }

    async fn in_time<T>(&mut self, coming: impl Future<Output = multer::Result<T>>) -> Result<T, Error> {
        self.arrival.next(coming).await?.map_err(|error| self.bad_form(&error))
    }

    fn bad_form(&self, error: &multer::Error) -> Error {
        match error {
            multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
                crate::batches::Error::TooLarge(self.app.batches().settings().max_size).into()
            }
            error => Error::new(Code::InvalidRequest, format!("the form cannot be read: {error}")),
        }
    }
}

fn check_purpose(purpose: &str) -> Result<(), Error> {
    if purpose == "batch" {
        return Ok(());
    }
    let shown: String = purpose.chars().take(40).collect();
    Err(Error::field("purpose", format!("`purpose` must be `batch`, not `{shown}`: files are stored for batches only")))
}

fn life(text: &str) -> Result<Duration, Error> {
    let seconds = text.parse().ok().filter(|seconds| LIFE.contains(seconds));
    let (least, most) = (LIFE.start(), LIFE.end());
    let bad = || Error::field("expires_after", format!("`seconds` must be {least} to {most}"));
    seconds.map(Duration::from_secs).ok_or_else(bad)
}

/// `GET /v1/files`, newest first unless the query says otherwise.
pub async fn list(
    State(app): State<App>,
    Caller(key): Caller,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Answer {
    let mut page = Listed { limit: MOST, ..Listed::default() };
    let mut purpose = None;
    for (name, value) in parameters {
        match name.as_str() {
            "limit" => page.limit = limit(&value, MOST)?,
            "after" => page.after = Some(value),
            "order" if value == "asc" => page.ascending = true,
            "order" if value == "desc" => page.ascending = false,
            "order" => return Err(Error::field("order", "`order` must be `asc` or `desc`").into()),
            "purpose" => purpose = Some(value),
            _ => return Err(unknown(&name)),
        }
    }
    let found = app.batches().files(scope(&key), purpose.as_deref(), page.part(), now()).await;
    let (files, has_more) = found?;
    let rows: Vec<_> = files.iter().map(File::json).collect();
    Ok(Json(listed(&rows, has_more)))
}

/// `GET /v1/files/{id}`.
pub async fn one(State(app): State<App>, Caller(key): Caller, Path(id): Path<String>) -> Answer {
    Ok(Json(app.batches().file(scope(&key), &id, now()).await?.json()))
}

/// `GET /v1/files/{id}/content`: the bytes, piece by piece.
pub async fn content(State(app): State<App>, Caller(key): Caller, Path(id): Path<String>) -> Result<Response, Refusal> {
    let file = app.batches().file(scope(&key), &id, now()).await?;
    let headers = [
        (CONTENT_TYPE, "application/jsonl".to_owned()),
        (CONTENT_LENGTH, file.bytes.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.jsonl\"", file.id)),
        (HeaderName::from_static("x-content-type-options"), "nosniff".to_owned()),
    ];
    let batches = app.batches().clone();
    let pieces = stream::unfold((batches, file.id, 0), |(batches, id, n)| async move {
        match batches.chunk(&id, n).await {
            Ok(Some(piece)) => Some((Ok(piece), (batches, id, n + 1))),
            Ok(None) => None,
            // The head has the length, so the reader notices that the rest is missing.
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), (batches, id, u64::MAX))),
        }
    });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// `DELETE /v1/files/{id}`.
pub async fn delete(State(app): State<App>, Caller(key): Caller, Path(id): Path<String>) -> Answer {
    app.batches().delete_file(scope(&key), &id, now()).await?;
    Ok(Json(json!({"id": id, "object": "file", "deleted": true})))
}
