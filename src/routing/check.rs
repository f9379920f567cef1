//! Type-checks a parsed rule and resolves its variables to slots, which is where CEL itself checks nothing.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators};
use regex::Regex;

use super::examples::ExampleSet;
use super::infer::{FUNCTIONS, NAMES, Ty, nearest};
use super::slots::Fact;
use crate::types::Diagnostic;

const DEEPEST: usize = 64;
const LOOPS: usize = 2;
const REGEX_LIMIT: usize = 1 << 20;

/// A node of a rule that cannot be right. A node has no place of its own: [`Rule::compile`](super::rule::Rule::compile)
/// finds the byte where it begins.
pub(super) struct BadNode {
    pub(super) node: u64,
    /// What is wrong and what to do, without a key and a place.
    pub(super) diagnostic: Diagnostic,
}

type Checked = Result<(IdedExpr, Ty), BadNode>;

/// The walk over one rule.
#[derive(Default)]
pub(super) struct Check<'a> {
    /// The sets of examples that the rule may name.
    pub(super) sets: &'a [Arc<ExampleSet>],
    /// The facts that the rule's slots stand for.
    pub(super) facts: Vec<Fact>,
    locals: Vec<(String, Ty)>,
    depth: usize,
    loops: usize,
}

fn refuse<T>(node: u64, problem: impl Into<String>, fix: impl Into<String>) -> Result<T, BadNode> {
    Err(BadNode { node, diagnostic: Diagnostic::new("", problem).fix(fix) })
}

