//! What the events of a stream have in common where they differ in one text alone, as nearly all deltas do: then only that text
//! of the next event is to be looked at.

/// The longest event that is compared with its neighbour.
const LONGEST: usize = 1 << 10;

/// So many events in a row that fit no pattern end the search for one: this stream has none.
const MOST_MISSED: u8 = 16;

/// The pattern of a stream's events, once two neighbours have shown it.
#[derive(Debug, Default)]
pub struct EventPattern {
    /// The last event that did not fit.
    last: Vec<u8>,
    /// What stands before and behind the text, its quotation marks with it.
    found: Option<(Vec<u8>, Vec<u8>)>,
    missed: u8,
}

impl EventPattern {
    /// The text in which `event` differs from those before it, as it stands between its quotation marks; `None` where it differs
    /// in more. The text has no escapes and no control characters.
    pub fn text_of<'a>(&mut self, event: &'a [u8]) -> Option<&'a [u8]> {
        let (before, behind) = self.found.as_ref()?;
        let text = event.strip_prefix(&before[..])?.strip_suffix(&behind[..])?;
        is_bare(text).then(|| {
            self.missed = 0;
            text
        })
    }

    /// Whether `event` is the one that was noted last, byte for byte, as where a model repeats itself.
    pub fn is_last(&self, event: &[u8]) -> bool {
        !event.is_empty() && event == self.last
    }

    /// Notes an event that fits no pattern, and finds the one that it has with the event noted before it. Returns what stands
    /// before that pattern's text, and the text in this event.
    pub fn note<'a>(&mut self, event: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if self.missed >= MOST_MISSED || event.len() > LONGEST {
            return None;
        }
        self.missed += 1;
        let shared = shared(&self.last, event);
        if let Some((before, behind)) = shared {
            self.found = Some((event[..before].to_vec(), event[behind..].to_vec()));
        }
        self.last.clear();
        self.last.extend_from_slice(event);
        shared.map(|(before, behind)| (&event[..before], &event[before..behind]))
    }

    /// Forgets the pattern: it shows less than its events hold.
    pub fn forget(&mut self) {
        self.found = None;
    }
}

/// Where the one text begins and ends in `event` in which it differs from `last`.
fn shared(last: &[u8], event: &[u8]) -> Option<(usize, usize)> {
    let same = last.iter().zip(event).take_while(|(one, other)| one == other).count();
    let before = memchr::memrchr(b'"', &event[..same])? + 1;
    let rest = (&last[before..], &event[before..]);
    let same = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(one, other)| one == other).count();
    let behind = event.len() - same;
    let behind = behind + memchr::memchr(b'"', &event[behind..])?;
    let theirs = &last[before..last.len() - (event.len() - behind)];
    let is_one = opens_a_value(&event[..before]) && is_bare(&event[before..behind]) && is_bare(theirs);
    is_one.then_some((before, behind))
}

/// Whether a JSON string that is a value begins behind `before`, which ends in a quotation mark.
fn opens_a_value(before: &[u8]) -> bool {
    let Some(start) = memchr::memchr(b'{', before) else { return false };
    let marks = |bytes: &[u8]| memchr::memchr_iter(b'"', bytes).count();
    marks(&before[..start]) == 0
        && marks(&before[start..]) % 2 == 1
        && memchr::memchr(b'\\', before).is_none()
        && before[..before.len() - 1].trim_ascii_end().ends_with(b":")
}

