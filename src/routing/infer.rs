//! Types of rule expressions, and the operators and functions that rules may use.

use cel::common::ast::LiteralValue;

pub(super) use crate::types::nearest;

/// What an expression results in, as far as is known before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    List,
    Map,
    /// A value of the request, of any type.
    Any,
}

impl Ty {
    pub(super) fn of(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Bool,
            LiteralValue::Bytes(_) => Self::Bytes,
            LiteralValue::Double(_) => Self::Double,
            LiteralValue::Int(_) => Self::Int,
            LiteralValue::Null => Self::Null,
            LiteralValue::String(_) => Self::Text,
            LiteralValue::UInt(_) => Self::Uint,
        }
    }

    /// The type's name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int | Self::Uint | Self::Double => "a number",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "a value of unknown type",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether `==` between the two can ever hold.
    pub(super) fn may_equal(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any || (self.is_number() && other.is_number())
    }

    /// Whether `<` between the two has a meaning.
    pub(super) fn orders_with(self, other: Self) -> bool {
        let orders = |ty: Self| ty.is_number() || matches!(ty, Self::Text | Self::Bool | Self::Bytes | Self::Any);
        orders(self) && orders(other) && self.may_equal(other)
    }

    pub(super) fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }

    pub(super) fn fits(self, wanted: Self) -> bool {
        self == wanted || self == Self::Any
    }
}

/// A function's arguments (a method's target first) and its result.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) method: bool,
    /// Each argument fits one of these.
    pub(super) takes: &'static [&'static [Ty]],
    pub(super) gives: Ty,
}

const TEXT: &[Ty] = &[Ty::Text];
const SIZED: &[Ty] = &[Ty::Text, Ty::List, Ty::Map, Ty::Bytes];
const NUMBER_OR_TEXT: &[Ty] = &[Ty::Int, Ty::Uint, Ty::Double, Ty::Text];
const TO_TEXT: &[Ty] = &[Ty::Int, Ty::Uint, Ty::Double, Ty::Text, Ty::Bool, Ty::Bytes];

const fn function(name: &'static str, takes: &'static [&'static [Ty]], gives: Ty) -> Signature {
    Signature { name, method: false, takes, gives }
}

const fn method(name: &'static str, takes: &'static [&'static [Ty]], gives: Ty) -> Signature {
    Signature { name, method: true, takes, gives }
}

/// The functions of rules, apart from `header` and `matches`, which are worked out when a rule is compiled, and the
/// macros `has`, `all`, `exists`, `exists_one`, `map` and `filter`.
pub(super) const FUNCTIONS: &[Signature] = &[
    method("contains", &[TEXT, TEXT], Ty::Bool),
    method("startsWith", &[TEXT, TEXT], Ty::Bool),
    method("endsWith", &[TEXT, TEXT], Ty::Bool),
    method("size", &[SIZED], Ty::Int),
    function("size", &[SIZED], Ty::Int),
    function("int", &[NUMBER_OR_TEXT], Ty::Int),
    function("uint", &[NUMBER_OR_TEXT], Ty::Uint),
    function("double", &[NUMBER_OR_TEXT], Ty::Double),
    function("string", &[TO_TEXT], Ty::Text),
    function("bool", &[&[Ty::Bool, Ty::Text]], Ty::Bool),
];

/// All names that a call may use, for suggestions.
pub(super) const NAMES: &[&str] = &[
    "contains",
    "startsWith",
    "endsWith",
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "header",
    "similar_to",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];
