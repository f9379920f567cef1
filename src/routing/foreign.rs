//! Comparisons of the request's metadata with literals, and whether a value is of another type than its literal.
//!
//! In CEL such values are unequal, and no mistake. A rule that asks whether a call is private must not read a value that it was not
//! written for as "no".

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};
use serde_json::Value;

use super::facts::Facts;
use super::slots::{Fact, find};

/// What a rule compares with literals.
#[derive(Debug, Default)]
pub(super) struct Compared(Vec<Comparison>);

#[derive(Debug)]
struct Comparison {
    path: Vec<String>,
    kind: Kind,
    /// Whether the rule may hold because the two are unequal.
    is_negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
}

impl Compared {
    /// The comparisons of a rule with these slots.
    pub(super) fn of(expr: &IdedExpr, slots: &[Fact]) -> Self {
        let mut all = Self::default();
        all.walk(expr, slots, false);
        all
    }

    /// Whether what the rule says of a call rests on a value of another type: that it does not hold may, that it holds does only
    /// where it may hold because two are unequal.
    pub(super) fn is_misled(&self, holds: bool, facts: &Facts<'_>) -> bool {
        let asked = self.0.iter().filter(|one| !holds || one.is_negated);
        asked.into_iter().any(|one| find(facts, &one.path).is_some_and(|value| kind_of(value) != Some(one.kind)))
    }

    fn walk(&mut self, expr: &IdedExpr, slots: &[Fact], is_negated: bool) {
        match &expr.expr {
            Expr::Call(call) => {
                let negates = matches!(call.func_name.as_str(), operators::LOGICAL_NOT | operators::NOT_EQUALS);
                // What a condition chooses by may turn either way.
                let chooses = call.func_name == operators::CONDITIONAL;
                let is_negated = is_negated || negates || chooses;
                if let [left, right] = call.args.as_slice() {
                    self.compare(&call.func_name, (left, right), slots, is_negated);
                }
                call.target.iter().for_each(|target| self.walk(target, slots, is_negated));
                call.args.iter().for_each(|part| self.walk(part, slots, is_negated));
            }
            Expr::List(list) => list.elements.iter().for_each(|item| self.walk(item, slots, is_negated)),
            Expr::Select(select) => self.walk(&select.operand, slots, is_negated),
            Expr::Comprehension(looped) => {
                for part in [&looped.iter_range, &looped.loop_cond, &looped.loop_step, &looped.result] {
                    self.walk(part, slots, true);
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, operator: &str, (left, right): (&IdedExpr, &IdedExpr), slots: &[Fact], is_negated: bool) {
        let (path, kind) = match operator {
            operators::EQUALS | operators::NOT_EQUALS => match (path_of(left, slots), path_of(right, slots)) {
                (Some(path), None) => (path, literal(right)),
                (None, Some(path)) => (path, literal(left)),
                _ => return,
            },
            operators::IN => match (path_of(left, slots), &right.expr) {
                (Some(path), Expr::List(list)) => (path, list.elements.first().and_then(literal)),
                _ => return,
            },
            _ => return,
        };
        if let Some(kind) = kind {
            self.0.push(Comparison { path: path.to_vec(), kind, is_negated });
        }
    }
}

/// The path inside the metadata that a slot's variable stands for.
fn path_of<'a>(expr: &IdedExpr, slots: &'a [Fact]) -> Option<&'a [String]> {
    let Expr::Ident(name) = &expr.expr else { return None };
    match slots.get(name.strip_prefix('@')?.parse::<usize>().ok()?)? {
        Fact::Metadata(path) if !path.is_empty() => Some(path),
        _ => None,
    }
}

fn literal(expr: &IdedExpr) -> Option<Kind> {
    let Expr::Literal(literal) = &expr.expr else { return None };
    match literal {
        LiteralValue::String(_) => Some(Kind::Text),
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Some(Kind::Number),
        LiteralValue::Boolean(_) => Some(Kind::Truth),
        _ => None,
    }
}

fn kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => Some(Kind::Text),
        Value::Number(_) => Some(Kind::Number),
        Value::Bool(_) => Some(Kind::Truth),
        _ => None,
    }
}
