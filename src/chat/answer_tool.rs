//! An answer in a requested format, from a target that has no such field: the model must call a tool whose input has the format.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Code, Collector, Content, Delta, Error, Event, Format, Request, Response, Stop, Tool, ToolChoice};

/// How a target keeps to the requested format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Structured {
    /// The target has a field for the format.
    Native,
    /// The model must call a tool whose input has the format.
    Tool,
    /// The target has no way: such requests are refused.
    None,
}

/// The field of the tool's input that holds an answer which is no object; the input itself must be one.
const VALUE: &str = "value";

/// The most text that is held back until it is known whether the tool is called.
const MOST_HELD: usize = 1 << 20;

/// The tool that a model answers by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTool {
    name: String,
    /// Whether the answer stands in a field of the input.
    wrapped: bool,
}

impl AnswerTool {
    /// Puts the tool into a request in place of its format. The model must call that tool, or one of the caller's tools where
    /// the request allows it. `None` where no tool is needed: without a format, and where one of the caller's tools must be
    /// called, so that no text comes.
    ///
    /// # Errors
    /// `unsupported_feature` where the schema cannot be a tool's.
    pub fn put(request: &mut Request) -> Result<Option<Self>, Error> {
        let (schema, about) = match request.format.take() {
            None | Some(Format::Text) => return Ok(None),
            Some(Format::JsonObject) => (json!({"type": "object", "additionalProperties": true}), String::new()),
            Some(Format::JsonSchema { name, description, schema, .. }) => {
                let about = description.map_or_else(|| ".".to_owned(), |text| format!(": {text}"));
                (schema, format!(" It is a `{name}`{about}"))
            }
        };
        let own = !request.tools.is_empty();
        match &request.tool_choice {
            Some(ToolChoice::Any | ToolChoice::Tool(_) | ToolChoice::Allowed { must: true, .. }) if own => {
                return Ok(None);
            }
            _ => {}
        }
        let (schema, wrapped) = input(schema)?;
        let mut name = "answer".to_owned();
        while request.tools.iter().any(|tool| tool.name == name) {
            name.push('_');
        }
        let free = own && request.tool_choice != Some(ToolChoice::None);
        request.tool_choice = Some(match request.tool_choice.take() {
            Some(ToolChoice::Allowed { mut names, .. }) if own => {
                names.push(name.clone());
                ToolChoice::Allowed { names, must: true }
            }
            _ if free => ToolChoice::Any,
            _ => ToolChoice::Tool(name.clone()),
        });
        request.tools.push(Tool {
            name: name.clone(),
            description: Some(format!("Gives the answer. Call it once, with all of the answer as its input.{about}")),
            schema: Some(schema),
            strict: None,
            cache: None,
        });
        Ok(Some(Self { name, wrapped }))
    }

    /// The answer as the caller reads it: the tool's input becomes the text.
    #[must_use]
    pub fn unwrap(&self, response: Response) -> Response {
        let service_tier = response.service_tier.clone();
        let mut unwrapping = Unwrapping::new(self.clone());
        let mut collector = Collector::default();
        let mut events = Vec::new();
        for event in response.into_events() {
            unwrapping.take(event, &mut events);
            events.drain(..).for_each(|event| collector.take(event));
        }
        Response { service_tier, ..collector.finish().unwrap_or_default() }
    }

    /// The answer's text, from the tool's input.
    fn text(&self, arguments: String) -> String {
        let inner = || {
            let mut fields: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_str(&arguments).ok()?;
            Some(fields.remove(VALUE)?.get().to_owned())
        };
        match self.wrapped.then(inner).flatten() {
            Some(inner) => inner,
            None if arguments.trim().is_empty() => "{}".to_owned(),
            None => arguments,
        }
    }
}

