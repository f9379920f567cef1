//! Which targets a call gets, in which order: rules, weights, cooling and retry budgets. No I/O, no clock.

mod backoff;
mod breaker;
mod budget;
mod check;
mod compile;
mod complexity;
mod facts;
mod health;
mod infer;
mod pick;
mod plan;
mod rule;
mod slots;
mod spec;
mod strategy;
mod target;
mod trace;

#[cfg(test)]
mod tests;

pub use breaker::{Fault, Standing};
pub use complexity::Complexity;
pub use facts::{Facts, KeyFacts, Needs, PromptFacts};
pub use health::{Asking, Health, TargetHealth};
pub use plan::{NoPlan, Plan, Routes};
pub use spec::{
    AllCooling, CacheMode, CachePolicy, CacheScope, Defaults, ModelSpec, Order, RouteSpec, Spanned, Spec, StickyBy,
    StoreBodies, TargetSpec,
};
pub use strategy::{At, Failing, InTurn, Outcome, Repaired, Step, Strategy};
pub use target::Target;
pub use trace::{Candidate, RuleTrace, Trace};