fn node(id: u64, expr: Expr) -> IdedExpr {
    IdedExpr { id, expr }
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    node(id, Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

fn literal_text(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

impl<'a> Check<'a> {
    /// The walk over a rule that may name these sets.
    pub(super) fn with(sets: &'a [Arc<ExampleSet>]) -> Self {
        Self { sets, ..Self::default() }
    }

    /// Checks the whole rule, which must give true or false.
    pub(super) fn rule(&mut self, expr: IdedExpr) -> Result<IdedExpr, BadNode> {
        let id = expr.id;
        let (expr, ty) = self.walk(expr)?;
        self.condition(id, ty)?;
        Ok(expr)
    }

    fn walk(&mut self, expr: IdedExpr) -> Checked {
        self.depth += 1;
        if self.depth > DEEPEST {
            return refuse(expr.id, "the rule is nested too deeply", "split it over several routes");
        }
        let checked = self.walk_one(expr);
        self.depth -= 1;
        checked
    }

    fn walk_one(&mut self, expr: IdedExpr) -> Checked {
        if let Some(path) = self.path(&expr) {
            return self.variable(expr.id, &path);
        }
        let id = expr.id;
        match expr.expr {
            Expr::Literal(literal) => {
                let ty = Ty::of(&literal);
                Ok((node(id, Expr::Literal(literal)), ty))
            }
            Expr::Ident(name) => self.ident(id, name),
            Expr::Select(select) => self.select(id, select),
            Expr::Call(call) => self.call(id, call),
            Expr::Comprehension(comprehension) => self.comprehension(id, *comprehension),
            Expr::List(mut list) => {
                list.elements =
                    list.elements.into_iter().map(|item| Ok(self.walk(item)?.0)).collect::<Result<_, _>>()?;
                Ok((node(id, Expr::List(list)), Ty::List))
            }
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.walk(std::mem::take(&mut entry.key))?.0;
                        entry.value = self.walk(std::mem::take(&mut entry.value))?.0;
                    }
                }
                Ok((node(id, Expr::Map(map)), Ty::Map))
            }
            Expr::Struct(_) | Expr::Unspecified => {
                refuse(id, "rules cannot build objects", "compare values instead, as in prompt.name == \"support\"")
            }
        }
    }

    /// The names of `a.b["c"]`, where `a` is no loop variable.
    fn path(&self, expr: &IdedExpr) -> Option<Vec<String>> {
        match &expr.expr {
            Expr::Ident(name) if self.local(name).is_none() && !name.starts_with('@') => Some(vec![name.clone()]),
            Expr::Select(select) if !select.test => {
                let mut path = self.path(&select.operand)?;
                path.push(select.field.clone());
                Some(path)
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                let key = literal_text(&call.args[1])?;
                let mut path = self.path(&call.args[0])?;
                path.push(key.to_owned());
                Some(path)
            }
            _ => None,
        }
    }

    fn local(&self, name: &str) -> Option<Ty> {
        self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, ty)| *ty)
    }

    fn slot(&mut self, id: u64, fact: Fact, ty: Ty) -> (IdedExpr, Ty) {
        self.facts.push(fact);
        (node(id, Expr::Ident(format!("@{}", self.facts.len() - 1))), ty)
    }

    /// The slot of a variable's path.
    fn variable(&mut self, id: u64, path: &[String]) -> Checked {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let (fact, ty) = match names.as_slice() {
            ["metadata"] => (Fact::Metadata(Vec::new()), Ty::Map),
            ["metadata", ..] => (Fact::Metadata(path[1..].to_vec()), Ty::Any),
            ["key", "tags"] => (Fact::Tags, Ty::Map),
            ["key", "tags", name] => (Fact::Tag((*name).to_owned()), Ty::Text),
            ["budget_used"] => (Fact::BudgetUsed, Ty::Double),
            ["complexity"] => (Fact::Complexity, Ty::Double),
            [root @ ("request" | "prompt" | "key" | "now"), rest @ ..] => field(id, root, rest)?,
            ["int" | "uint" | "double" | "string" | "bool" | "bytes" | "list" | "map" | "null_type" | "type"] => {
                return refuse(id, format!("`{}` is a type, not a value", names[0]), "compare values instead");
            }
            [name @ ("budget_used" | "complexity"), ..] => {
                return refuse(id, format!("`{name}` has no fields"), "compare it with a value");
            }
            [unknown, ..] => return refuse(id, format!("unknown variable `{unknown}`"), known_variables(unknown)),
            [] => return refuse(id, "a variable has no name", "name one"),
        };
        Ok(self.slot(id, fact, ty))
    }

    fn ident(&self, id: u64, name: String) -> Checked {
        let ty = self.local(&name).unwrap_or(Ty::Any);
        Ok((node(id, Expr::Ident(name)), ty))
    }

    /// `has(…)`, or a field of something computed: `""` where it is missing.
    fn select(&mut self, id: u64, select: SelectExpr) -> Checked {
        if select.test {
            return self.presence(id, select);
        }
        let (operand, ty) = self.walk(*select.operand)?;
        if !matches!(ty, Ty::Any | Ty::Map) {
            let problem = format!("{} has no field `{}`", ty.name(), select.field);
            return refuse(id, problem, "only maps have fields");
        }
        let test = SelectExpr { operand: Box::new(operand.clone()), field: select.field.clone(), test: true };
        let get = SelectExpr { operand: Box::new(operand), field: select.field, test: false };
        let args = vec![node(id, Expr::Select(test)), node(id, Expr::Select(get)), empty_text(id)];
        Ok((call(id, operators::CONDITIONAL, args), Ty::Any))
    }

    fn presence(&mut self, id: u64, select: SelectExpr) -> Checked {
        let Some(mut path) = self.path(&select.operand) else {
            let (operand, _) = self.walk(*select.operand)?;
            let select = SelectExpr { operand: Box::new(operand), field: select.field, test: true };
            return Ok((node(id, Expr::Select(select)), Ty::Bool));
        };
        let fact = match (path[0].as_str(), path.len(), select.field.as_str()) {
            ("metadata", _, field) => Fact::InMetadata(path[1..].to_vec(), field.to_owned()),
            ("key", 2, field) if path[1] == "tags" => Fact::HasTag(field.to_owned()),
            ("prompt", 1, "name" | "version" | "label") => Fact::HasPrompt,
            ("request", 1, "max_tokens") => Fact::HasMaxTokens,
            _ => {
                path.push(select.field);
                self.variable(id, &path)?;
                return refuse(id, format!("{} is always there", path.join(".")), "compare it with a value instead");
            }
        };
        Ok(self.slot(id, fact, Ty::Bool))
    }

    fn call(&mut self, id: u64, call: CallExpr) -> Checked {
        match call.func_name.as_str() {
            "header" if call.target.is_none() => self.header(id, &call.args),
            "similar_to" if call.target.is_none() => self.similar(id, &call.args),
            "matches" => self.matches(id, call),
            operators::IN => self.membership(id, call),
            _ if call.target.is_none() && is_operator(&call.func_name) => self.operator(id, call),
            _ => self.function(id, call),
        }
    }

    fn header(&mut self, id: u64, args: &[IdedExpr]) -> Checked {
        let name = match args {
            [name] => literal_text(name).map(str::to_ascii_lowercase),
            _ => None,
        };
        match name {
            Some(name) if http::HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                Ok(self.slot(id, Fact::Header(name), Ty::Text))
            }
            _ => refuse(id, "header() takes one header's name", "write it in quotes, as in header(\"x-team\")"),
        }
    }

    /// The set is named by a literal, so that one that is missing is found here.
    fn similar(&mut self, id: u64, args: &[IdedExpr]) -> Checked {
        let write = "write similar_to(\"NAME\") > 0.8, with the name of a table [examples.NAME]";
        let named = match args {
            [name] => literal_text(name),
            _ => None,
        };
        let Some(name) = named else { return refuse(id, "similar_to() takes the name of one set of examples", write) };
        match self.sets.iter().find(|set| *set.name == *name) {
            Some(set) => Ok(self.slot(id, Fact::Similar(set.name.clone()), Ty::Double)),
            None => {
                let near = nearest(name, self.sets.iter().map(|set| &*set.name));
                let fix =
                    near.map_or_else(|| format!("add [examples.{name}]"), |near| format!("did you mean `{near}`?"));
                refuse(id, format!("there are no examples `{name}`"), fix)
            }
        }
    }

    /// The pattern is compiled once, here: it must be a literal, and what it is matched with a variable.
    fn matches(&mut self, id: u64, call: CallExpr) -> Checked {
        let operands: Vec<IdedExpr> = call.target.map(|target| *target).into_iter().chain(call.args).collect();
        let Ok([value, pattern]) = <[IdedExpr; 2]>::try_from(operands) else {
            return refuse(id, "matches() takes one pattern", "write request.text.matches(\"(?i)refund\")");
        };
        let Some(pattern) = literal_text(&pattern) else {
            return refuse(id, "a pattern must be a text in quotes", "write request.text.matches(\"(?i)refund\")");
        };
        let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_LIMIT).build();
        let pattern: Regex = match built {
            Ok(regex) => regex,
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                return refuse(id, format!("the pattern is no regular expression: {reason}"), "correct the pattern");
            }
        };
        let before = self.facts.len();
        let (value, ty) = self.walk(value)?;
        let is_slot = matches!(&value.expr, Expr::Ident(name) if name.starts_with('@'));
        if !ty.fits(Ty::Text) || !is_slot || self.facts.len() != before + 1 {
            let fix = "write request.text.matches(\"(?i)refund\")";
            return refuse(id, "matches() works on a text variable only", fix);
        }
        let Some(fact) = self.facts.pop() else { return refuse(id, "matches() needs a variable", "name one") };
        Ok(self.slot(id, Fact::Matches(Box::new(fact), pattern), Ty::Bool))
    }

    fn membership(&mut self, id: u64, mut call: CallExpr) -> Checked {
        if let [key, within] = call.args.as_slice()
            && let (Some(key), Some(path)) = (literal_text(key), self.path(within))
        {
            match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["metadata", ..] => {
                    return Ok(self.slot(id, Fact::InMetadata(path[1..].to_vec(), key.to_owned()), Ty::Bool));
                }
                ["key", "tags"] => return Ok(self.slot(id, Fact::HasTag(key.to_owned()), Ty::Bool)),
                _ => {}
            }
        }
        let mut types = Vec::with_capacity(2);
        for arg in &mut call.args {
            let (checked, ty) = self.walk(std::mem::take(arg))?;
            *arg = checked;
            types.push(ty);
        }
        match types.get(1) {
            Some(Ty::List | Ty::Map | Ty::Any) => Ok((node(id, Expr::Call(call)), Ty::Bool)),
            Some(Ty::Text) => refuse(id, "`in` looks into lists and maps, not text", "use .contains(…) for text"),
            _ => refuse(id, "`in` looks into lists and maps", "put a list or a map on its right"),
        }
    }

    fn function(&mut self, id: u64, mut call: CallExpr) -> Checked {
        let name = call.func_name.clone();
        let method = call.target.is_some();
        let mut types = Vec::new();
        if let Some(target) = call.target.take() {
            let (target, ty) = self.walk(*target)?;
            call.target = Some(Box::new(target));
            types.push(ty);
        }
        for arg in &mut call.args {
            let (checked, ty) = self.walk(std::mem::take(arg))?;
            *arg = checked;
            types.push(ty);
        }
        let Some(known) = FUNCTIONS.iter().find(|known| known.name == name && known.method == method) else {
            return unknown_function(id, &name, method);
        };
        if known.takes.len() != types.len() {
            let wanted = known.takes.len() - usize::from(method);
            let fix = if wanted == 1 { "give it one".to_owned() } else { format!("give it {wanted}") };
            return refuse(id, format!("{name}() has a wrong number of arguments"), fix);
        }
        for (wanted, ty) in known.takes.iter().zip(&types) {
            if !wanted.iter().any(|wanted| ty.fits(*wanted)) {
                let fix = format!("it works with {}", wanted.first().map_or("nothing", |ty| ty.name()));
                return refuse(id, format!("{name}() does not work with {}", ty.name()), fix);
            }
        }
        Ok((node(id, Expr::Call(call)), known.gives))
    }

    fn operator(&mut self, id: u64, mut call: CallExpr) -> Checked {
        let mut types = Vec::with_capacity(3);
        let mut ids = Vec::with_capacity(3);
        for arg in &mut call.args {
            ids.push(arg.id);
            let (checked, ty) = self.walk(std::mem::take(arg))?;
            *arg = checked;
            types.push(ty);
        }
        let ty = match (call.func_name.as_str(), types.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.condition(ids[0], *left)?;
                self.condition(ids[1], *right)?;
                Ty::Bool
            }
            (operators::LOGICAL_NOT, [only]) => {
                self.condition(ids[0], *only)?;
                Ty::Bool
            }
            (operators::NOT_STRICTLY_FALSE, [_]) => Ty::Bool,
            (operators::CONDITIONAL, [test, yes, no]) => {
                self.condition(ids[0], *test)?;
                yes.join(*no)
            }
            (operators::NEGATE, [ty]) if ty.is_number() || *ty == Ty::Any => *ty,
            (operators::INDEX, [within, key]) => return index(id, call.args, *within, *key),
            (name, [left, right]) => binary(id, name, (*left, *right), &mut call.args)?,
            (_, types) => {
                let problem = format!("`-` does not work with {}", types.first().map_or("nothing", |ty| ty.name()));
                return refuse(id, problem, "it works with numbers");
            }
        };
        Ok((node(id, Expr::Call(call)), ty))
    }

    fn comprehension(&mut self, id: u64, mut looped: ComprehensionExpr) -> Checked {
        self.loops += 1;
        if self.loops > LOOPS {
            return refuse(id, "a rule loops inside a loop inside a loop", "test fewer lists at once");
        }
        let (range, ty) = self.walk(looped.iter_range)?;
        if !matches!(ty, Ty::List | Ty::Map | Ty::Any) {
            return refuse(range.id, format!("{} cannot be looped over", ty.name()), "loop over a list or a map");
        }
        looped.iter_range = range;
        let (init, accumulated) = self.walk(looped.accu_init)?;
        looped.accu_init = init;
        let outer = self.locals.len();
        self.locals.push((looped.iter_var.clone(), Ty::Any));
        if let Some(second) = &looped.iter_var2 {
            self.locals.push((second.clone(), Ty::Any));
        }
        self.locals.push((looped.accu_var.clone(), accumulated));
        looped.loop_cond = self.walk(looped.loop_cond)?.0;
        looped.loop_step = self.walk(looped.loop_step)?.0;
        let (result, ty) = self.walk(looped.result)?;
        looped.result = result;
        self.locals.truncate(outer);
        self.loops -= 1;
        Ok((node(id, Expr::Comprehension(Box::new(looped))), ty))
    }

    #[expect(clippy::unused_self, reason = "reads as the other steps of the walk")]
    fn condition(&self, id: u64, ty: Ty) -> Result<(), BadNode> {
        match ty {
            Ty::Bool => Ok(()),
            Ty::Any => {
                refuse(id, "this may be something else than true or false", "compare it, as in metadata.beta == true")
            }
            ty => refuse(id, format!("a rule must be true or false, this is {}", ty.name()), "compare it with a value"),
        }
    }
}

