//! Text that fits the messages: a reply to a customer, a label, documentation, a summary, or plain words.

use super::dice::Dice;
use super::words::{Facts, words};

/// What text is made from.
pub(super) struct Scene<'a> {
    /// The system's words.
    pub(super) system: &'a str,
    /// The last user message.
    pub(super) facts: &'a Facts,
    /// What a tool answered, if that came last.
    pub(super) tool_result: Option<&'a str>,
    /// Whether a long text is wanted.
    pub(super) long: bool,
}

/// The text of one answer.
pub(super) fn text(scene: &Scene<'_>, dice: &mut Dice) -> String {
    let facts = scene.facts;
    if let Some(result) = scene.tool_result {
        return from_tool(facts, result, dice);
    }
    if let Some(wanted) = dictated(&facts.text) {
        return wanted;
    }
    let labels = listed(scene.system);
    if labels.len() > 1 {
        return facts.best(&labels, dice.below(labels.len())).to_owned();
    }
    let about = Facts::of(scene.system);
    let mut text = if let Some(name) = defined(&facts.text) {
        documented(&name, dice)
    } else if facts.mentions("summarise") || facts.mentions("summarize") || about.mentions("summarise") {
        summary(facts)
    } else if about.mentions("support") || about.mentions("customer") || facts.mentions("refund") {
        support(facts, dice)
    } else if is_greeting(&facts.text) {
        "Hello! What can I do for you today?".to_owned()
    } else {
        plain(facts, dice)
    };
    if scene.long {
        for _ in 0..60 {
            text.push(' ');
            text.push_str(&fill(dice.pick(BODY), facts));
        }
    }
    text
}

/// One sentence for a field that asks for some.
pub(super) fn sentence(facts: &Facts, dice: &mut Dice) -> String {
    fill(dice.pick(BODY), facts)
}

fn support(facts: &Facts, dice: &mut Dice) -> String {
    let lines = [dice.pick(SORRY), dice.pick(SUPPORT), dice.pick(NEXT), dice.pick(CLOSE)];
    lines.map(|line| fill(line, facts)).join(" ")
}

fn plain(facts: &Facts, dice: &mut Dice) -> String {
    let mut lines = vec![fill(dice.pick(OPEN), facts)];
    for _ in 0..2 + dice.below(3) {
        let line = fill(dice.pick(BODY), facts);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join(" ")
}

fn summary(facts: &Facts) -> String {
    let sentences: Vec<&str> =
        facts.sentences.iter().skip(usize::from(facts.sentences.len() > 1)).map(String::as_str).collect();
    match sentences.as_slice() {
        [] => format!("In short, this is about {}.", facts.topic),
        [only] => format!("In short: {only}"),
        [first, .., last] => format!("In short: {first} {last}"),
    }
}

fn documented(name: &str, dice: &mut Dice) -> String {
    let what = words(name).collect::<Vec<_>>().join(" ");
    let first = dice.pick(&["does one thing", "carries out one step", "is a small function"]);
    let care = dice.pick(&[
        "It changes nothing outside, so it is safe to call more than once.",
        "Empty input gives an empty result.",
        "Errors are handed to the caller, who knows what to do with them.",
    ]);
    format!("`{name}` {first}: {what}.\n\nIt takes its input as arguments and returns the result. {care}")
}

fn from_tool(facts: &Facts, result: &str, dice: &mut Dice) -> String {
    let short: String = result.chars().take(300).collect();
    let lead = dice.pick(&["Here is what I found", "This is the result", "I looked it up"]);
    format!("{lead} for {}: {}", facts.topic, short.trim())
}

fn is_greeting(text: &str) -> bool {
    let few = text.split_whitespace().count() <= 4;
    few && words(text).next().is_some_and(|word| ["hi", "hello", "hey", "hallo", "morning"].contains(&word.as_str()))
}

/// `Say …`, `Reply with …`, `Answer with exactly: …`: what the user dictates.
fn dictated(text: &str) -> Option<String> {
    const LEADS: &[&str] = &["say ", "reply with ", "respond with ", "answer with ", "repeat ", "echo "];
    let lead = LEADS.iter().find(|lead| text.get(..lead.len()).is_some_and(|head| head.eq_ignore_ascii_case(lead)))?;
    let mut rest = text[lead.len()..].trim();
    for filler in ["exactly", "only", "just", "the word", "after me", ":"] {
        rest = rest.strip_prefix(filler).unwrap_or(rest).trim_start();
    }
    let rest = rest.trim_matches(['"', '\'', '`', '“', '”']);
    (!rest.is_empty()).then(|| rest.chars().take(2_000).collect())
}

/// The labels of a prompt that says `one of: a, b, c`.
fn listed(system: &str) -> Vec<&str> {
    let lower = system.to_ascii_lowercase();
    let Some(at) = ["one of", "labels:", "categories:"].iter().find_map(|lead| Some(lower.find(lead)? + lead.len()))
    else {
        return Vec::new();
    };
    let list = system[at..].split(['.', '\n', ';']).map(str::trim).find(|line| line.contains(',')).unwrap_or("");
    let list = list.rsplit(':').next().unwrap_or(list);
    let labels = list.split(',').flat_map(|item| item.split(" or "));
    let bare = labels.map(|l| l.trim().trim_start_matches("or ").trim_matches(['"', '\'', '`', ' ', '[', ']']));
    bare.filter(|label| !label.is_empty() && label.split_whitespace().count() <= 3).take(64).collect()
}

/// The name that code defines.
fn defined(text: &str) -> Option<String> {
    let mut last = "";
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()) {
        if ["fn", "def", "function", "func", "class", "struct"].contains(&last) && text.contains(['(', '{']) {
            return Some(word.chars().take(64).collect());
        }
        last = word;
    }
    None
}

