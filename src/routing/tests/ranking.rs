//! Tests of ranked routes: tables, and properties over random figures.

use proptest::strategy::Strategy as Chances;

use super::*;
use crate::types::{Nanos, Share};

/// The figures of a test, by target.
#[derive(Default)]
struct Known {
    signals: Signals,
    sessions: Sessions,
    costs: BTreeMap<String, i64>,
    loads: BTreeMap<String, Load>,
    prefix: u64,
}

impl Known {
    fn with<T>(&self, facts: &Facts<'_>, use_it: impl FnOnce(&Facts<'_>) -> T) -> T {
        let cost = |target: &Target| {
            let cost = self.costs.get(&*target.id).copied().map(Nanos);
            Expected { input: 30, output: 10, cost }
        };
        let load =
            |target: &Target| self.loads.get(&*target.id).copied().unwrap_or(Load { most: 8, ..Load::default() });
        let prefix = || self.prefix;
        let Self { signals, sessions, .. } = self;
        let figures = Figures { signals, sessions, cost: &cost, load: &load, prefix: &prefix };
        use_it(&Facts { figures: Some(&figures), ..*facts })
    }

    fn plan(&self, routes: &Routes, facts: &Facts<'_>, (health, dice): (&Health, f64)) -> Plan {
        self.with(facts, |facts| routes.plan(facts, health, dice).unwrap())
    }

    fn first(&self, routes: &Routes, dice: f64) -> String {
        let plan = self.plan(routes, &Call::new().facts("x"), (&Health::default(), dice));
        plan.targets[0].id.to_string()
    }

    /// `target`'s streams take so long to begin, as measured at `at`.
    fn measure(&self, routes: &Routes, target: &str, millis: u64, at: Timestamp) {
        let target = routes.target(target).unwrap();
        self.signals.enter(&target, true).answered(Duration::from_millis(millis), at);
    }
}

const THREE: [(&str, u32); 3] = [("lora", 1), ("fast", 1), ("smart", 1)];
const LORA: &str = "house/v3";
const FAST: &str = "openai/gpt-4o-mini";
const SMART: &str = "openai/gpt-4o";

fn by(strategy: Order, targets: &[(&str, u32)]) -> RouteSpec {
    RouteSpec { strategy, ..route("r", targets) }
}

fn routes(spec: RouteSpec) -> Routes {
    compile(&[spec]).unwrap()
}

fn cool(health: &Health, routes: &Routes, target: &str, at: Timestamp) {
    let fault = Fault::Throttled { retry_after: Some(Duration::from_secs(60)) };
    health.failed(asking(&routes.target(target).unwrap(), at), fault, at, 0.5);
}

fn costs(costs: &[(&str, i64)]) -> Known {
    Known { costs: costs.iter().map(|(id, cost)| ((*id).to_owned(), *cost)).collect(), ..Known::default() }
}

#[test]
fn the_cheapest_goes_first_and_what_has_no_price_last() {
    let call = Call::new();
    let spec = RouteSpec { fallbacks: vec![spanned("openai/backup")], ..by(Order::Cheapest, &THREE) };
    let routes = routes(spec);
    let order = |known: &Known| ids(&known.plan(&routes, &call.facts("x"), (&Health::default(), 0.9))).join(" ");
    assert_eq!(order(&costs(&[(LORA, 30), (FAST, 10), (SMART, 20)])), format!("{FAST} {SMART} {LORA} openai/backup"));
    assert_eq!(order(&costs(&[(FAST, 10), (SMART, 0)])), format!("{SMART} {FAST} {LORA} openai/backup"));
    // Equal ones, and those without a price, in the file's order.
    assert_eq!(order(&costs(&[(SMART, 5), (FAST, 5)])), format!("{FAST} {SMART} {LORA} openai/backup"));
    assert_eq!(order(&Known::default()), format!("{LORA} {FAST} {SMART} openai/backup"));
    let health = Health::default();
    cool(&health, &routes, "fast", NOW);
    let cheap = costs(&[(FAST, 1), (SMART, 2)]);
    let plan = cheap.plan(&routes, &call.facts("x"), (&health, 0.9));
    assert_eq!(ids(&plan), [SMART, LORA, "openai/backup", FAST]);
}

