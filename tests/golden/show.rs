//! What the golden files look like: short enough to be read, and nothing left out that is not checked here.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The longest line of JSON before it is broken.
const WIDTH: usize = 118;

/// JSON in few lines.
pub fn json(value: &Value) -> String {
    let mut out = String::new();
    put(value, 0, 0, &mut out);
    out
}

fn put(value: &Value, indent: usize, before: usize, out: &mut String) {
    let flat = value.to_string();
    let inner = indent + 2;
    match value {
        Value::Object(map) if flat.len() + before > WIDTH && !map.is_empty() => {
            out.push_str("{\n");
            for (n, (name, value)) in map.iter().enumerate() {
                let name = Value::from(name.as_str()).to_string();
                write!(out, "{:inner$}{name}: ", "").unwrap();
                put(value, inner, inner + name.len() + 3, out);
                out.push_str(if n + 1 < map.len() { ",\n" } else { "\n" });
            }
            write!(out, "{:indent$}}}", "").unwrap();
        }
        Value::Array(list) if flat.len() + before > WIDTH && !list.is_empty() => {
            out.push_str("[\n");
            for (n, value) in list.iter().enumerate() {
                write!(out, "{:inner$}", "").unwrap();
                put(value, inner, inner + 1, out);
                out.push_str(if n + 1 < list.len() { ",\n" } else { "\n" });
            }
            write!(out, "{:indent$}]", "").unwrap();
        }
        _ => out.push_str(&flat),
    }
}

/// Sections whose texts are the same, under one heading of all their names.
pub fn grouped(sections: Vec<(String, String)>) -> String {
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    for (name, text) in sections {
        match groups.iter_mut().find(|(_, known)| *known == text) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], text)),
        }
    }
    groups.into_iter().map(|(names, text)| format!("## from {}\n{text}", names.join(", "))).collect()
}

/// What every answer of Responses says beside what it is about.
fn response_frame() -> Map<String, Value> {
    let frame = json!({
        "object": "response", "created_at": 1_700_000_000, "background": false, "error": null, "incomplete_details": null,
        "instructions": null, "max_output_tokens": null, "model": "m", "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": null,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": null, "truncation": "disabled",
        "user": null, "metadata": {},
    });
    let Value::Object(frame) = frame else { unreachable!() };
    frame
}

/// `value` without the fields that are as in `frame`. Fields of the frame that it lacks are shown as well.
fn without(value: &Value, frame: &Map<String, Value>) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    let mut rest = map.clone();
    for (name, value) in frame {
        match rest.get(name) {
            Some(own) if own == value => drop(rest.shift_remove(name)),
            Some(_) => {}
            None => drop(rest.insert(format!("LACKS {name}"), true.into())),
        }
    }
    rest.into()
}

/// A whole answer.
pub fn answer(dialect: &str, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let body = if dialect == "responses" { without(&body, &response_frame()) } else { body };
    format!("{}\n", json(&body))
}

/// A stream's events. What is the same in all of them is shown once.
pub fn stream(dialect: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut out = String::new();
    let mut frame: Option<Map<String, Value>> = None;
    let mut next = 0;
    for event in text.replace("\r\n", "\n").split_terminator("\n\n") {
        let (name, data) = match event.strip_prefix("event: ").and_then(|event| event.split_once('\n')) {
            Some((name, data)) => (Some(name), data),
            None => (None, event),
        };
        let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {event}"));
        let Ok(Value::Object(mut fields)) = serde_json::from_str(data) else {
            writeln!(out, "{data}").unwrap();
            continue;
        };
        match dialect {
            "chat" | "gemini" => {
                assert_eq!(name, None, "{event}");
                let same = ["id", "object", "created", "model", "modelVersion", "responseId"];
                let head = || fields.iter().filter(|(name, _)| same.contains(&name.as_str()));
                let head = head().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>();
                match &frame {
                    None => {
                        writeln!(out, "all: {}", json(&head.clone().into())).unwrap();
                        frame = Some(head.clone());
                    }
                    // An error event has no head.
                    Some(frame) if !fields.contains_key("error") => assert_eq!(&head, frame, "{event}"),
                    Some(_) => {}
                }
                head.keys().for_each(|name| drop(fields.shift_remove(name)));
                writeln!(out, "{}", json(&fields.into())).unwrap();
            }
            _ => {
                let kind = fields.shift_remove("type");
                assert_eq!(kind.as_ref().and_then(Value::as_str), name, "{event}");
                if dialect == "responses" {
                    assert_eq!(fields.shift_remove("sequence_number"), Some(next.into()), "{event}");
                    next += 1;
                    if let Some(response) = fields.get_mut("response") {
                        *response = without(response, &response_frame());
                    }
                }
                writeln!(out, "{}: {}", name.unwrap(), json(&fields.into())).unwrap();
            }
        }
    }
    out
}
