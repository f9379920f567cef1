//! The report as JUnit's XML: a suite for each route, a case for each call, a failure for each broken promise.

use std::fmt::Write;

use super::card::{Card, Line};

/// The whole document.
pub fn document(card: &Card) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failed = card.lines.iter().filter(|line| line.is_broken()).count();
    let _infallible =
        writeln!(out, "<testsuites name=\"fulcrum rehearse\" tests=\"{}\" failures=\"{failed}\">", card.lines.len());
    let mut routes: Vec<&str> = card.lines.iter().map(|line| &*line.route).collect();
    routes.dedup();
    for route in routes {
        suite(&mut out, route, card.lines.iter().filter(|line| &*line.route == route));
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite<'a>(out: &mut String, route: &str, lines: impl Iterator<Item = &'a Line> + Clone) {
    let (tests, failed) = (lines.clone().count(), lines.clone().filter(|line| line.is_broken()).count());
    let took: f64 = lines.clone().map(|line| line.took.as_secs_f64()).sum();
    let name = escaped(route);
    let _infallible =
        writeln!(out, "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" time=\"{took:.3}\">");
    for line in lines {
        let (case, took) = (escaped(&line.title()), line.took.as_secs_f64());
        let _infallible = write!(out, "    <testcase classname=\"{name}\" name=\"{case}\" time=\"{took:.3}\"");
        if !line.is_broken() {
            out.push_str("/>\n");
            continue;
        }
        out.push_str(">\n");
        for (promise, broken) in line.broken() {
            let _infallible = writeln!(
                out,
                "      <failure message=\"{}\">{}</failure>",
                escaped(promise),
                escaped(&format!("{promise}: {broken} (the caller saw {})", line.saw()))
            );
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n");
}

/// A text inside of XML. Characters that XML has not are shown as what they are not: a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_gives_a_meaning_is_escaped() {
        assert_eq!(escaped("<a b=\"c\">&'\u{1b}\u{ffff}ü"), "&lt;a b=&quot;c&quot;&gt;&amp;&apos;??ü");
    }
}