fn empty_text(id: u64) -> IdedExpr {
    node(id, Expr::Literal(LiteralValue::String("".into())))
}

fn is_operator(name: &str) -> bool {
    name.starts_with(|c: char| !c.is_ascii_alphabetic())
}

/// `m[k]`, with `""` for a missing text key.
fn index(id: u64, args: Vec<IdedExpr>, within: Ty, key: Ty) -> Checked {
    if !matches!(within, Ty::List | Ty::Map | Ty::Any) {
        return refuse(id, format!("{} cannot be indexed", within.name()), "index a list or a map");
    }
    let get = call(id, operators::INDEX, args.clone());
    if key != Ty::Text {
        return Ok((get, Ty::Any));
    }
    let mut has = args;
    has.reverse();
    let args = vec![call(id, operators::IN, has), get, empty_text(id)];
    Ok((call(id, operators::CONDITIONAL, args), Ty::Any))
}

fn binary(id: u64, name: &str, (left, right): (Ty, Ty), args: &mut [IdedExpr]) -> Result<Ty, BadNode> {
    let shown = name.trim_matches('_');
    match name {
        operators::EQUALS | operators::NOT_EQUALS if left.may_equal(right) => Ok(Ty::Bool),
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS
            if left.orders_with(right) =>
        {
            Ok(Ty::Bool)
        }
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => {
            let problem = format!("`{shown}` cannot compare {} with {}", left.name(), right.name());
            refuse(id, problem, "compare values of one type")
        }
        _ => arithmetic(id, shown, (left, right), args),
    }
}

