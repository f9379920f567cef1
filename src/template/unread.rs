//! Says what an author likely did where a template cannot be read.

use super::rules::Checked;

/// What other template languages write, and what stands for it here.
const ELSEWHERE: [(&str, &str); 10] = [
    ("{{#if", "write `{% if … %}`"),
    ("{{#unless", "write `{% if not … %}`"),
    ("{{#each", "write `{% for item in … %}`"),
    ("{{#", "write `{% if … %}` or `{% for item in … %}`"),
    ("{{/if", "write `{% endif %}`"),
    ("{{/each", "write `{% endfor %}`"),
    ("{{/", "write `{% endif %}` or `{% endfor %}`"),
    ("{{^", "write `{% if not … %}`"),
    ("{{>", "`include` of other prompts is not supported yet; write the text out"),
    ("{{{", "write `{{ name }}`; nothing is escaped"),
];

/// The first byte at fault and what to do, where that is plain from the marks alone.
pub(super) fn explain(source: &str, checked: &Checked) -> Option<(usize, String)> {
    if let Some(at) = checked.broken {
        return Some((at, broken(&source[at..])));
    }
    if let Some(at) = checked.runs_on {
        return Some((at, not_closed(&source[at..])));
    }
    if let Some(at) = ["{{{", "{{/", "{{^", "{{>"].iter().filter_map(|foreign| source.find(foreign)).min() {
        return Some((at, broken(&source[at..])));
    }
    let (at, name) = checked.open?;
    Some((at, format!("`{{% {name} … %}}` is not closed; end it with `{{% end{name} %}}`")))
}

fn broken(rest: &str) -> String {
    if let Some((foreign, here)) = ELSEWHERE.iter().find(|(foreign, _)| rest.starts_with(foreign)) {
        return format!("`{foreign}` is of another template language; {here}");
    }
    let is_raw =
        rest.starts_with("{%") && rest[2..].trim_start_matches(['-', ' ', '\t', '\n', '\r']).starts_with("raw");
    if is_raw {
        return "`{% raw %}` is not closed; end it with `{% endraw %}`".to_owned();
    }
    let (opening, closing) = marks(rest);
    // What ends the tag may stand in a text whose quote was forgotten.
    let inside = &rest[2..];
    let next = inside.find(opening).unwrap_or(inside.len());
    match inside.find(closing) {
        Some(end) if end < next => {
            let tag: String = rest.chars().take(60).take_while(|letter| *letter != '\n').collect();
            format!(
                "this tag cannot be read, since a quote is not closed or a letter stands there that no tag may have: `{tag}`"
            )
        }
        _ => not_closed(rest),
    }
}

fn not_closed(rest: &str) -> String {
    let (opening, closing) = marks(rest);
    format!("`{opening}` is not closed; end it with `{closing}`")
}

fn marks(rest: &str) -> (&'static str, &'static str) {
    match rest.as_bytes().get(1) {
        Some(b'%') => ("{%", "%}"),
        Some(b'#') => ("{#", "#}"),
        _ => ("{{", "}}"),
    }
}
