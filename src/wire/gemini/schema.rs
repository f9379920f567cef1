//! Google's own subset of OpenAPI's schema, as JSON Schema.

use serde_json::{Map, Value};

/// Rewrites a schema: types in lower case, `nullable` as a type, counts as numbers. What is no object stays.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(fields) = schema else { return schema };
    let mut out = Map::with_capacity(fields.len());
    let mut nullable = false;
    for (name, value) in fields {
        let name = camel(&name);
        match (name.as_str(), value) {
            ("nullable", value) => nullable = value == true,
            // An order of writing and not a meaning.
            ("propertyOrdering", _) => {}
            ("type", Value::String(kind)) if kind == "TYPE_UNSPECIFIED" => {}
            ("type", Value::String(kind)) => {
                out.insert(name, kind.to_ascii_lowercase().into());
            }
            ("example", value) => {
                out.insert("examples".to_owned(), vec![value].into());
            }
            ("format", Value::String(format)) if format == "enum" => {}
            ("minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties", value) => {
                out.insert(name, count(value));
            }
            ("properties" | "defs" | "$defs", Value::Object(members)) => {
                let members = members.into_iter().map(|(key, value)| (key, to_json_schema(value)));
                out.insert(name, Value::Object(members.collect()));
            }
            ("items" | "additionalProperties", value) => {
                out.insert(name, to_json_schema(value));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(list)) => {
                out.insert(name, list.into_iter().map(to_json_schema).collect());
            }
            (_, value) => {
                out.insert(name, value);
            }
        }
    }
    if nullable {
        make_nullable(&mut out);
    }
    Value::Object(out)
}

fn make_nullable(schema: &mut Map<String, Value>) {
    if let Some(kind) = schema.get_mut("type") {
        *kind = vec![kind.take(), "null".into()].into();
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.push(Value::Null);
        }
    } else if let Some(Value::Array(list)) = schema.get_mut("anyOf") {
        list.push(serde_json::json!({"type": "null"}));
    }
}

/// A count, which Google's JSON may hold as a text.
fn count(value: Value) -> Value {
    match value.as_str().and_then(|text| text.parse::<u64>().ok()) {
        Some(number) => number.into(),
        None => value,
    }
}

/// `any_of` as `anyOf`: Google takes either spelling.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' if !out.is_empty() => raise = true,
            _ if std::mem::take(&mut raise) => out.push(letter.to_ascii_uppercase()),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn googles_schema_becomes_json_schema() {
        let google = json!({"type": "OBJECT", "propertyOrdering": ["type"], "required": ["type"], "properties": {
            "type": {"type": "STRING", "nullable": true, "format": "enum", "enum": ["A"]},
            "list": {"type": "ARRAY", "min_items": "2", "items": {"type": "INTEGER", "example": 3}},
            "either": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": true},
        }});
        let expected = json!({"type": "object", "required": ["type"], "properties": {
            "type": {"type": ["string", "null"], "enum": ["A", null]},
            "list": {"type": "array", "minItems": 2, "items": {"type": "integer", "examples": [3]}},
            "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
        }});
        assert_eq!(to_json_schema(google), expected);
    }
    #[test]
    fn a_name_of_either_spelling_is_one() {
        for (name, other) in [("generation_config", "generationConfig"), ("top_p", "topP"), ("text", "text")] {
            assert_eq!(camel(name), other);
        }
    }
}
