//! What a prompt's template may use. The rest is refused before Tera sees it.

use super::lexer::{self, Kind, Tag, Token};
use super::meter;
use crate::types::nearest;

/// The longest source of one template, in bytes.
pub const MAX_SOURCE: usize = 64 << 10;

const MAX_LOOP_DEPTH: usize = 2;

/// Tera reads each `elif` one call deeper and does not count them: a long chain would overflow the stack.
const MAX_ELIF: usize = 32;

/// Tags in one template.
const MAX_TAGS: usize = 4_000;

/// Operators that may read a whole value and that the meter does not see one by one.
const MAX_HEAVY: u64 = 64;

/// Concatenations in one tag: each copies what stands to its left.
const MAX_JOINS: usize = 8;

const FILTERS: [&str; 30] = [
    "abs",
    "capitalize",
    "default",
    "first",
    "float",
    "get",
    "indent",
    "int",
    "join",
    "json",
    "keys",
    "last",
    "length",
    "lower",
    "nth",
    "pluralize",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "str",
    "title",
    "trim",
    "trim_end",
    "trim_start",
    "truncate",
    "upper",
    "values",
    "wordcount",
];

/// Names that other template languages have for a filter, and its name here.
const ELSEWHERE: [(&str, &str); 14] = [
    ("uppercase", "upper"),
    ("upcase", "upper"),
    ("lowercase", "lower"),
    ("downcase", "lower"),
    ("titlecase", "title"),
    ("size", "length"),
    ("count", "length"),
    ("len", "length"),
    ("strip", "trim"),
    ("lstrip", "trim_start"),
    ("rstrip", "trim_end"),
    ("tojson", "json"),
    ("json_encode", "json"),
    ("string", "str"),
];

/// Words that may stand before a parenthesis without calling anything.
const WORDS: [&str; 9] = ["and", "or", "not", "in", "is", "if", "elif", "else", "for"];

/// A template that may run: its source with the meter's calls put in.
pub(super) struct Checked {
    pub(super) source: String,
    pub(super) inserted: Insertions,
    /// Operators that may read a whole value.
    pub(super) heavy: u64,
    /// The first byte of the tag that ended our reading before the source's end, if any.
    pub(super) broken: Option<usize>,
    /// The first byte and the name of the innermost block that nothing ends, if any.
    pub(super) open: Option<(usize, &'static str)>,
    /// The first byte of a tag that holds the beginning of another, so that it was likely never closed.
    pub(super) runs_on: Option<usize>,
}

/// Where the meter's calls were put in, so that errors point into the author's own text.
#[derive(Default)]
pub(super) struct Insertions(Vec<(usize, String)>);

impl Insertions {
    /// The byte of the author's source that byte `at` of the changed source came from.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut shift = 0;
        for (place, text) in &self.0 {
            if place + shift >= at {
                break;
            }
            shift += text.len().min(at - place - shift);
        }
        at - shift
    }

    fn apply(&self, source: &str) -> String {
        let mut changed = String::with_capacity(source.len() + self.0.len() * 24);
        let mut from = 0;
        for (place, text) in &self.0 {
            changed.push_str(&source[from..*place]);
            changed.push_str(text);
            from = *place;
        }
        changed.push_str(&source[from..]);
        changed
    }
}

type Refusal = (usize, String);

/// An `if` or `for` that is not closed yet.
enum Open {
    If { at: usize, elifs: usize },
    For { at: usize, insertion: usize, tokens: u64, heavy: u64, trims: bool },
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    tokens: u64,
    heavy: u64,
    insertions: Vec<(usize, String)>,
}

/// Refuses what prompts may not use, with the place and the reason.
pub(super) fn check(source: &str) -> Result<Checked, Refusal> {
    let (tags, broken) = lexer::tags(source);
    if let Some(tag) = tags.get(MAX_TAGS) {
        return Err((tag.start, format!("a template may have {MAX_TAGS} tags")));
    }
    let mut walk = Walk::default();
    for tag in &tags {
        walk.tag(tag)?;
    }
    let open = walk.open.last().map(|open| match open {
        Open::If { at, .. } => (*at, "if"),
        Open::For { at, .. } => (*at, "for"),
    });
    let runs_on = tags.iter().find(|tag| holds_another(tag)).map(|tag| tag.start);
    let (heavy, inserted) = (walk.heavy, Insertions(walk.insertions));
    Ok(Checked { source: inserted.apply(source), inserted, heavy, broken, open, runs_on })
}

impl Walk {
    fn tag(&mut self, tag: &Tag<'_>) -> Result<(), Refusal> {
        let name = tag.tokens.first().filter(|_| tag.block);
        if let Some(name) = name {
            allowed(name)?;
        }
        let heavy_before = self.heavy;
        self.expressions(&tag.tokens, tag.block)?;
        if self.heavy > MAX_HEAVY && self.heavy > heavy_before {
            let message =
                format!("a template may have {MAX_HEAVY} comparisons between variables, `in`, `~` and slices");
            return Err((tag.start, message));
        }
        match name.map_or("", |name| name.text) {
            "if" => self.open.push(Open::If { at: tag.start, elifs: 0 }),
            "elif" => self.elif(tag)?,
            "for" => self.begin_loop(tag)?,
            "endif" => drop(self.open.pop()),
            "endfor" => self.end_loop(),
            _ => {}
        }
        Ok(())
    }

