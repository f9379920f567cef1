//! Which targets a call gets, in which order: rules, weights, cooling and retry budgets. No I/O, no clock.

mod backoff;
mod breaker;
mod budget;
mod check;
mod compile;
mod facts;
mod health;
mod infer;
mod pick;
mod plan;
mod rule;
mod slots;
mod spec;
mod trace;

#[cfg(test)]
mod tests;

pub use backoff::backoff;
pub use breaker::{Fault, Standing};
pub use facts::{Facts, KeyFacts, Needs, PromptFacts};
pub use health::{Health, TargetHealth};
pub use plan::{NoPlan, Plan, Routes, Target};
pub use spec::{
    CacheMode, CachePolicy, CacheScope, Defaults, ModelSpec, Problem, RouteSpec, Said, Spec, StickyBy, StoreBodies,
    Strategy, TargetSpec,
};
pub use trace::{Candidate, RuleTrace, Trace};