/// The schema of the tool's input, and whether the requested schema stands in a field of the input.
fn input(schema: Value) -> Result<(Value, bool), Error> {
    let Value::Object(mut fields) = schema else {
        return Err(Error::field("response_format", "the schema of `response_format` must be an object"));
    };
    let whole = match fields.get("type") {
        Some(kind) => kind == "object",
        None => {
            !["anyOf", "oneOf", "allOf", "enum", "const", "$ref", "items"].iter().any(|key| fields.contains_key(*key))
        }
    };
    if whole {
        if !fields.contains_key("type") {
            fields.shift_insert(0, "type".to_owned(), "object".into());
        }
        return Ok((fields.into(), false));
    }
    // Definitions stay at the root, where references look for them.
    let mut root = Map::from_iter([("type".to_owned(), Value::from("object"))]);
    for name in ["$defs", "definitions"] {
        root.extend(fields.shift_remove(name).map(|definitions| (name.to_owned(), definitions)));
    }
    let inner = Value::Object(fields);
    if !points_to_definitions(&inner) || !root.values().all(points_to_definitions) {
        let text =
            "the schema of `response_format` points to its own root, and the target takes only a schema of an object";
        return Err(Error::new(Code::UnsupportedFeature, text).at("response_format"));
    }
    root.insert("properties".to_owned(), json!({VALUE: inner}));
    root.insert("required".to_owned(), json!([VALUE]));
    root.insert("additionalProperties".to_owned(), false.into());
    Ok((root.into(), true))
}

/// Whether every reference in a schema is to a definition.
fn points_to_definitions(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().all(|(name, value)| match value {
            Value::String(place) if name == "$ref" => {
                place.starts_with("#/$defs/") || place.starts_with("#/definitions/")
            }
            value => points_to_definitions(value),
        }),
        Value::Array(list) => list.iter().all(points_to_definitions),
        _ => true,
    }
}

/// Turns calls of the tool into text as they come.
#[derive(Debug)]
pub struct Unwrapping {
    tool: AnswerTool,
    choices: Vec<Choice>,
}

/// The state of one choice.
#[derive(Debug, Default)]
struct Choice {
    /// Text before the first call. The text is dropped where that call is of the answer's tool.
    held: Vec<Event>,
    held_bytes: usize,
    /// The part whose events are held back.
    holds: Option<u32>,
    /// Whether the held events are known to be sent.
    settled: bool,
    /// The provider's number for the answer's call while it is open, and what came of its input.
    open: Option<(u32, String)>,
    /// The part that is dropped: a second call of the tool.
    muted: Option<u32>,
    answered: bool,
    own_calls: bool,
    /// How many parts were dropped; the numbers of later parts are lower by as many.
    gone: u32,
}

impl Unwrapping {
    /// For answers by `tool`.
    #[must_use]
    pub fn new(tool: AnswerTool) -> Self {
        Self { tool, choices: Vec::new() }
    }

    /// Takes an event; appends the events that the caller gets.
    pub fn take(&mut self, event: Event, out: &mut Vec<Event>) {
        let Some(choice) = choice_of(&event) else {
            out.push(event);
            return;
        };
        // A request asks for at most 128.
        let place = usize::try_from(choice.min(127)).unwrap_or(0);
        if self.choices.len() <= place {
            self.choices.resize_with(place + 1, Choice::default);
        }
        let Self { tool, choices } = self;
        choices[place].take(tool, event, out);
    }
}

fn choice_of(event: &Event) -> Option<u32> {
    match event {
        Event::Open { choice, .. }
        | Event::Delta { choice, .. }
        | Event::Close { choice, .. }
        | Event::Finish { choice, .. } => Some(*choice),
        _ => None,
    }
}

