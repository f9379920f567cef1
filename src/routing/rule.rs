//! One CEL rule: compiled and checked when the configuration loads, evaluated for every call.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr};
use cel::common::types::CelBool;
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::check::{BadNode, Check};
use super::examples::ExampleSet;
use super::facts::{Facts, Needs};
use super::foreign::Compared;
use super::quick::Quick;
use super::slots::{Fact, MOST_READS, Slots};
use crate::types::Diagnostic;

const LONGEST: usize = 4_096;
/// The parser recurses along chains such as `a.b.c`; so many of these characters need a small part of a stack.
const MOST_STEPS: usize = 400;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule as it was written.
    pub(super) text: Arc<str>,
    expr: IdedExpr,
    slots: Vec<Fact>,
    /// The same rule without an interpreter, where its form is simple.
    quick: Option<Quick>,
    /// What of the metadata it compares with literals.
    compared: Compared,
}

/// Why a text is no rule, after the byte offset of the mistake inside the rule.
type BadRule = (usize, Diagnostic);

/// The environment that rules run in: CEL's standard library without optional values.
pub(super) fn environment() -> Arc<Env> {
    Arc::new(Env::stdlib().with_optional_support(false))
}

impl Rule {
    /// Compiles a rule, which may name `sets` of examples.
    pub(super) fn compile(text: &str, env: &Env, sets: &[Arc<ExampleSet>]) -> Result<Self, BadRule> {
        if text.len() > LONGEST || text.trim().is_empty() {
            return Err((0, bad("a rule has 1 to 4096 characters", "write a CEL expression, or leave `when` out")));
        }
        if text.bytes().filter(|byte| b".[({?!+-".contains(byte)).count() > MOST_STEPS {
            return Err((0, bad("the rule has too many steps", "split it over several routes")));
        }
        let program = env.compile(text).map_err(|errors| syntax(text, &errors))?;
        let mut check = Check::with(sets);
        let expr = check.rule(program.expression().clone()).map_err(|BadNode { node, diagnostic }| {
            let begin = begin(program.expression(), node).unwrap_or(node);
            let start = program.source_info().offset_for(begin).map_or(0, |(start, _)| start);
            (usize::try_from(start).unwrap_or(0), diagnostic)
        })?;
        let quick = Quick::of(&expr, &check.facts);
        let compared = Compared::of(&expr, &check.facts);
        Ok(Self { text: text.into(), expr, slots: check.facts, quick, compared })
    }

    pub(super) fn note(&self, needs: &mut Needs) {
        for fact in &self.slots {
            fact.note(needs);
        }
    }

    /// Whether the rule reads a similarity.
    pub(super) fn is_by_meaning(&self) -> bool {
        self.slots.iter().any(|fact| matches!(fact, Fact::Similar(_)))
    }

    /// Whether the rule holds for the call.
    ///
    /// # Errors
    /// Where values that the request brought are not of the type that the rule expects, or are so many that it takes too long.
    pub(super) fn holds(&self, env: &Arc<Env>, facts: &Facts<'_>) -> Result<bool, RuleError> {
        let holds = self.in_cel(env, facts)?;
        if self.compared.is_misled(holds, facts) { Err(RuleError::Foreign) } else { Ok(holds) }
    }

    /// Whether the rule holds in CEL, to which values of different types are unequal.
    pub(super) fn in_cel(&self, env: &Arc<Env>, facts: &Facts<'_>) -> Result<bool, RuleError> {
        match &self.quick {
            Some(quick) => Ok(quick.holds(facts)),
            None => self.interpreted(env, facts),
        }
    }

    /// Whether its form is so simple that no interpreter reads it.
    #[cfg(test)]
    pub(super) fn is_quick(&self) -> bool {
        self.quick.is_some()
    }

    /// The same by the interpreter, which reads rules of every form.
    pub(super) fn interpreted(&self, env: &Arc<Env>, facts: &Facts<'_>) -> Result<bool, RuleError> {
        let slots = Slots::new(&self.slots, facts);
        let mut context = Context::with_env(env.clone());
        context.set_variable_resolver(&slots);
        let result = Value::resolve_val(&self.expr, &context);
        // An operator such as `||` may hide that a value was refused.
        if slots.are_exhausted() {
            return Err(RuleError::TooLong);
        }
        if slots.is_open() {
            return Err(RuleError::Open);
        }
        let holds = result?.downcast_ref::<CelBool>().is_some_and(|holds| *holds.inner());
        if !holds && slots.is_unjudged() { Err(RuleError::Unjudged) } else { Ok(holds) }
    }
}

/// Why a rule neither holds nor does not.
#[derive(Debug, thiserror::Error)]
pub(super) enum RuleError {
    /// A value is not of the type that the rule expects.
    #[error(transparent)]
    Value(#[from] ExecutionError),
    /// A value is of another type than what the rule compares it with.
    #[error("a value of the request's metadata is of another type than what the rule compares it with")]
    Foreign,
    /// The request brings so much that the rule takes too long.
    #[error("the rule reads more than {MOST_READS} values of this request")]
    TooLong,
    /// A similarity is still to be worked out.
    #[error("how similar the text is to its examples is still to be worked out")]
    Open,
    /// The rule does not hold by a similarity that is not known.
    #[error("how similar the text is to its examples is not known")]
    Unjudged,
}

/// The node where the text of `wanted` begins: for `a.b` and `a.f()` that is `a`, where the parser points at the dot.
fn begin(expr: &IdedExpr, wanted: u64) -> Option<u64> {
    if expr.id == wanted {
        let mut first = expr;
        loop {
            first = match &first.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(CallExpr { target: Some(target), .. }) => target,
                _ => return Some(first.id),
            };
        }
    }
    let within: Vec<&IdedExpr> = match &expr.expr {
        Expr::Select(select) => vec![&select.operand],
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Comprehension(looped) => vec![&looped.iter_range, &looped.loop_step],
        _ => return None,
    };
    within.into_iter().find_map(|part| begin(part, wanted))
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> BadRule {
    let (at, message) = match errors.errors.first() {
        Some(error) => (place(text, error.pos), error.msg.as_str()),
        None => (0, "cannot be read"),
    };
    let message = message.split(" expecting").next().unwrap_or(message);
    let message: String = message.trim_start_matches("Syntax error: ").chars().take(160).collect();
    let fix = "write a CEL expression such as prompt.name == \"support\"";
    (at, bad(&format!("the rule cannot be read: {message}"), fix))
}

/// A diagnostic without a key: the rule's key is its caller's to add.
fn bad(problem: &str, fix: &str) -> Diagnostic {
    Diagnostic::new("", problem).fix(fix)
}

/// The byte offset of a line (from 1) and column (from 1) that the parser gives.
fn place(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}
