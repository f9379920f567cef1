//! The `usage` object of a stream that reports it in several parts, put together for the whole answer.

use serde_json::{Map, Value};

use super::exact_numbers::as_f64;

/// Adds a later report to what was reported before. Zero replaces no count, and one that is not repeated stays as it was.
pub fn add_report(before: &mut Map<String, Value>, later: Map<String, Value>) {
    for (name, value) in later.into_iter().filter(|(_, value)| !value.is_null()) {
        match (before.get_mut(&name), value) {
            (Some(Value::Object(before)), Value::Object(later)) => add_report(before, later),
            (Some(count), value) if as_f64(&value) == Some(0.0) && as_f64(count) > Some(0.0) => {}
            (_, value) => drop(before.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zero_replaces_no_count() {
        let Value::Object(mut before) = json!({"a": 5, "b": 0, "c": {"d": 7, "e": 1}, "tier": "x"}) else { panic!() };
        let Value::Object(later) = json!({"a": 0.0, "b": 3, "c": {"d": 0, "e": 2.0}, "f": 1, "tier": "y", "g": null})
        else {
            panic!()
        };
        add_report(&mut before, later);
        assert_eq!(Value::Object(before), json!({"a": 5, "b": 3, "c": {"d": 7, "e": 2.0}, "tier": "y", "f": 1}));
    }
}
