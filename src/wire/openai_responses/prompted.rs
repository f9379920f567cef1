//! A prompt put in front of a caller's request.

use serde_json::Value;

use super::check::{check_items, checked};
use super::request_write::write_fields;
use crate::chat::Error;
use crate::wire::asked::Asked;
use crate::wire::capabilities::UNKNOWN;
use crate::wire::exact_numbers;
use crate::wire::json::{Edits, items, quoted};
use crate::wire::prompt::{Prompted, Said, write};

/// Whether an answer is stored or streamed, and what it includes, is for the caller alone to decide.
const OWN: [&str; 3] = ["store", "stream", "include"];

/// The caller's request with the prompt's items and instructions before its own, and the prompt's settings where it has
/// none.
pub(super) fn prompted(asked: &Asked, prompt: Said) -> Result<Prompted, Error> {
    let model = prompt.settings.model.clone();
    let (mut fields, mut brought) =
        write(prompt, "input", |prompt, emulated| write_fields(prompt, &UNKNOWN, emulated))?;
    let set = |name: &str| asked.object.get(name).filter(|json| *json != "null");
    brought.settle(|name| set(name).is_some());
    let (input, instructions) = (fields.shift_remove("input"), fields.shift_remove("instructions"));
    let mut edits = Edits::default();
    edits.remove("prompt");
    for (name, value) in &fields {
        match name.as_str() {
            "model" => edits.set(name, quoted(&model)),
            name if OWN.contains(&name) || set(name).is_some() => {}
            name => edits.set(name, exact_numbers::write(value)),
        }
    }
    let items = input.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let places = items.iter().enumerate().filter(|(_, item)| item["role"] == "developer");
    brought.special = places.map(|(n, _)| n).collect();
    let turns = asked.turns + items.len();
    edits.set("input", joined_input(&input.unwrap_or_default(), set("input")));
    if let Some(instructions) = joined_instructions(instructions, set("instructions"))? {
        edits.set("instructions", instructions);
    }
    let asked = checked(asked.object.with(&edits)?, |_, may_be_empty| check_items(turns, may_be_empty))?;
    Ok(Prompted { asked, brought })
}

/// The items of both, the prompt's first. The caller's stay as they came.
fn joined_input(prompt: &Value, own: Option<&str>) -> String {
    let mut list = exact_numbers::write(prompt);
    list.pop();
    let mut add = |before: &str, item: &str, behind: &str| {
        list.push_str(if list.len() > 1 { "," } else { "" });
        [before, item, behind].into_iter().for_each(|text| list.push_str(text));
    };
    match own {
        None | Some("\"\"") => {}
        Some(text) if text.starts_with('"') => add(r#"{"type":"message","role":"user","content":"#, text, "}"),
        Some(own) => items(own).for_each(|item| add("", item, "")),
    }
    list.push(']');
    list
}

fn joined_instructions(prompt: Option<Value>, own: Option<&str>) -> Result<Option<String>, Error> {
    let own: Option<String> =
        own.map(serde_json::from_str).transpose().map_err(|error| Error::field("instructions", error.to_string()))?;
    let prompt = match prompt {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let texts: Vec<String> = [prompt, own].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    Ok((!texts.is_empty()).then(|| quoted(&texts.join("\n\n"))))
}
