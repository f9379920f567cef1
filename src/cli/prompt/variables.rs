//! Variables as a command line has them.

use serde_json::{Map, Value};

use crate::cli::outcome::Failure;

/// `name=value` texts as an object. A value is what its variable's schema asks for: a text stays a text, also where it looks
/// like a number; everything else is read as JSON.
pub fn typed(texts: &[String], schemas: &Value) -> Result<Map<String, Value>, Failure> {
    let mut variables = Map::new();
    for text in texts {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Failure::Input(format!("`{text}` must be name=value")))?;
        variables.insert(name.to_owned(), value_of(value, schemas.get(name)));
    }
    Ok(variables)
}

fn value_of(text: &str, schema: Option<&Value>) -> Value {
    let Ok(read) = serde_json::from_str::<Value>(text) else { return text.into() };
    let Some(schema) = schema else { return read };
    let plain = Value::from(text);
    if !allows(schema, &read) && allows(schema, &plain) { plain } else { read }
}

/// Whether a schema takes values of this kind, as far as its `type`, `enum` and `const` say so.
fn allows(schema: &Value, value: &Value) -> bool {
    if let Some(known) = schema.get("enum").and_then(Value::as_array) {
        return known.contains(value);
    }
    if let Some(only) = schema.get("const") {
        return only == value;
    }
    let of = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        _ => value.is_array(),
    };
    match schema.get("type") {
        Some(Value::String(kind)) => of(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(of),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_is_read_as_its_schema_asks() {
        let string = json!({"type": "string"});
        let either = json!({"type": ["string", "null"]});
        for (schema, text, value) in [
            (&string, "12345", json!("12345")),
            (&string, "1e3", json!("1e3")),
            (&string, "true", json!("true")),
            (&string, "null", json!("null")),
            (&string, "{\"a\": 1}", json!("{\"a\": 1}")),
            (&string, "[1]", json!("[1]")),
            (&string, "Hi = there", json!("Hi = there")),
            (&string, "\"quoted\"", json!("quoted")),
            (&string, "", json!("")),
            (&either, "null", json!(null)),
            (&either, "7", json!("7")),
            (&json!({"type": "integer"}), "7", json!(7)),
            (&json!({"type": "integer"}), "seven", json!("seven")),
            (&json!({"type": ["integer", "string"]}), "7", json!(7)),
            (&json!({"type": "boolean"}), "true", json!(true)),
            (&json!({"type": "array"}), "[\"a\"]", json!(["a"])),
            (&json!({"type": "messages"}), "[]", json!([])),
            (&json!({"enum": ["1", "2"]}), "1", json!("1")),
            (&json!({"enum": [1, 2]}), "1", json!(1)),
            (&json!({"const": "5"}), "5", json!("5")),
            (&json!({}), "5", json!(5)),
        ] {
            let schemas = json!({ "v": schema });
            assert_eq!(typed(&[format!("v={text}")], &schemas).unwrap()["v"], value, "{schema} {text}");
        }
        assert_eq!(typed(&["x=5".to_owned()], &json!({})).unwrap()["x"], 5);
        assert!(matches!(typed(&["x".to_owned()], &json!({})), Err(Failure::Input(_))));
    }
}
