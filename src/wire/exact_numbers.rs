//! Numbers that no machine number holds to the digit (long integers, long decimals). In a tree of values they are marked
//! texts, so that they are written with the digits that were read.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::json::string_end;

/// The mark of such a number. The mark is random, so that no caller's text is taken for a number.
static MARK: LazyLock<String> = LazyLock::new(|| format!("{:032x}#", rand::random::<u128>()));

/// Whether this process has ever read such a number.
static USED: AtomicBool = AtomicBool::new(false);

/// A machine number holds as many digits exactly.
const SAFE: usize = 15;

/// Reads JSON. A number that would lose digits becomes a marked text.
///
/// # Errors
/// Where it is not what is wanted.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    match marked(json) {
        Some(marked) => {
            USED.store(true, Ordering::Relaxed);
            serde_json::from_slice(&marked)
        }
        None => serde_json::from_slice(json),
    }
}

/// Writes JSON, with the numbers as they stood where they were read.
#[must_use]
pub fn write(value: &impl Serialize) -> String {
    // Writing to memory cannot fail, and every key is a text.
    let json = serde_json::to_string(value).unwrap_or_default();
    if USED.load(Ordering::Relaxed) { unmarked(json) } else { json }
}

/// A value as a number, marked or not.
#[must_use]
pub fn as_f64(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.strip_prefix(MARK.as_str())?.parse().ok())
}

/// The JSON with every number marked that would lose digits; `None` where there is none.
fn marked(json: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut copied, mut at) = (Vec::new(), 0, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = string_end(json, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = json[at..].iter().take_while(|byte| is_of_number(**byte)).count();
                let number = &json[at..at + length];
                // An exponent can be beyond any machine number's.
                let is_long = length > SAFE || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
                if is_long && !is_kept(number) {
                    out.extend_from_slice(&json[copied..at]);
                    out.push(b'"');
                    out.extend_from_slice(MARK.as_bytes());
                    out.extend_from_slice(number);
                    out.push(b'"');
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&json[copied..]);
    Some(out)
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether a machine number holds every digit of this number. Text that is no number counts as held: the parser refuses it.
fn is_kept(number: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(number) else { return true };
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(float) = text.parse::<f64>() else { return true };
    float.is_finite() && digits(text) == digits(&format!("{float:e}"))
}

/// A number's digits without zeros around them, and the power of ten of the last.
fn digits(number: &str) -> (String, i64) {
    let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let all = format!("{whole}{fraction}");
    let trimmed = all.trim_end_matches('0');
    let count = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let last =
        power.parse().unwrap_or(0_i64).saturating_sub(count(fraction)).saturating_add(count(&all) - count(trimmed));
    let digits = trimmed.trim_start_matches('0').to_owned();
    if digits.is_empty() { (digits, 0) } else { (digits, last) }
}

/// The JSON with its marked texts as the numbers they were, in a text within it too.
fn unmarked(json: String) -> String {
    let mark = MARK.as_str();
    let mut parts = json.split(mark);
    let Some(first) = parts.next().filter(|first| first.len() < json.len()) else { return json };
    let mut out = String::with_capacity(json.len());
    let mut before = first;
    for part in parts {
        let length = part.bytes().take_while(|byte| is_of_number(*byte)).count();
        let (number, rest) = part.split_at(length);
        // The quotes may be escaped: the JSON of a value can be a text in another's.
        let quote = ["\\\"", "\""].into_iter().find(|quote| before.ends_with(quote) && rest.starts_with(quote));
        let quote = quote.unwrap_or_default();
        out.push_str(before.strip_suffix(quote).unwrap_or(before));
        out.push_str(number);
        before = rest.strip_prefix(quote).unwrap_or(rest);
    }
    out.push_str(before);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(json: &str) -> String {
        write(&read::<Value>(json.as_bytes()).unwrap())
    }

    #[test]
    fn every_number_keeps_its_digits() {
        for number in [
            "0",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
            "5e-324",
            "1e400",
            "-1e-400",
            "0.30000000000000004",
            "0.1000000000000000055511151231257827",
            "0.12345678901234567",
            "9007199254740993.5",
            "179769313486231570000000000000000000000",
        ] {
            let json = format!(r#"{{"a":[{number},"{number}"],"b":{{"c":{number}}}}}"#);
            let back = through(&json);
            let value = |text: &str| digits(text);
            let found = back.strip_prefix(r#"{"a":["#).unwrap().split(',').next().unwrap();
            assert_eq!(value(found), value(number), "{number} became {found}");
            assert!(back.contains(&format!("\"{number}\"")) && !back.contains(MARK.as_str()), "{back}");
        }
    }

    #[test]
    fn a_number_in_a_text_of_json_is_one_again() {
        let value: Value = read(br#"{"n": 123456789012345678901234567890}"#).unwrap();
        let text = Value::String(format!("say {value} \u{e9}")).to_string();
        assert_eq!(unmarked(text), r#""say {\"n\":123456789012345678901234567890} é""#);
        assert_eq!(unmarked(format!("{}12", MARK.as_str())), "12");
    }

    #[test]
    fn what_is_no_json_is_told_as_ever() {
        for bad in
            ["", "{", "[1.2.3.4.5.6.7.8.9.10]", "\"abc", "{\"a\\", "00000000000000000001", "--------------------1"]
        {
            assert!(read::<Value>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_decimal_keeps_its_digits(whole in "0|[1-9][0-9]{0,25}", fraction in "(\\.[0-9]{1,25})?", power in -30_i32..30) {
            let number = format!("{whole}{fraction}e{power}");
            let back = through(&format!("[{number}]"));
            prop_assert_eq!(digits(back.trim_matches(['[', ']'])), digits(&number), "{}", back);
        }
    }
}