impl Choice {
    fn take(&mut self, tool: &AnswerTool, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Open { choice, part, content: Content::ToolCall { name, arguments, .. } } if name == tool.name => {
                self.answer(tool, (choice, part), arguments, out);
            }
            Event::Delta { choice, part, delta: Delta::Arguments(more) }
                if self.open.as_ref().is_some_and(|(open, _)| *open == part) =>
            {
                self.more(tool, (choice, part), more, out);
            }
            Event::Delta { part, .. } if self.muted == Some(part) => {}
            Event::Close { part, .. } if self.muted == Some(part) => self.muted = None,
            Event::Close { choice, part } => {
                if let Some((_, arguments)) = self.open.take_if(|(open, _)| *open == part) {
                    let is_due = tool.wrapped || arguments.is_empty();
                    let text = is_due.then(|| tool.text(arguments));
                    self.tell(text.map(|text| text_delta(choice, part, text)), out);
                }
                self.pass(Event::Close { choice, part }, out);
            }
            Event::Finish { choice, stop } => {
                self.settle(out);
                let ended = self.answered && !self.own_calls && stop == Stop::Tools;
                out.push(Event::Finish { choice, stop: if ended { Stop::End } else { stop } });
            }
            event => {
                if let Event::Open { content, .. } = &event {
                    let own_call = matches!(content, Content::ToolCall { .. });
                    self.own_calls |= own_call;
                    if own_call || !(self.held.is_empty() || matches!(content, Content::Text { .. })) {
                        self.settle(out);
                    }
                }
                self.pass(event, out);
            }
        }
    }

    /// The tool is called: its input is the text of the answer.
    fn answer(&mut self, tool: &AnswerTool, (choice, part): (u32, u32), arguments: String, out: &mut Vec<Event>) {
        if self.answered {
            // Of two answers only the first counts: both in one text would not have the format.
            self.muted = Some(part);
            self.gone += 1;
            return;
        }
        self.answered = true;
        if !self.settled {
            let idle = self.held.drain(..).filter(|event| matches!(event, Event::Open { .. })).count();
            self.gone += u32::try_from(idle).unwrap_or(0);
            self.settled = true;
        }
        self.open = Some((part, String::new()));
        let content = Content::Text { text: String::new(), citations: Vec::new() };
        self.tell(Some(Event::Open { choice, part, content }), out);
        self.more(tool, (choice, part), arguments, out);
    }

    fn more(&mut self, tool: &AnswerTool, (choice, part): (u32, u32), more: String, out: &mut Vec<Event>) {
        let Some((_, arguments)) = &mut self.open else { return };
        if tool.wrapped {
            arguments.push_str(&more);
        } else if !more.is_empty() {
            // Only whether any input came matters.
            if arguments.is_empty() {
                arguments.push('{');
            }
            self.tell(Some(text_delta(choice, part, more)), out);
        }
    }

    /// Sends the held events.
    fn settle(&mut self, out: &mut Vec<Event>) {
        self.settled = true;
        self.holds = None;
        for event in std::mem::take(&mut self.held) {
            self.tell(Some(event), out);
        }
    }

    /// Sends an event, or holds the event back while its text may be dropped.
    fn pass(&mut self, event: Event, out: &mut Vec<Event>) {
        let held = match &event {
            Event::Open { part, content: Content::Text { .. }, .. } if !self.settled => {
                self.holds = Some(*part);
                true
            }
            Event::Delta { part, delta, .. } if self.holds == Some(*part) => {
                if let Delta::Text(text) = delta {
                    self.held_bytes += text.len();
                }
                true
            }
            Event::Close { part, .. } if self.holds == Some(*part) => {
                self.holds = None;
                true
            }
            _ => false,
        };
        if !held {
            self.tell(Some(event), out);
            return;
        }
        self.held.push(event);
        if self.held_bytes > MOST_HELD {
            self.settle(out);
        }
    }

    /// Sends an event with its part's number among the sent parts.
    fn tell(&mut self, event: Option<Event>, out: &mut Vec<Event>) {
        let Some(mut event) = event else { return };
        if let Event::Open { part, .. } | Event::Delta { part, .. } | Event::Close { part, .. } = &mut event {
            *part = part.saturating_sub(self.gone);
        }
        out.push(event);
    }
}

