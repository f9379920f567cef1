//! What the demo prints: one screen of 24 lines and 80 columns.

use super::proof::Act;

const WIDTH: usize = 80;
/// The lines of a screen.
pub const HEIGHT: usize = 24;

/// The longest path of this program that fits in a line with its arguments.
const MOST_OF_A_PATH: usize = 22;

/// The product in a sentence, and each thing that happened.
pub fn lines(calls: u32, seconds: f64, acts: &[Act]) -> Vec<String> {
    let mut lines = Vec::new();
    let head = format!(
        "Fulcrum stands between your programs and language models. In {seconds:.1} s it ran {calls} calls here, on simulated \
         models at made-up prices: no key, no network."
    );
    fill(&mut lines, "", &head);
    lines.push(String::new());
    for (n, act) in acts.iter().enumerate() {
        fill(&mut lines, "   ", &format!("{} {}", n + 1, act.title));
        if let Some(title) = lines.last_mut() {
            title.drain(..2);
        }
        match &act.shown {
            Ok(text) => fill(&mut lines, "   ", text),
            Err(reason) => fill(&mut lines, "   ", &format!("THIS DID NOT HAPPEN: {reason}")),
        }
    }
    lines.push(String::new());
    lines
}

/// How to try the gateway that stays up at `base`, with a key of it. `binary` is how this program is called.
pub fn try_it(base: &str, key: &str, binary: &str) -> Vec<String> {
    let usage = format!("usage --by prompt --url {base} --key $K");
    let usage = match binary.len() > MOST_OF_A_PATH {
        true => vec![format!("  {binary} \\"), format!("    {usage}")],
        false => vec![format!("  {binary} {usage}")],
    };
    let call = [
        "Try it in another shell. The key ends with the demo, and Ctrl-C ends that:".to_owned(),
        format!("  export K={key}"),
        format!("  curl -si {base}/v1/responses -H \"x-api-key: $K\" \\"),
        r#"    -H content-type:application/json -d '{"model": "fast", "input": "Hi"}'"#.to_owned(),
    ];
    call.into_iter().chain(usage).chain(["Next: docs/guides/getting-started.md".to_owned()]).collect()
}

/// What stands in place of that where the demo ends now.
pub fn ended() -> Vec<String> {
    vec![
        "The demo has ended, and its gateway and database are gone. Without --exit it".to_owned(),
        "stays up for you to try; --full prints its tables.".to_owned(),
        "Next: docs/guides/getting-started.md".to_owned(),
    ]
}

/// Adds `text` in lines of at most 80 columns, each behind `indent`.
fn fill(lines: &mut Vec<String>, indent: &str, text: &str) {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{}", std::mem::take(&mut line)));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(format!("{indent}{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_and_no_word_is_lost() {
        let text = "one two three ".repeat(20);
        let acts = [
            Act { title: "A title", shown: Ok(text.trim().to_owned()) },
            Act { title: "B", shown: Err("why".to_owned()) },
        ];
        let lines = lines(300, 2.25, &acts);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        let words = lines.join(" ");
        assert_eq!(words.matches("three").count(), 20);
        assert!(words.contains("THIS DID NOT HAPPEN: why") && lines.contains(&" 1 A title".to_owned()), "{lines:#?}");
    }

    #[test]
    fn what_is_to_be_pasted_fits_with_the_longest_of_ports_and_keys() {
        for path in ["fulcrum", "target/release/fulcrum", "/home/somebody/src/fulcrum/target/release/fulcrum"] {
            let lines = try_it("http://127.0.0.1:65535", &"k".repeat(66), path);
            assert!(lines.iter().all(|line| line.len() <= WIDTH), "{lines:#?}");
            assert!(lines.iter().any(|line| line.trim_start().starts_with(path)), "{path}: {lines:#?}");
        }
    }
}
