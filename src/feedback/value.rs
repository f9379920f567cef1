//! What feedback says: its kind, and its value within bounds.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::error::Error;
use crate::types::did_you_mean;

/// The longest comment in bytes.
const LONGEST_COMMENT: usize = 8 << 10;
/// The longest demonstration in bytes.
const LONGEST_DEMONSTRATION: usize = 256 << 10;
/// The largest number, so that sums of many are finite.
const LARGEST: f64 = 1e100;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Yes or no; counted as 1 or 0.
    Boolean,
    /// A number.
    Float,
    /// Somebody's words.
    Comment,
    /// The answer as it should have been.
    Demonstration,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Boolean, Self::Float, Self::Comment, Self::Demonstration];

    /// The kind's name in JSON and SQL.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Float => "float",
            Self::Comment => "comment",
            Self::Demonstration => "demonstration",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.text() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::text);
            let near = did_you_mean(text, known);
            Error::field("kind", format!("must be one of {}{near}", known.join(", ")))
        })
    }
}

/// The value of one feedback, within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Boolean(bool),
    /// A number, at most 1e100 from zero.
    Float(f64),
    /// 1 byte to 8 KiB.
    Comment(Arc<str>),
    /// 1 byte to 256 KiB.
    Demonstration(Arc<str>),
}

impl Value {
    /// Reads a value of `kind`. Without a kind, the value says which it is: a text is a comment.
    ///
    /// # Errors
    /// [`Error::Field`] names what is not understood.
    pub fn parse(kind: Option<&str>, value: &Json) -> Result<Self, Error> {
        let kind = kind.map(Kind::from_str).transpose()?;
        let kind = kind.or(match value {
            Json::Bool(_) => Some(Kind::Boolean),
            Json::Number(_) => Some(Kind::Float),
            Json::String(_) => Some(Kind::Comment),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        });
        let wrong = |problem: &str| Err(Error::field("value", problem));
        match (kind, value) {
            (None, Json::Null) => wrong("is missing: send true or false, a number, or a text"),
            (None, _) => wrong("must be true or false, a number, or a text"),
            (Some(Kind::Boolean), Json::Bool(flag)) => Ok(Self::Boolean(*flag)),
            (Some(Kind::Boolean), _) => wrong("of kind boolean must be true or false"),
            (Some(Kind::Float), Json::Number(number)) => {
                let number = number.as_f64().filter(|number| number.abs() <= LARGEST);
                number.map(Self::Float).map_or_else(|| wrong("must be a number between -1e100 and 1e100"), Ok)
            }
            (Some(Kind::Float), _) => wrong("of kind float must be a number"),
            (Some(Kind::Comment), value) => words(value, "comment", LONGEST_COMMENT).map(Self::Comment),
            (Some(Kind::Demonstration), value) => {
                words(value, "demonstration", LONGEST_DEMONSTRATION).map(Self::Demonstration)
            }
        }
    }

    /// What stands in the database: a number, or words.
    pub(super) fn stored(&self) -> (Option<f64>, Option<&str>) {
        match self {
            Self::Boolean(flag) => (Some(f64::from(u8::from(*flag))), None),
            Self::Float(number) => (Some(*number), None),
            Self::Comment(text) | Self::Demonstration(text) => (None, Some(text)),
        }
    }

    /// The value with what stands in the database; none where that is not as [`Self::stored`] writes it.
    pub(super) fn of(kind: Kind, number: Option<f64>, words: Option<String>) -> Option<Self> {
        Some(match kind {
            Kind::Boolean => Self::Boolean(number? != 0.0),
            Kind::Float => Self::Float(number?),
            Kind::Comment => Self::Comment(words?.into()),
            Kind::Demonstration => Self::Demonstration(words?.into()),
        })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Float(_) => Kind::Float,
            Self::Comment(_) => Kind::Comment,
            Self::Demonstration(_) => Kind::Demonstration,
        }
    }

    /// The bytes of its words; 0 where it has none.
    pub(super) fn weight(&self) -> usize {
        self.stored().1.map_or(0, str::len)
    }

    /// The value as the API shows it.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Self::Boolean(flag) => json!(flag),
            Self::Float(number) => json!(number),
            Self::Comment(text) | Self::Demonstration(text) => json!(text),
        }
    }
}

