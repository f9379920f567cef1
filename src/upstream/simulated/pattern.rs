//! A text that matches a simple regular expression: literals, classes, groups, alternatives and counts.

use super::dice::Dice;

/// A text for `pattern`, or none where the pattern says more than is read here.
pub(super) fn example(pattern: &str, dice: &mut Dice) -> Option<String> {
    let chars: Vec<char> = pattern.chars().take(1_000).collect();
    let mut reader = Reader { chars: &chars, at: 0, depth: 0, dice };
    let text = reader.alternatives()?;
    (reader.at == chars.len() && text.len() <= 4_096).then_some(text)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    depth: usize,
    dice: &'a mut Dice,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn skip(&mut self, wanted: &str) -> bool {
        let found = wanted.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    /// Always the first alternative; the others are read past.
    fn alternatives(&mut self) -> Option<String> {
        let first = self.sequence()?;
        while self.skip("|") {
            self.sequence()?;
        }
        Some(first)
    }

    fn sequence(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            if self.skip("^") || self.skip("$") {
                continue;
            }
            let start = self.at;
            let one = self.atom()?;
            let (least, most) = self.count()?;
            let count = if most > least { least.max(1) } else { least };
            if count > 0 {
                text.push_str(&one);
            }
            let after = self.at;
            for _ in 1..count.min(256) {
                self.at = start;
                text.push_str(&self.atom()?);
            }
            self.at = after;
        }
        Some(text)
    }

    fn atom(&mut self) -> Option<String> {
        match self.take()? {
            '(' => {
                if self.peek() == Some('?') && !self.skip("?:") || self.depth > 16 {
                    return None;
                }
                self.depth += 1;
                let inner = self.alternatives()?;
                self.depth -= 1;
                self.skip(")").then_some(inner)
            }
            '[' => self.class(),
            '.' => Some("a".to_owned()),
            '\\' => self.escape().map(|options| self.one_of(&options)),
            '*' | '+' | '?' | '{' => None,
            c => Some(c.to_string()),
        }
    }

    fn one_of(&mut self, options: &[char]) -> String {
        options.get(self.dice.below(options.len())).map(char::to_string).unwrap_or_default()
    }

    fn escape(&mut self) -> Option<Vec<char>> {
        match self.take()? {
            'd' => Some(('0'..='9').collect()),
            'w' => Some(('a'..='z').collect()),
            's' => Some(vec![' ']),
            c if c.is_alphanumeric() => None,
            c => Some(vec![c]),
        }
    }

    fn class(&mut self) -> Option<String> {
        if self.peek()? == '^' {
            return None;
        }
        let mut options: Vec<char> = Vec::new();
        loop {
            let c = self.take()?;
            if c == ']' {
                break;
            }
            if c == '\\' {
                options.extend(self.escape()?);
            } else if self.peek()? == '-' && self.chars.get(self.at + 1).is_some_and(|end| *end != ']') {
                self.at += 1;
                options.extend((c..=self.take()?).take(128));
            } else {
                options.push(c);
            }
        }
        (!options.is_empty()).then(|| self.one_of(&options))
    }

    fn count(&mut self) -> Option<(usize, usize)> {
        let found = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => return self.braces(),
            _ => return Some((1, 1)),
        };
        self.at += 1;
        self.skip("?");
        Some(found)
    }

    fn braces(&mut self) -> Option<(usize, usize)> {
        let close = self.at + self.chars[self.at..].iter().position(|c| *c == '}')?;
        let inner: String = self.chars[self.at + 1..close].iter().collect();
        self.at = close + 1;
        let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
        let least = least.trim().parse().ok()?;
        Some((least, if most.trim().is_empty() { usize::MAX } else { most.trim().parse().ok()? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_match_their_pattern() {
        for pattern in [
            "^[A-Z]{2}-\\d{4}$",
            "^\\+?[0-9]{7,15}$",
            "^(red|green)-[a-f0-9]+$",
            "^[a-z][a-z0-9_.-]{0,35}$",
            "^\\d{4}-\\d{2}-\\d{2}$",
            "abc?",
            "^(?:ab){3}x*$",
        ] {
            let schema = serde_json::json!({"type": "string", "pattern": pattern});
            for seed in ["a", "b", "c"] {
                let text = example(pattern, &mut Dice::of_text(seed)).unwrap();
                assert!(jsonschema::is_valid(&schema, &serde_json::json!(text)), "{text} for {pattern}");
            }
        }
    }

    #[test]
    fn patterns_that_are_not_understood_give_none() {
        for pattern in ["[^a]", "(?=a)", "\\p{L}", "(", "[a", "*", "a{", "a{x}"] {
            assert_eq!(example(pattern, &mut Dice::of_text("")), None, "{pattern}");
        }
    }
}