/// Whether a text of a JSON string stands as it is meant, and ends nothing.
fn is_bare(text: &[u8]) -> bool {
    text.iter().fold(true, |is_bare, byte| is_bare & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn delta(text: &str) -> String {
        format!(
            "data: {}\n\n",
            json!({"id": "c-1", "choices": [{"index": 0, "delta": {"content": text}, "end": null}]})
        )
    }

    #[test]
    fn the_third_delta_shows_its_text() {
        let mut pattern = EventPattern::default();
        assert_eq!(pattern.text_of(delta("He").as_bytes()), None);
        assert_eq!(pattern.note(delta("He").as_bytes()), None);
        let second = delta("Hello");
        let (before, text) = pattern.note(second.as_bytes()).unwrap();
        assert!(before.ends_with(b"\"content\":\"") && text == b"Hello");
        assert_eq!(pattern.text_of(delta(" you").as_bytes()), Some(&b" you"[..]));
        assert_eq!(pattern.text_of(delta("").as_bytes()), Some(&b""[..]));
        for other in ["a \"b\"", "a\\b", "a\nb"] {
            assert_eq!(pattern.text_of(delta(other).as_bytes()), None, "{other}");
        }
        pattern.forget();
        assert_eq!(pattern.text_of(delta(" you").as_bytes()), None);
    }

    #[test]
    fn an_event_that_comes_again_is_known_without_a_pattern() {
        let mut pattern = EventPattern::default();
        assert!(!pattern.is_last(b"") && !pattern.is_last(delta("la").as_bytes()));
        pattern.note(delta("la").as_bytes());
        assert!(pattern.is_last(delta("la").as_bytes()) && !pattern.is_last(delta("lo").as_bytes()));
        pattern.note(delta("lo").as_bytes());
        assert!(pattern.is_last(delta("lo").as_bytes()) && !pattern.is_last(delta("la").as_bytes()));
    }

    #[test]
    fn what_differs_in_more_than_one_text_has_no_pattern() {
        for (one, other) in [
            (r#"{"a":"x","b":"y"}"#, r#"{"a":"v","b":"w"}"#),
            (r#"{"a":"x","n":1}"#, r#"{"a":"x","n":2}"#),
            (r#"{"a":"x"}"#, r#"{"b":"x"}"#),
            (r#"{"a":"x"}"#, r#"{"a":"x"}"#),
            (r#"{"a":"\"x"}"#, r#"{"a":"\"y"}"#),
            (r#"{"q":"\":\"x"}"#, r#"{"q":"\":\"y"}"#),
            (r#"{"a":"b:" ,"c":"z"}"#, r#"{"a":"b:", "c":"z"}"#),
            (r#"["a","b"]"#, r#"["a","c"]"#),
            (r#""x" {"a":"b"}"#, r#""x" {"a":"c"}"#),
            (r#"{"a":"x"}"#, r#"{"a":null}"#),
        ] {
            let mut pattern = EventPattern::default();
            pattern.note(one.as_bytes());
            assert_eq!(pattern.note(other.as_bytes()), None, "{one} {other}");
        }
    }

    #[test]
    fn a_stream_without_a_pattern_is_not_searched_for_long() {
        let mut pattern = EventPattern::default();
        for n in 0..40 {
            pattern.note(json!({"n": n}).to_string().as_bytes());
        }
        assert_eq!(pattern.last, json!({"n": 15}).to_string().as_bytes());
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-c :,{}\\[\\]\"\\\\\n]{0,5}";
        let leaf = prop_oneof![Just(Value::Null), (0u8..3).prop_map(Value::from), text.prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(("[ab]", inner), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Every string that is a value, in order.
    fn texts(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, into)),
            _ => {}
        }
    }

    proptest! {
        /// An event that fits has the texts of the one that showed the pattern, but for one, which is the text that is shown.
        #[test]
        fn only_the_text_that_is_shown_differs(events in prop::collection::vec(value(), 2..5), swap in "[a-c]{0,3}") {
            let written: Vec<String> = events.iter().map(Value::to_string).collect();
            // Neighbours that differ in one letter come by chance too seldom.
            let near = written.iter().map(|text| text.replacen("\"a", &format!("\"{swap}"), 2));
            let all: Vec<String> = written.iter().cloned().zip(near).flat_map(|(one, other)| [one, other]).collect();
            let mut pattern = EventPattern::default();
            let mut by: Option<String> = None;
            for event in &all {
                if let Some(shown) = pattern.text_of(event.as_bytes()) {
                    let (mut before, mut after) = (Vec::new(), Vec::new());
                    let parsed = [by.as_ref().unwrap(), event].map(|text| serde_json::from_str::<Value>(text));
                    let [Ok(one), Ok(other)] = parsed else { continue };
                    texts(&one, &mut before);
                    texts(&other, &mut after);
                    prop_assert_eq!(before.len(), after.len());
                    let differing: Vec<&String> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
                    prop_assert!(differing.len() <= 1);
                    prop_assert!(differing.iter().all(|text| text.as_bytes() == shown));
                } else if pattern.note(event.as_bytes()).is_some() {
                    by = Some(event.clone());
                }
            }
        }
    }
}