/// A text of 1 byte to `longest`.
fn words(value: &Json, kind: &str, longest: usize) -> Result<Arc<str>, Error> {
    let wrong = |problem: String| Error::field("value", problem);
    let Json::String(text) = value else {
        let hint =
            if kind == "demonstration" { ": the answer as it should have been; write JSON as a text" } else { "" };
        return Err(wrong(format!("of kind {kind} must be a text{hint}")));
    };
    match text.len() {
        0 => Err(wrong(format!("of kind {kind} must not be empty"))),
        length if length > longest => Err(wrong(format!("has {length} bytes; a {kind} has at most {longest}"))),
        _ => Ok(text.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_of_its_kind_and_says_which_where_none_is_named() {
        for (kind, value, expected) in [
            (Some("boolean"), json!(true), Value::Boolean(true)),
            (None, json!(false), Value::Boolean(false)),
            (Some("float"), json!(1), Value::Float(1.0)),
            (None, json!(-0.25), Value::Float(-0.25)),
            (None, json!(1e100), Value::Float(1e100)),
            (Some("comment"), json!("true"), Value::Comment("true".into())),
            (None, json!("fine"), Value::Comment("fine".into())),
            (Some("comment"), json!("x".repeat(8 << 10)), Value::Comment("x".repeat(8 << 10).into())),
            (Some("demonstration"), json!("{}"), Value::Demonstration("{}".into())),
            (Some("demonstration"), json!("x".repeat(256 << 10)), Value::Demonstration("x".repeat(256 << 10).into())),
        ] {
            assert_eq!(Value::parse(kind, &value).unwrap(), expected);
        }
    }

    #[test]
    fn a_value_that_its_kind_does_not_have_is_refused_and_the_field_named() {
        for (kind, value, field) in [
            (Some("Boolean"), json!(true), "kind"),
            (Some(""), json!(true), "kind"),
            (Some("boolean"), json!(1), "value"),
            (Some("boolean"), json!("true"), "value"),
            (Some("float"), json!(true), "value"),
            (Some("float"), json!("0.5"), "value"),
            (Some("float"), json!(1.1e100), "value"),
            (None, json!(-1e300), "value"),
            (None, Json::Null, "value"),
            (None, json!([1]), "value"),
            (Some("comment"), json!(3), "value"),
            (Some("comment"), json!(""), "value"),
            (None, json!("x".repeat((8 << 10) + 1)), "value"),
            (Some("demonstration"), json!({"role": "assistant"}), "value"),
            (Some("demonstration"), json!(""), "value"),
            (Some("demonstration"), json!("é".repeat((128 << 10) + 1)), "value"),
        ] {
            let error = Value::parse(kind, &value).unwrap_err();
            assert!(matches!(error, Error::Field { field: named, .. } if named == field), "{kind:?} {error}");
        }
        assert!(Kind::from_str("bolean").unwrap_err().to_string().contains("did you mean `boolean`?"));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            prop::collection::vec(any::<u8>(), 0..3).prop_map(Json::from),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_stored_and_shown(
            kind in prop::option::of(prop::sample::select(Kind::ALL.to_vec())), value in any_json(),
        ) {
            if let Ok(read) = Value::parse(kind.map(Kind::text), &value) {
                let (number, text) = read.stored();
                prop_assert!(number.is_none_or(f64::is_finite));
                prop_assert_eq!(Value::of(read.kind(), number, text.map(ToOwned::to_owned)), Some(read.clone()));
                prop_assert!(kind.is_none_or(|kind| kind == read.kind()));
                let again = Value::parse(Some(read.kind().text()), &read.json()).unwrap();
                prop_assert_eq!(again, read);
            }
        }
    }
}