#[test]
fn a_target_of_weight_0_is_out_and_other_weights_are_not_read() {
    for strategy in [Order::Cheapest, Order::Fastest, Order::LeastBusy] {
        let routes = routes(by(strategy, &[("lora", 0), ("fast", 90), ("smart", 1)]));
        let known = costs(&[(LORA, 0), (FAST, 2), (SMART, 1)]);
        known.measure(&routes, "lora", 1, NOW);
        known.measure(&routes, "fast", 20, NOW);
        known.measure(&routes, "smart", 10, NOW);
        let loads = [(FAST.to_owned(), Load { in_flight: 5, most: 8, others: None })];
        let plan =
            Known { loads: loads.into(), ..known }.plan(&routes, &Call::new().facts("x"), (&Health::default(), 0.3));
        assert_eq!(ids(&plan), [SMART, FAST], "{strategy:?}");
        assert_eq!(plan.follows.signals, strategy != Order::Cheapest);
    }
}

#[test]
fn the_faster_of_two_goes_first_and_the_slowest_of_three_never() {
    let routes = routes(by(Order::Fastest, &THREE));
    let known = Known::default();
    for (target, millis) in [("lora", 300), ("fast", 100), ("smart", 200)] {
        known.measure(&routes, target, millis, NOW);
    }
    let mut counts = BTreeMap::new();
    for throw in 0..9_000 {
        *counts.entry(known.first(&routes, (f64::from(throw) + 0.5) / 9_000.0)).or_insert(0) += 1;
    }
    // Of the three pairs, two have the fastest in them.
    assert_eq!(counts, BTreeMap::from([(FAST.to_owned(), 6_000), (SMART.to_owned(), 3_000)]));
    let plan = known.plan(&routes, &Call::new().facts("x"), (&Health::default(), 0.0));
    assert_eq!(ids(&plan).len(), 3);
    assert_eq!(ids(&plan).last(), Some(&LORA), "the others by their speed");
}

#[test]
fn cold_targets_get_their_share_and_all_cold_ones_go_in_order() {
    let routes = routes(by(Order::Fastest, &THREE));
    let known = Known::default();
    for dice in [0.0, 0.5, 0.99] {
        assert_eq!(known.first(&routes, dice), LORA);
    }
    known.measure(&routes, "smart", 100, NOW);
    let mut counts = BTreeMap::new();
    for throw in 0..10_000 {
        *counts.entry(known.first(&routes, (f64::from(throw) + 0.5) / 10_000.0)).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(FAST.to_owned(), 250), (LORA.to_owned(), 250), (SMART.to_owned(), 9_500)]));
    // A figure from long ago makes a target cold again.
    let long_ago = Timestamp(NOW.0 - 180_000_000);
    known.measure(&routes, "fast", 1, long_ago);
    let fast = (0..1_000).filter(|throw| known.first(&routes, f64::from(*throw) / 1_000.0) == FAST).count();
    assert_eq!(fast, 25);
}

#[test]
fn streams_and_whole_answers_are_measured_apart() {
    let routes = routes(by(Order::Fastest, &[("lora", 1), ("fast", 1)]));
    let (known, call) = (Known::default(), Call::new());
    known.measure(&routes, "lora", 50, NOW);
    known.measure(&routes, "fast", 90, NOW);
    for (target, millis) in [("lora", 9_000), ("fast", 1_000)] {
        known.signals.enter(&routes.target(target).unwrap(), false).answered(Duration::from_millis(millis), NOW);
    }
    let first = |stream| {
        let facts = Facts { stream, ..call.facts("x") };
        known.plan(&routes, &facts, (&Health::default(), 0.7)).targets[0].id.to_string()
    };
    assert_eq!((first(true), first(false)), (LORA.to_owned(), FAST.to_owned()));
}