/// CEL adds no int to a double: a whole literal beside a double becomes one, anything else is refused here.
fn arithmetic(id: u64, name: &str, (left, right): (Ty, Ty), args: &mut [IdedExpr]) -> Result<Ty, BadNode> {
    let works = |ty: Ty| ty.is_number() || ty == Ty::Any || (name == "+" && matches!(ty, Ty::Text | Ty::List));
    match (left, right) {
        (left, right) if left == right && works(left) => Ok(left),
        (Ty::Any, other) | (other, Ty::Any) if works(other) => Ok(other),
        (Ty::Double, Ty::Int) if args.get_mut(1).is_some_and(widen) => Ok(Ty::Double),
        (Ty::Int, Ty::Double) if args.get_mut(0).is_some_and(widen) => Ok(Ty::Double),
        (left, right) if left.is_number() && right.is_number() => {
            refuse(id, format!("`{name}` mixes kinds of numbers"), "wrap the whole number in double(…)")
        }
        (left, right) => {
            let problem = format!("`{name}` does not work with {} and {}", left.name(), right.name());
            refuse(id, problem, "it works with two numbers")
        }
    }
}

fn widen(expr: &mut IdedExpr) -> bool {
    let Expr::Literal(LiteralValue::Int(int)) = &expr.expr else { return false };
    let Ok(small) = i32::try_from(*int.inner()) else { return false };
    expr.expr = Expr::Literal(LiteralValue::Double(f64::from(small).into()));
    true
}

