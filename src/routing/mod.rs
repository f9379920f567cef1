//! Which targets a call gets, in which order: rules, weights, cooling and retry budgets. No I/O, no clock.

mod accept;
mod affinity;
mod backoff;
mod breaker;
mod budget;
mod cascade;
mod causes;
mod check;
mod compile;
mod compile_beside;
mod compile_semantic;
mod complexity;
mod examples;
mod facts;
mod figures;
mod foreign;
mod health;
mod hedge;
mod infer;
mod min_speed;
mod no_plan;
mod pick;
mod places;
mod plan;
mod quick;
mod ranking;
mod rate;
mod ratios;
mod recent;
mod refusal;
mod rehearsed;
mod rule;
mod sessions;
mod shadow;
mod shown;
mod signals;
mod slots;
mod spec;
mod strategy;
mod target;
mod trace;

#[cfg(test)]
mod tests;

pub use accept::{Accept, Checks, NotAccepted, Shown, mean_logprob, text_of};
pub use affinity::{Affinity, Follows};
pub use breaker::{Fault, Standing};
pub use cascade::{Cascade, CascadeStep};
pub use causes::{Cause, Causes};
pub use complexity::Complexity;
pub use examples::{ExampleSet, Similarity};
pub use facts::{Facts, KeyFacts, Needs, PromptFacts};
pub use figures::{Expected, Figures, Load};
pub use health::{Asking, Entry, Health, TargetHealth};
pub use hedge::{HedgePolicy, Hedges, Patience, Reserved, RouteSpend, SpendShown};
pub use min_speed::MinSpeed;
pub use no_plan::NoPlan;
pub use plan::{Plan, Routes};
pub use ranking::Scored;
pub use ratios::Ratios;
pub use rehearsed::Rehearsed;
pub use sessions::{SessionKey, Sessions};
pub use shadow::Shadow;
pub use signals::{Figure, Signals, TargetSignals, Underway};
pub use spec::{
    AcceptSpec, After, AllCooling, CacheMode, CachePolicy, CacheScope, CausesSpec, Defaults, ExampleSpec, HedgeSpec,
    ModelSpec, OnBudgetSpec, Order, RouteSpec, ShadowSpec, Spanned, Spec, StickyBy, StoreBodies, TargetSpec,
};
pub use strategy::{
    At, ByCause, Cascading, Failing, Hedged, InTurn, Lane, Outcome, Race, RaceOutcome, RaceStep, Repaired, Step,
    Strategy,
};
pub use target::Target;
pub use trace::{Candidate, RuleTrace, Trace};
