//! Durations and sizes as configuration and headers write them.

use std::time::Duration;

/// Reads `500ms`, `30s`, `10m`, `1h`, `400d`. `None` for anything else, and for more than 100 years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let amount: u64 = digits.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = amount.checked_mul(millis)?;
    (total <= 36_500 * 86_400_000).then(|| Duration::from_millis(total))
}

/// Reads `512B`, `64KiB`, `32MiB`, `1GiB` as bytes.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let amount: u64 = digits.parse().ok()?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    amount.checked_mul(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_others_are_not() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("400d"), Some(Duration::from_secs(400 * 86_400)));
        for text in ["", "10", "s", "-1s", "1.5s", "1 s", "99999999999999999999s", "40000d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_size("32MiB"), Some(32 << 20));
        assert_eq!(parse_size("32MB"), None);
    }
}