#[test]
fn a_cooling_target_is_not_drawn_however_fast() {
    let routes = routes(by(Order::Fastest, &THREE));
    let (known, health, call) = (Known::default(), Health::default(), Call::new());
    for (target, millis) in [("lora", 300), ("fast", 1), ("smart", 200)] {
        known.measure(&routes, target, millis, NOW);
    }
    cool(&health, &routes, "fast", NOW);
    for throw in 0..100 {
        let plan = known.plan(&routes, &call.facts("x"), (&health, f64::from(throw) / 100.0));
        assert_eq!(ids(&plan), [SMART, LORA, FAST]);
    }
}

#[test]
fn the_least_busy_goes_first_by_its_places_and_its_servers_own_queue() {
    let routes = routes(by(Order::LeastBusy, &THREE));
    let load = |in_flight, most, others| Load { in_flight, most, others };
    let order = |loads: [Load; 3], dice: f64| {
        let loads = [LORA, FAST, SMART].map(str::to_owned).into_iter().zip(loads).collect();
        let known = Known { loads, ..Known::default() };
        let plan = known.plan(&routes, &Call::new().facts("x"), (&Health::default(), dice));
        ids(&plan).join(" ")
    };
    let busy = [load(2, 4, None), load(2, 8, None), load(0, 8, None)];
    assert_eq!(order(busy, 0.4), format!("{SMART} {FAST} {LORA}"));
    let queued = [load(0, 8, Some(0)), load(0, 8, Some(9)), load(1, 8, None)];
    assert_eq!(order(queued, 0.8), format!("{LORA} {SMART} {FAST}"));
    // Idle ones share the calls.
    let firsts = (0..300).map(|throw| order([Load::default(); 3], (f64::from(throw) + 0.5) / 300.0));
    let mut counts = BTreeMap::new();
    firsts.for_each(|order| *counts.entry(order.split(' ').next().unwrap().to_owned()).or_insert(0) += 1);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [100, 100, 100]);
}

#[test]
fn of_one_providers_models_the_one_with_fewer_calls_goes_first() {
    let routes = routes(by(Order::LeastBusy, &[("fast", 1), ("smart", 1)]));
    let known = Known::default();
    let _held = known.signals.enter(&routes.target("fast").unwrap(), true);
    for dice in [0.1, 0.9] {
        assert_eq!(known.first(&routes, dice), SMART);
    }
}

#[test]
fn a_session_goes_where_it_was_answered_and_revives_nothing() {
    let call = Call::new();
    let (known, healthy) = (Known::default(), Health::default());
    let with = |targets: &[(&str, u32)], strategy| {
        let fallbacks = vec![spanned("openai/backup")];
        routes(RouteSpec { affinity: Affinity::Session, fallbacks, ..by(strategy, targets) })
    };
    let facts = Facts { session: Some("s1"), ..call.facts("x") };
    let plan = |routes: &Routes, facts: &Facts<'_>, health: &Health| known.plan(routes, facts, (health, 0.0));
    let weighted = with(&THREE, Order::Weighted);
    let first = plan(&weighted, &facts, &healthy);
    assert_eq!(ids(&first), [LORA, "openai/backup", FAST, SMART]);
    let key = first.follows.session.unwrap();
    known.sessions.bind(key, &weighted.target("smart").unwrap(), NOW);
    for strategy in [Order::Weighted, Order::Priority, Order::Cheapest, Order::Fastest, Order::LeastBusy] {
        let routes = with(&THREE, strategy);
        let bound = plan(&routes, &facts, &healthy);
        assert_eq!((ids(&bound)[0], ids(&bound).len()), (SMART, 4), "{strategy:?}");
        // Neither weight 0, nor cooling, nor a reload that took it out, nor another route.
        let mut out = THREE;
        out[2].1 = 0;
        assert_ne!(ids(&plan(&with(&out, strategy), &facts, &healthy))[0], SMART, "{strategy:?}");
        let cooling = Health::default();
        cool(&cooling, &routes, "smart", NOW);
        let cooled = plan(&routes, &facts, &cooling);
        assert_eq!(ids(&cooled).last(), Some(&SMART), "{strategy:?}");
        let gone = plan(&with(&THREE[..2], strategy), &facts, &healthy);
        assert!(!ids(&gone).contains(&SMART), "{strategy:?}");
        // Another session, and none.
        let other = plan(&routes, &Facts { session: Some("s2"), ..facts }, &healthy);
        assert_ne!(ids(&other)[0], SMART, "{strategy:?}");
        for session in [None, Some("")] {
            assert_eq!(plan(&routes, &Facts { session, ..facts }, &healthy).follows.session, None);
        }
        let later = Facts { now: NOW.plus(Duration::from_secs(3_600)), ..facts };
        assert_ne!(ids(&plan(&routes, &later, &healthy))[0], SMART, "{strategy:?}");
    }
    let backup = weighted.target("openai/backup").unwrap();
    known.sessions.bind(key, &backup, NOW);
    assert_eq!(ids(&plan(&weighted, &facts, &healthy)), ["openai/backup", LORA, FAST, SMART]);
}