fn text_delta(choice: u32, part: u32, text: String) -> Event {
    Event::Delta { choice, part, delta: Delta::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Part, Role};

    fn asking(format: Format) -> Request {
        Request { messages: vec![Message::text(Role::User, "Who?")], format: Some(format), ..Request::default() }
    }

    fn schema(schema: Value) -> Format {
        Format::JsonSchema { name: "person".to_owned(), description: None, schema, strict: Some(true) }
    }

    fn own(name: &str) -> Tool {
        Tool { name: name.to_owned(), description: None, schema: None, strict: None, cache: None }
    }

    fn call(name: &str, arguments: &str) -> Part {
        let (id, name) = ("1".to_owned(), name.to_owned());
        Part::new(Content::ToolCall { id, name, arguments: arguments.to_owned() })
    }

    fn unwrapped(tool: &AnswerTool, parts: Vec<Part>, stop: Stop) -> (Vec<Part>, Option<Stop>) {
        let choice = super::super::Choice { parts, stop: Some(stop), logprobs: None };
        let mut response = tool.unwrap(Response { choices: vec![choice], ..Response::default() });
        let choice = response.choices.remove(0);
        (choice.parts, choice.stop)
    }

    #[test]
    fn a_format_becomes_a_tool_that_must_be_called() {
        let mut request = asking(schema(json!({"type": "object", "properties": {"a": {"type": "string"}}})));
        let tool = AnswerTool::put(&mut request).unwrap().unwrap();
        assert_eq!(request.format, None);
        assert_eq!(request.tool_choice, Some(ToolChoice::Tool("answer".to_owned())));
        assert_eq!(request.tools[0].schema, Some(json!({"type": "object", "properties": {"a": {"type": "string"}}})));
        let text = unwrapped(&tool, vec![call("answer", r#"{"a":"b"}"#)], Stop::Tools);
        assert_eq!(text, (vec![Part::text(r#"{"a":"b"}"#)], Some(Stop::End)));
    }

    #[test]
    fn own_tools_leave_the_model_the_choice_and_no_more() {
        for (choice, expected) in [
            (None, Some(ToolChoice::Any)),
            (Some(ToolChoice::Auto), Some(ToolChoice::Any)),
            (Some(ToolChoice::None), Some(ToolChoice::Tool("answer_".to_owned()))),
        ] {
            let mut request = asking(Format::JsonObject);
            (request.tools, request.tool_choice) = (vec![own("answer")], choice);
            assert!(AnswerTool::put(&mut request).unwrap().is_some());
            assert_eq!((request.tool_choice, request.tools[1].name.as_str()), (expected, "answer_"));
        }
        for choice in [ToolChoice::Any, ToolChoice::Tool("look".to_owned())] {
            let mut request = asking(Format::JsonObject);
            (request.tools, request.tool_choice) = (vec![own("look")], Some(choice.clone()));
            // A tool must be called, so that no text comes which could have a form.
            assert_eq!(AnswerTool::put(&mut request), Ok(None));
            assert_eq!((request.tool_choice, request.tools.len(), request.format), (Some(choice), 1, None));
        }
    }

    #[test]
    fn idle_words_before_the_answer_go_and_all_else_stays() {
        let tool = AnswerTool { name: "answer".to_owned(), wrapped: false };
        let thought = Part { signature: Some("s".to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) };
        for (parts, expected, stop) in [
            (
                vec![thought.clone(), Part::text("Here it is:"), call("answer", "{}")],
                vec![thought.clone(), Part::text("{}")],
                Stop::End,
            ),
            (vec![thought.clone(), Part::text("I cannot.")], vec![thought, Part::text("I cannot.")], Stop::Tools),
            (
                vec![Part::text("I look."), call("look", "{}")],
                vec![Part::text("I look."), call("look", "{}")],
                Stop::Tools,
            ),
            (
                vec![call("look", "{}"), call("answer", r#"{"a":1}"#)],
                vec![call("look", "{}"), Part::text(r#"{"a":1}"#)],
                Stop::Tools,
            ),
            (vec![call("answer", ""), call("answer", r#"{"a":1}"#)], vec![Part::text("{}")], Stop::End),
        ] {
            assert_eq!(unwrapped(&tool, parts, Stop::Tools), (expected, Some(stop)));
        }
        assert_eq!(unwrapped(&tool, vec![call("answer", "{\"a")], Stop::Length).1, Some(Stop::Length));
    }

    #[test]
    fn a_schema_of_no_object_is_wrapped_and_its_answer_unwrapped() {
        let list = json!({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "number"}}});
        let mut request = asking(schema(list));
        let tool = AnswerTool::put(&mut request).unwrap().unwrap();
        let put = request.tools[0].schema.clone().unwrap();
        assert_eq!(put["type"], "object");
        assert_eq!(put["properties"]["value"], json!({"type": "array", "items": {"$ref": "#/$defs/n"}}));
        assert_eq!(put["$defs"]["n"], json!({"type": "number"}));
        let text = unwrapped(&tool, vec![call("answer", r#"{"value": [1.50, 2]}"#)], Stop::Tools);
        assert_eq!(text.0, vec![Part::text("[1.50, 2]")]);
        let cut = unwrapped(&tool, vec![call("answer", r#"{"value": [1"#)], Stop::Length);
        assert_eq!(cut.0, vec![Part::text(r#"{"value": [1"#)]);
        let error = AnswerTool::put(&mut asking(schema(json!({"type": "array", "items": {"$ref": "#"}})))).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some("response_format")));
    }
}
