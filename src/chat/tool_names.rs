//! Names of tools for an API that takes fewer names than the caller's: shortened in the request, restored in the answer.

use std::collections::{HashMap, HashSet};

use super::{Content, Emulated, Event, Request, Response, ToolChoice};

/// Which names of tools an API takes.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// The most letters.
    pub most: usize,
    /// Whether a letter may stand in a name.
    pub fits: fn(char) -> bool,
    /// Whether a letter may begin one.
    pub begins: fn(char) -> bool,
}

/// How many letters of a hash tell a changed name from others.
const HASH: usize = 16;

impl NameRule {
    /// ASCII letters, digits, `_` and `-`, at most `most` of them.
    #[must_use]
    pub const fn plain(most: usize) -> Self {
        let plain: fn(char) -> bool = |letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        Self { most, fits: plain, begins: plain }
    }

    /// Whether a name can go as it is; an empty one is for the API's own check.
    fn takes(self, name: &str) -> bool {
        name.chars().nth(self.most).is_none()
            && name.chars().all(self.fits)
            && name.chars().next().is_none_or(self.begins)
    }

    /// A name that fits, the same for the same one; other than all that are taken.
    fn fitted(self, name: &str, taken: &mut HashSet<String>) -> String {
        let lead = if name.chars().next().is_some_and(self.begins) { "" } else { "t" };
        let letters = name.chars().map(|letter| if (self.fits)(letter) { letter } else { '_' });
        let stem: String = lead.chars().chain(letters).take(self.most.saturating_sub(HASH + 1)).collect();
        for n in 0_u64.. {
            let mut hasher = blake3::Hasher::new();
            hasher.update(name.as_bytes());
            if n > 0 {
                hasher.update(&n.to_be_bytes());
            }
            let hash = hasher.finalize().to_hex();
            let fitted = format!("{stem}_{}", &hash.as_str()[..HASH]);
            if taken.insert(fitted.clone()) {
                return fitted;
            }
        }
        stem
    }
}

/// The names of one request that its target does not take: what was sent for each, and the caller's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames(HashMap<String, String>);

impl ToolNames {
    /// Changes the names of a request's tools, calls and results, and those in `tool_choice`, that the rule does not take.
    pub fn fit(request: &mut Request, rule: NameRule, emulated: &mut Emulated) -> Self {
        let mut taken = HashSet::new();
        let mut odd: Vec<String> = Vec::new();
        each_name(request, &mut |name| {
            if !rule.takes(name) {
                odd.push(name.clone());
            }
        });
        if odd.is_empty() {
            return Self::default();
        }
        each_name(request, &mut |name| {
            if rule.takes(name) {
                taken.insert(name.clone());
            }
        });
        // In an order of their own, so that a name becomes the same one however the request is ordered.
        odd.sort_unstable();
        odd.dedup();
        emulated.note("tool_name");
        let fitted: HashMap<String, String> =
            odd.into_iter().map(|name| (name.clone(), rule.fitted(&name, &mut taken))).collect();
        each_name(request, &mut |name| {
            if let Some(sent) = fitted.get(name.as_str()) {
                name.clone_from(sent);
            }
        });
        Self(fitted.into_iter().map(|(own, sent)| (sent, own)).collect())
    }

    /// Whether no name was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Restores the names in a whole answer.
    pub fn restore(&self, response: &mut Response) {
        let parts = response.choices.iter_mut().flat_map(|choice| &mut choice.parts);
        parts.for_each(|part| self.restore_call(&mut part.content));
    }

    /// Restores the name in an event of a stream.
    pub fn restore_event(&self, event: &mut Event) {
        if let Event::Open { content, .. } = event {
            self.restore_call(content);
        }
    }

    fn restore_call(&self, content: &mut Content) {
        if let Content::ToolCall { name, .. } = content
            && let Some(own) = self.0.get(name.as_str())
        {
            name.clone_from(own);
        }
    }
}

/// Hands over every name of a tool in a request.
fn each_name(request: &mut Request, take: &mut impl FnMut(&mut String)) {
    request.tools.iter_mut().for_each(|tool| take(&mut tool.name));
    match &mut request.tool_choice {
        Some(ToolChoice::Tool(name)) => take(name),
        Some(ToolChoice::Allowed { names, .. }) => names.iter_mut().for_each(&mut *take),
        _ => {}
    }
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        match &mut part.content {
            Content::ToolCall { name, .. } | Content::ToolResult { name: Some(name), .. } => take(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, Message, Part, Role, Tool};
    use super::*;

    fn tool(name: &str) -> Tool {
        Tool { name: name.to_owned(), description: None, schema: None, strict: None, cache: None }
    }

    fn call(name: &str) -> Content {
        Content::ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: String::new() }
    }

    fn request(names: &[&str]) -> Request {
        let parts = names.iter().map(|name| Part::new(call(name))).collect();
        Request {
            tools: names.iter().map(|name| tool(name)).collect(),
            messages: vec![Message { role: Role::Assistant, parts, name: None }],
            tool_choice: Some(ToolChoice::Tool(names[0].to_owned())),
            ..Request::default()
        }
    }

    #[test]
    fn names_that_do_not_fit_go_as_others_that_stay_apart_and_come_back_as_they_were() {
        let (long, other) = (format!("{}a", "x".repeat(64)), format!("{}b", "x".repeat(64)));
        let names = [long.as_str(), other.as_str(), "a.b", "a_b", "é", "-a"];
        let rule = NameRule { begins: |letter| letter.is_ascii_alphabetic(), ..NameRule::plain(64) };
        let (mut asked, mut emulated) = (request(&names), Emulated::default());
        let sent = ToolNames::fit(&mut asked, rule, &mut emulated);
        assert_eq!(emulated.names(), ["tool_name"]);
        let written: Vec<String> = asked.tools.iter().map(|tool| tool.name.clone()).collect();
        assert!(written.iter().all(|name| rule.takes(name)), "{written:?}");
        assert_eq!(written.iter().collect::<HashSet<_>>().len(), names.len(), "{written:?}");
        assert_eq!(written[3], "a_b");
        assert_eq!(asked.tool_choice, Some(ToolChoice::Tool(written[0].clone())));
        let choice = Choice { parts: asked.messages.remove(0).parts, ..Choice::default() };
        let mut answer = Response { choices: vec![choice], ..Response::default() };
        let mut events = answer.clone().into_events();
        sent.restore(&mut answer);
        events.iter_mut().for_each(|event| sent.restore_event(event));
        assert_eq!(answer.choices[0].parts, request(&names).messages.remove(0).parts);
        assert_eq!(events, answer.into_events());
    }

    #[test]
    fn a_name_goes_as_the_same_one_each_time_and_never_as_one_that_another_tool_has() {
        let long = "mcp__".repeat(14);
        let sent = |names: &[&str]| {
            let mut asked = request(names);
            ToolNames::fit(&mut asked, NameRule::plain(64), &mut Emulated::default());
            asked.tools.remove(0).name
        };
        let first = sent(&[&long]);
        assert_eq!(sent(&[&long, "b", "c.d"]), first);
        assert_eq!(first.len(), 64);
        assert_ne!(sent(&[&long, &first]), first);
        let mut plain = request(&["a", "b"]);
        assert!(ToolNames::fit(&mut plain, NameRule::plain(64), &mut Emulated::default()).is_empty());
        assert_eq!(plain, request(&["a", "b"]));
    }
}