#[test]
fn a_session_stays_at_a_fallback_of_weight_0_and_at_nothing_that_cools_or_that_a_budget_goes_before() {
    let call = Call::new();
    let (known, healthy) = (Known::default(), Health::default());
    let facts = Facts { session: Some("s1"), ..call.facts("x") };
    let mut targets = THREE;
    targets[2].1 = 0;
    let spec = RouteSpec { affinity: Affinity::Session, ..by(Order::Weighted, &targets) };
    let budget = Some(OnBudgetSpec { above: Share::of(0.8).unwrap(), models: vec![spanned("fast")] });
    let causes = CausesSpec { budget, ..CausesSpec::default() };
    let routes = routes(RouteSpec { fallbacks: vec![spanned("smart")], causes, ..spec });
    let smart = routes.target("smart").unwrap();
    let key = known.plan(&routes, &facts, (&healthy, 0.0)).follows.session.unwrap();
    known.sessions.bind(key, &smart, NOW);
    let plan = |facts: &Facts<'_>| known.plan(&routes, facts, (&healthy, 0.0));
    assert_eq!(ids(&plan(&facts))[0], SMART, "a fallback takes calls, whatever its weight is elsewhere");
    let over = plan(&Facts { budget_used: 0.81, ..facts });
    assert_eq!((ids(&over)[0], over.follows.session), (FAST, None));
    let cooling = Health::default();
    cool(&cooling, &routes, "smart", NOW);
    let bound = |health: &Health| {
        let trace = known.with(&facts, |facts| routes.trace(facts, health, 0.0));
        let mut bound = trace.candidates.iter().filter(|one| one.reason.contains("this session"));
        bound.next().map(|one| one.model.to_string())
    };
    assert_eq!((bound(&healthy).as_deref(), bound(&cooling)), (Some(SMART), None), "none goes to what cools");
}