fn fill(line: &str, facts: &Facts) -> String {
    line.replace("{topic}", &facts.topic)
}

const SORRY: &[&str] = &[
    "Thank you for writing to us about {topic}.",
    "I am sorry for the trouble with {topic}.",
    "Thanks for telling us about {topic}, and I am sorry that it did not go as it should.",
    "I understand that {topic} matters to you, and I want to put it right.",
];
const SUPPORT: &[&str] = &[
    "I have looked at your case and can see what happened.",
    "From what you describe, the last step was not completed on our side.",
    "This is usually settled within one working day.",
    "I have passed the details to the colleagues in charge and marked them as important.",
];
const NEXT: &[&str] = &[
    "You need not do anything; we will write to you as soon as it is settled.",
    "Please reply with the number on your confirmation, and we will take it from there.",
    "If it has not changed by tomorrow noon, answer this message and we will start over at no cost to you.",
    "Please sign out, wait a minute and sign in again; if that does not help, tell us what you see.",
];
const CLOSE: &[&str] =
    &["Is there anything else we can do for you?", "Kind regards, your support team", "Thank you for your patience."];
const OPEN: &[&str] = &[
    "Here is a short answer on {topic}.",
    "In short, {topic} comes down to a few points.",
    "The main thing about {topic} is what you want to do with it.",
    "There are two sides to {topic}.",
];
const BODY: &[&str] = &[
    "Start with what is known about {topic} and write it down.",
    "For {topic}, the simple way is usually good enough, and easier to change later.",
    "It helps to try {topic} on a small example first.",
    "Look at what it costs before you decide, and again after a week.",
    "Most questions about {topic} are settled by one measurement.",
    "Where two ways are equally good, take the one that others already know.",
    "Keep what works, and change one thing at a time.",
    "If {topic} turns out to be more work than it gives, leave it for now.",
    "The details depend on the case, but the order of the steps stays the same.",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn say(system: &str, user: &str) -> String {
        let facts = Facts::of(user);
        let scene = Scene { system, facts: &facts, tool_result: None, long: false };
        text(&scene, &mut Dice::of_text(user))
    }

    #[test]
    fn what_is_dictated_is_said() {
        assert_eq!(say("", "Say this is a test"), "this is a test");
        assert_eq!(say("", "Reply with exactly: \"pong\""), "pong");
        assert_eq!(say("", "say"), say("", "say"));
    }

    #[test]
    fn a_closed_list_in_the_prompt_gives_one_of_its_labels() {
        let system = "Classify the ticket. Answer with one of: billing, shipping, `technical` or other.";
        assert_eq!(say(system, "I was charged twice"), "billing");
        assert_eq!(say(system, "zzz"), "other");
        assert_eq!(say("Categories:\nred, green, blue", "a green hat"), "green");
    }

    #[test]
    fn a_support_reply_names_the_matter() {
        let reply = say("You are in customer support.", "Where is my order A-4711?");
        assert!(reply.contains("order A-4711"), "{reply}");
        assert!(reply.split('.').count() > 2, "{reply}");
    }

    #[test]
    fn code_gets_documentation_with_its_name() {
        let text = say("", "Document this:\n```rust\nfn parse_row(line: &str) -> Row {\n}\n```");
        assert!(text.starts_with("`parse_row`") && text.contains("parse row"), "{text}");
    }

    #[test]
    fn different_messages_get_different_text() {
        assert_ne!(say("", "How do tides work?"), say("", "How do volcanoes work?"));
        assert_eq!(say("", "Hi there"), "Hello! What can I do for you today?");
    }

    #[test]
    fn a_tools_result_is_told() {
        let facts = Facts::of("What is the weather in Paris?");
        let scene = Scene { system: "", facts: &facts, tool_result: Some("{\"celsius\": 21}"), long: false };
        assert!(text(&scene, &mut Dice::of_text("")).contains("21"));
    }
}
