//! A whole answer, read: it is a stream of one chunk.

use serde_json::Value;

use super::stream_read::Reader;
use crate::chat::{Collector, Event, Response};
use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;

/// A whole answer in the internal form.
///
/// # Errors
/// Where the body is no answer.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let value: Value = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    if value.get("candidates").is_none() && value.get("promptFeedback").is_none() {
        return Err(BadAnswer("it has no `candidates`".to_owned()));
    }
    let (mut reader, mut events) = (Reader::of_whole(), Vec::new());
    reader.take(value, &mut events)?;
    reader.close_all(&mut events);
    events.push(Event::End);
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.take(event));
    collector.finish().ok_or_else(|| BadAnswer("it is an error".to_owned()))
}