fn unknown_function(id: u64, name: &str, method: bool) -> Checked {
    let other = FUNCTIONS.iter().any(|known| known.name == name);
    if other || name == "header" || name == "similar_to" {
        let fix = if method { format!("write {name}(…)") } else { format!("write value.{name}(…)") };
        return refuse(id, format!("{name}() is called the wrong way"), fix);
    }
    let fix = nearest(name, NAMES.iter().copied())
        .map_or_else(|| format!("there are {}", NAMES.join(", ")), |near| format!("did you mean `{near}`?"));
    refuse(id, format!("unknown function `{name}`"), fix)
}

const REQUEST: &[&str] = &["model", "stream", "input_tokens", "max_tokens", "has_tools", "has_images", "text"];

fn fields(root: &str) -> &'static [&'static str] {
    match root {
        "request" => REQUEST,
        "prompt" => &["name", "version", "label"],
        "key" => &["id", "name", "project", "tags"],
        _ => &["hour", "weekday"],
    }
}

fn field(id: u64, root: &str, rest: &[&str]) -> Result<(Fact, Ty), BadNode> {
    let known = fields(root);
    let Some((name, deeper)) = rest.split_first() else {
        return refuse(id, format!("`{root}` is no value by itself"), format!("name a field: {}", known.join(", ")));
    };
    let found = match (root, *name) {
        ("request", "model") => (Fact::Model, Ty::Text),
        ("request", "stream") => (Fact::Stream, Ty::Bool),
        ("request", "input_tokens") => (Fact::InputTokens, Ty::Int),
        ("request", "max_tokens") => (Fact::MaxTokens, Ty::Int),
        ("request", "has_tools") => (Fact::HasTools, Ty::Bool),
        ("request", "has_images") => (Fact::HasImages, Ty::Bool),
        ("request", "text") => (Fact::Text, Ty::Text),
        ("prompt", "name") => (Fact::PromptName, Ty::Text),
        ("prompt", "version") => (Fact::PromptVersion, Ty::Int),
        ("prompt", "label") => (Fact::PromptLabel, Ty::Text),
        ("key", "id") => (Fact::KeyId, Ty::Text),
        ("key", "name") => (Fact::KeyName, Ty::Text),
        ("key", "project") => (Fact::KeyProject, Ty::Text),
        ("key", "tags") => (Fact::Tags, Ty::Map),
        ("now", "hour") => (Fact::Hour, Ty::Int),
        ("now", "weekday") => (Fact::Weekday, Ty::Int),
        _ => {
            let fix = nearest(name, known.iter().copied()).map_or_else(
                || format!("its fields are {}", known.join(", ")),
                |near| format!("did you mean `{root}.{near}`?"),
            );
            return refuse(id, format!("`{root}` has no field `{name}`"), fix);
        }
    };
    if deeper.is_empty() {
        return Ok(found);
    }
    refuse(id, format!("`{root}.{name}` has no fields"), "compare it with a value")
}

fn known_variables(unknown: &str) -> String {
    let roots = ["request", "prompt", "key", "metadata", "header", "now", "budget_used", "complexity"];
    nearest(unknown, roots).map_or_else(
        || format!("there are {}; put text in quotes", roots.join(", ")),
        |near| format!("did you mean `{near}`?"),
    )
}