#[test]
fn the_others_keep_their_order_behind_a_sessions_target_and_the_trace_shows_it() {
    let call = Call::new();
    let (known, healthy) = (Known::default(), Health::default());
    let routes = routes(RouteSpec { affinity: Affinity::Session, ..by(Order::Priority, &THREE) });
    let facts = Facts { session: Some("s1"), ..call.facts("x") };
    let first = known.plan(&routes, &facts, (&healthy, 0.0));
    assert!(first.trace().contains(&format!(r#""decision":"{LORA}""#)), "{}", first.trace());
    known.sessions.bind(first.follows.session.unwrap(), &routes.target("smart").unwrap(), NOW);
    let bound = known.plan(&routes, &facts, (&healthy, 0.0));
    assert_eq!(ids(&bound), [SMART, LORA, FAST]);
    assert!(bound.trace().contains(&format!(r#""decision":"{SMART}""#)), "{}", bound.trace());
}

#[test]
fn a_session_of_another_project_has_another_binding() {
    let call = Call::new();
    let routes = routes(RouteSpec { affinity: Affinity::Session, ..by(Order::Weighted, &THREE) });
    let known = Known::default();
    let mine = Facts { session: Some("s1"), ..call.facts("x") };
    let theirs = Facts { key: KeyFacts { project: "other", ..mine.key }, ..mine };
    let key = known.plan(&routes, &mine, (&Health::default(), 0.0)).follows.session.unwrap();
    known.sessions.bind(key, &routes.target("smart").unwrap(), NOW);
    assert_eq!(ids(&known.plan(&routes, &theirs, (&Health::default(), 0.0)))[0], LORA);
}

#[test]
fn prompts_are_spread_by_weight_and_a_new_target_takes_only_its_share() {
    let spec =
        |targets: &[(&str, u32)]| routes(RouteSpec { affinity: Affinity::PromptCache, ..by(Order::Weighted, targets) });
    let (two, three) = (spec(&[("lora", 3), ("fast", 1)]), spec(&[("lora", 3), ("fast", 1), ("smart", 4)]));
    let home = |routes: &Routes, prefix: u64| Known { prefix, ..Known::default() }.first(routes, 0.5);
    let (mut lora, mut moved) = (0, 0);
    for prefix in (0..4_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        let (before, after) = (home(&two, prefix), home(&three, prefix));
        lora += u32::from(before == LORA);
        moved += u32::from(before != after);
        assert!(after == before || after == SMART, "a prompt moves to nothing but the new target");
    }
    assert!((2_900..3_100).contains(&lora), "{lora}");
    assert!((1_900..2_100).contains(&moved), "{moved}");
}

#[test]
fn a_prompt_whose_home_cools_goes_to_the_next_and_returns() {
    let routes = routes(RouteSpec { affinity: Affinity::PromptCache, ..by(Order::Weighted, &THREE) });
    let (known, health, call) = (Known { prefix: 7, ..Known::default() }, Health::default(), Call::new());
    let plan = known.plan(&routes, &call.facts("x"), (&health, 0.1));
    assert_eq!(plan, known.plan(&routes, &call.facts("x"), (&health, 0.9)), "chance has no say");
    let order: Vec<String> = ids(&plan).into_iter().map(str::to_owned).collect();
    cool(&health, &routes, &order[0], NOW);
    let cooled = known.plan(&routes, &call.facts("x"), (&health, 0.1));
    assert_eq!(ids(&cooled), [&order[1], &order[2], &order[0]]);
}

#[test]
fn a_trace_shows_each_score_with_its_unit() {
    let call = Call::new();
    let shown = |known: &Known, spec: RouteSpec, facts: &Facts<'_>| {
        let routes = routes(spec);
        let trace = known.with(facts, |facts| routes.trace(facts, &Health::default(), 0.9));
        let row = |one: &Candidate| {
            let score = one.score.as_ref().map_or_else(String::new, |score| {
                let value = score.value.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
                format!(": {value} {} ({})", score.unit, score.why)
            });
            format!("{} {}{score}", one.model, one.reason)
        };
        trace.candidates.iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let known = costs(&[(FAST, 12_000)]);
    insta::assert_snapshot!(shown(&known, by(Order::Cheapest, &THREE[..2]), &call.facts("x")), @r#"
    openai/gpt-4o-mini target, first by expected cost: "0.000012" usd (about 30 tokens are read, and 10 are expected to be written)
    house/v3 target, second by expected cost: unknown usd (no price is known, so every target with a price goes before)
    "#);
    let measured = routes(by(Order::Fastest, &THREE));
    known.measure(&measured, "fast", 120, Timestamp(NOW.0 - 5_000_000));
    known.measure(&measured, "smart", 80, Timestamp(NOW.0 - 500_000_000));
    insta::assert_snapshot!(shown(&known, by(Order::Fastest, &THREE), &call.facts("x")), @r"
    openai/gpt-4o-mini target, the faster of two drawn: 120.0 ms to the first token (a mean of the last calls, the last 5 s ago)
    house/v3 target, second by speed: unknown ms to the first token (nothing is measured yet: such targets get 5 % of the calls)
    openai/gpt-4o target, third by speed: 80.0 ms to the first token (measured 500 s ago, which is too old to count: such targets get 5 % of the calls)
    ");
    let loads = [(LORA.to_owned(), Load { in_flight: 2, most: 8, others: Some(3) })].into();
    let busy = Known { loads, ..Known::default() };
    insta::assert_snapshot!(shown(&busy, by(Order::LeastBusy, &THREE[..2]), &call.facts("x")), @r"
    openai/gpt-4o-mini target, first by calls under way: 0.0 share of places taken (0 of 8 calls of its provider are under way; 0 are its own)
    house/v3 target, second by calls under way: 0.625 share of places taken (2 of 8 calls of its provider are under way, 3 of others at its server; 0 are its own)
    ");
    let kept = RouteSpec { affinity: Affinity::Session, ..by(Order::Priority, &THREE[..2]) };
    let facts = Facts { session: Some("s"), ..call.facts("x") };
    let key = SessionKey::of("shop", "r", "s");
    busy.sessions.bind(key, &measured.target("fast").unwrap(), NOW);
    insta::assert_snapshot!(shown(&busy, kept, &facts), @r"
    openai/gpt-4o-mini target, second of 2, where this session was answered last
    house/v3 target, first of 2
    ");
    let hashed = RouteSpec { affinity: Affinity::PromptCache, ..by(Order::Weighted, &THREE[..2]) };
    let shown = shown(&busy, hashed, &facts);
    assert!(shown.contains(" target, weight 1 of 2: ") && shown.matches(" hash (").count() == 2, "{shown}");
}

#[test]
fn a_row_names_the_strategy() {
    let spec = RouteSpec { affinity: Affinity::Session, ..by(Order::LeastBusy, &THREE) };
    let routes = routes(spec);
    let row = &routes.list()[0];
    assert_eq!(
        (&row["strategy"], &row["affinity"], &row["sticky_by"]),
        (&"least_busy".into(), &"session".into(), &"none".into())
    );
    assert!(routes.read_load_of("house") && !routes.read_load_of("nobody") && !routes.read_ratios());
}

/// A target's figures as chance has them.
#[derive(Clone, Debug)]
struct Chance {
    weight: u32,
    cost: Option<i64>,
    times: Vec<(u64, bool)>,
    under_way: usize,
    is_cooling: bool,
}

fn chance() -> impl Chances<Value = Chance> {
    let times = proptest::collection::vec((1u64..5_000, any::<bool>()), 0..5);
    (0u32..3, proptest::option::of(0i64..50), times, 0usize..4, any::<bool>())
        .prop_map(|(weight, cost, times, under_way, is_cooling)| Chance { weight, cost, times, under_way, is_cooling })
}

const STRATEGIES: [(Order, Affinity); 8] = [
    (Order::Weighted, Affinity::None),
    (Order::Weighted, Affinity::Session),
    (Order::Weighted, Affinity::PromptCache),
    (Order::Priority, Affinity::Session),
    (Order::Cheapest, Affinity::None),
    (Order::Cheapest, Affinity::Session),
    (Order::Fastest, Affinity::Session),
    (Order::LeastBusy, Affinity::Session),
];

proptest! {
    #[test]
    fn whatever_the_figures_a_plan_holds_each_target_once_and_no_excluded_one_first(
        chances in proptest::collection::vec(chance(), 3),
        bound in proptest::option::of(0usize..4),
        prefix: u64,
        dice in 0.0..1.0f64,
    ) {
        prop_assume!(chances.iter().any(|one| one.weight > 0));
        let names = ["lora", "fast", "smart"];
        let targets: Vec<(&str, u32)> = names.iter().copied().zip(chances.iter().map(|one| one.weight)).collect();
        for (strategy, affinity) in STRATEGIES {
            let spec = RouteSpec { affinity, fallbacks: vec![spanned("openai/backup")], ..by(strategy, &targets) };
            let routes = routes(spec);
            let (health, mut known) = (Health::default(), Known { prefix, ..Known::default() });
            let mut held = Vec::new();
            for (name, one) in names.iter().zip(&chances) {
                let target = routes.target(name).unwrap();
                if let Some(cost) = one.cost {
                    known.costs.insert(target.id.to_string(), cost);
                }
                for (millis, is_good) in &one.times {
                    let call = known.signals.enter(&target, true);
                    let took = Duration::from_millis(*millis);
                    if *is_good { call.answered(took, NOW) } else { call.failed(took, NOW) }
                }
                held.extend((0..one.under_way).map(|_| known.signals.enter(&target, true)));
                if one.is_cooling {
                    cool(&health, &routes, name, NOW);
                }
            }
            let call = Call::new();
            let facts = Facts { session: Some("s"), ..call.facts("x") };
            if let Some(place) = bound {
                let target = routes.target(names.get(place).copied().unwrap_or("openai/backup")).unwrap();
                known.sessions.bind(SessionKey::of("shop", "r", "s"), &target, NOW);
            }
            let plan = known.plan(&routes, &facts, (&health, dice));
            let again = known.plan(&routes, &facts, (&health, dice));
            prop_assert_eq!(ids(&plan), ids(&again), "the same figures, the same order");
            let planned = ids(&plan);
            let mut once = planned.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), planned.len(), "{:?} {:?}", strategy, &planned);
            prop_assert!(planned.contains(&"openai/backup"));
            let of = |id: &str| names.iter().position(|name| &*routes.target(name).unwrap().id == id);
            let is_out = |id: &str| of(id).is_some_and(|place| chances[place].weight == 0);
            let cools = |id: &str| of(id).is_some_and(|place| chances[place].is_cooling);
            // The file alone decides of `priority`, as it always did; a session changes nothing about that.
            prop_assert!(strategy == Order::Priority || !planned.iter().any(|id| is_out(id)));
            prop_assert!(!cools(planned[0]), "the fallback is well, so nothing that cools goes first");
            let calm = planned.iter().take_while(|id| !cools(id)).count();
            prop_assert!(planned[calm..].iter().all(|id| cools(id)), "what cools is last: {:?}", &planned);
            let trace = known.with(&facts, |facts| routes.trace(facts, &health, dice));
            prop_assert_eq!(trace.candidates.iter().map(|one| &*one.model).collect::<Vec<_>>(), planned);
            drop(held);
        }
    }

    #[test]
    fn of_many_fast_targets_none_gets_more_than_its_draws(
        times in proptest::collection::vec(1u64..2_000, 3),
        seed in 0.0..1.0f64,
    ) {
        let routes = routes(by(Order::Fastest, &THREE));
        let known = Known::default();
        for ((name, _), millis) in THREE.iter().zip(&times) {
            known.measure(&routes, name, *millis, NOW);
        }
        let mut counts = BTreeMap::new();
        for throw in 0..600 {
            let dice = (f64::from(throw) / 600.0 + seed / 600.0).min(1.0);
            *counts.entry(known.first(&routes, dice)).or_insert(0u32) += 1;
        }
        let most = counts.values().copied().max().unwrap();
        prop_assert!(most <= 402, "two of three draws have the fastest: {:?}", counts);
    }
}

#[test]
fn a_target_that_fails_at_once_loses_the_calls_to_a_slow_one() {
    let routes = routes(by(Order::Fastest, &[("lora", 1), ("fast", 1)]));
    let known = Known::default();
    known.measure(&routes, "lora", 900, NOW);
    known.signals.enter(&routes.target("fast").unwrap(), true).failed(Duration::from_millis(2), NOW);
    assert!((0..100).all(|throw| known.first(&routes, f64::from(throw) / 100.0) == LORA));
}
