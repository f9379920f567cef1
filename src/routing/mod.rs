//! Which targets a call gets, in which order: rules, weights, cooling and retry budgets. No I/O, no clock.

mod affinity;
mod backoff;
mod breaker;
mod budget;
mod check;
mod compile;
mod compile_semantic;
mod complexity;
mod examples;
mod facts;
mod figures;
mod health;
mod infer;
mod min_speed;
mod pick;
mod plan;
mod quick;
mod ranking;
mod rate;
mod ratios;
mod recent;
mod rehearsed;
mod rule;
mod sessions;
mod signals;
mod slots;
mod spec;
mod strategy;
mod target;
mod trace;

#[cfg(test)]
mod tests;

pub use affinity::{Affinity, Follows};
pub use breaker::{Fault, Standing};
pub use complexity::Complexity;
pub use examples::{ExampleSet, Similarity};
pub use facts::{Facts, KeyFacts, Needs, PromptFacts};
pub use figures::{Expected, Figures, Load};
pub use health::{Asking, Entry, Health, TargetHealth};
pub use min_speed::MinSpeed;
pub use plan::{NoPlan, Plan, Routes};
pub use ranking::Scored;
pub use ratios::Ratios;
pub use rehearsed::Rehearsed;
pub use sessions::{SessionKey, Sessions};
pub use signals::{Figure, Signals, TargetSignals, Underway};
pub use spec::{
    AllCooling, CacheMode, CachePolicy, CacheScope, Defaults, ExampleSpec, ModelSpec, Order, RouteSpec, Spanned, Spec,
    StickyBy, StoreBodies, TargetSpec,
};
pub use strategy::{At, Failing, InTurn, Outcome, Repaired, Step, Strategy};
pub use target::Target;
pub use trace::{Candidate, RuleTrace, Trace};
