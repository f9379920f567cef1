//! Writes a whole answer, which a stream's last event repeats.

use bytes::Bytes;

use super::stream_write::Writer;
use crate::chat::Response;
use crate::wire::dialect::{AnswerContext, WriteStream as _};
use crate::wire::exact_numbers;
use crate::wire::openai::is_tier;

/// Writes a whole answer.
pub(super) fn write_response(response: &Response, context: &AnswerContext) -> Bytes {
    let mut writer = Writer::of_whole(context);
    let mut unsent = Vec::new();
    for event in response.clone().into_events() {
        writer.write(event, &mut unsent);
    }
    let service_tier = response.service_tier.as_deref().filter(|tier| is_tier(tier));
    exact_numbers::write(&writer.answer().by_tier(service_tier)).into()
}