    fn elif(&mut self, tag: &Tag<'_>) -> Result<(), Refusal> {
        match self.open.last_mut() {
            Some(Open::If { elifs, .. }) if *elifs == MAX_ELIF => {
                Err((tag.start, format!("an `if` may have {MAX_ELIF} `elif`")))
            }
            Some(Open::If { elifs, .. }) => {
                *elifs += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin_loop(&mut self, tag: &Tag<'_>) -> Result<(), Refusal> {
        let depth = self.open.iter().filter(|open| matches!(open, Open::For { .. })).count();
        if depth == MAX_LOOP_DEPTH {
            return Err((tag.start, format!("loops may nest {MAX_LOOP_DEPTH} deep")));
        }
        // A loop's variable must not hold a text that grew: with `~` each level would multiply it.
        if let Some(join) = tag.tokens.iter().find(|token| token.is(Kind::Sign, "~")) {
            return Err((join.at, "`~` cannot be used in a `for` tag".to_owned()));
        }
        let insertion = self.insertions.len();
        self.insertions.push((tag.end, String::new()));
        self.open.push(Open::For {
            at: tag.start,
            insertion,
            tokens: self.tokens,
            heavy: self.heavy,
            trims: tag.trims,
        });
        Ok(())
    }

    /// Puts the meter's call at the start of the loop's body, now that what one turn may cost is known.
    fn end_loop(&mut self) {
        if let Some(Open::For { insertion, tokens, heavy, trims, .. }) = self.open.pop() {
            let (tokens, heavy) = (self.tokens - tokens + 1, self.heavy - heavy);
            let trim = if trims { "-" } else { "" };
            self.insertions[insertion].1 = format!("{{{{{}(t={tokens},h={heavy}){trim}}}}}", meter::STEP);
        }
    }

    fn expressions(&mut self, tokens: &[Token<'_>], block: bool) -> Result<(), Refusal> {
        self.tokens += tokens.len() as u64 + 1;
        let joins = tokens.iter().filter(|token| token.is(Kind::Sign, "~")).count();
        if joins > MAX_JOINS {
            return Err((tokens[0].at, format!("a tag may have {MAX_JOINS} `~`; write the parts one after another")));
        }
        for (i, token) in tokens.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &tokens[i]);
            let after = tokens.get(i + 1);
            self.heavy += u64::from(is_heavy(before, token, after));
            match token.kind {
                Kind::Ident if before.is_some_and(|before| before.is(Kind::Sign, "|")) => self.filter(token)?,
                Kind::Ident => word(token, before, after, block && i == 0)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn filter(&mut self, name: &Token<'_>) -> Result<(), Refusal> {
        if !FILTERS.contains(&name.text) {
            let short: String = name.text.chars().take(40).collect();
            let other = ELSEWHERE.iter().find(|(other, _)| *other == name.text).map(|(_, here)| *here);
            let message = match other.or_else(|| nearest(&short, FILTERS)) {
                Some(near) => format!("there is no filter `{short}` in prompts; did you mean `{near}`?"),
                None => format!("there is no filter `{short}` in prompts; there are {}", FILTERS.join(", ")),
            };
            return Err((name.at, message));
        }
        self.insertions.push((name.at, format!("{}|", meter::WEIGH)));
        Ok(())
    }
}

/// Whether a tag's inside has `{{` or `{%` in it: its own end was forgotten, and that of the next one taken for it.
fn holds_another(tag: &Tag<'_>) -> bool {
    let opens = |pair: &[Token<'_>]| {
        let touch = pair[0].at + 1 == pair[1].at;
        touch && pair[0].is(Kind::Sign, "{") && (pair[1].is(Kind::Sign, "{") || pair[1].is(Kind::Sign, "%"))
    };
    tag.tokens.windows(2).any(opens)
}

fn allowed(tag: &Token<'_>) -> Result<(), Refusal> {
    let why = match tag.text {
        "if" | "elif" | "else" | "endif" | "for" | "endfor" | "break" | "continue" => return Ok(()),
        "include" => "`include` of other prompts is not supported yet; write the text out".to_owned(),
        "set" | "set_global" => format!("`{}` is not available in prompts; give the value as a variable", tag.text),
        "extends" | "block" | "component" | "filter" | "import" | "macro" => {
            format!("`{}` is not available in prompts", tag.text)
        }
        other => format!("there is no tag `{}`", other.chars().take(40).collect::<String>()),
    };
    Err((tag.at, why))
}

fn word(
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    after: Option<&Token<'_>>,
    names_tag: bool,
) -> Result<(), Refusal> {
    if names_tag {
        return Ok(());
    }
    if token.text == "for" {
        return Err((token.at, "`for` inside an expression is not available in prompts; use a `for` tag".to_owned()));
    }
    if token.text.starts_with("__") {
        return Err((token.at, format!("`{}`: names that begin with `__` are reserved", token.text)));
    }
    let tests = before.is_some_and(|before| before.is(Kind::Ident, "is") || before.is(Kind::Ident, "not"));
    let calls = after.is_some_and(|after| after.is(Kind::Sign, "(")) && !tests && !WORDS.contains(&token.text);
    if calls {
        return Err((token.at, format!("`{}()`: functions are not available in prompts", token.text)));
    }
    Ok(())
}

/// Whether the operator may have to read whole values. A comparison with a literal reads no more than the literal.
fn is_heavy(before: Option<&Token<'_>>, token: &Token<'_>, after: Option<&Token<'_>>) -> bool {
    match (token.kind, token.text) {
        (Kind::Sign, "==" | "!=" | "<" | "<=" | ">" | ">=") => !is_literal(before) && !is_literal(after),
        (Kind::Sign, "~" | "..." | ":") | (Kind::Ident, "in" | "containing" | "starting_with" | "ending_with") => true,
        _ => false,
    }
}

fn is_literal(token: Option<&Token<'_>>) -> bool {
    token.is_some_and(|token| {
        let word = ["true", "false", "True", "False", "none", "None", "null"].contains(&token.text);
        matches!(token.kind, Kind::Text | Kind::Number) || word
    })
}
