//! Targets that fail: whose calls they cool for, and for how long.

use super::*;

#[test]
fn a_cooling_target_is_tried_last_and_when_all_cool_the_first_to_recover_is_first() {
    let call = Call::new();
    let routes = compile(&[RouteSpec { fallbacks: vec![spanned("fast")], ..route("r", &[("lora", 1)]) }]).unwrap();
    let health = Health::default();
    let plan = |now| routes.plan(&Facts { now, ..call.facts("x") }, &health, 0.5);
    let (lora, fast) = (routes.target("lora").unwrap(), routes.target("fast").unwrap());
    for _ in 0..5 {
        assert_eq!(ids(&plan(NOW).unwrap()), ["house/v3", "openai/gpt-4o-mini"]);
        health.failed(asking(&lora, NOW), Fault::Broken, NOW, 1.0);
    }
    assert_eq!(ids(&plan(NOW).unwrap()), ["openai/gpt-4o-mini", "house/v3"]);
    assert_eq!(health.enter(asking(&lora, NOW)), Entry::Closed);
    health.failed(asking(&fast, NOW), Fault::Throttled { retry_after: Some(Duration::from_secs(9)) }, NOW, 0.5);
    let all_cool = plan(NOW).unwrap();
    assert_eq!(all_cool.cooling, Some(Duration::from_secs(1)));
    assert_eq!(ids(&all_cool), ["house/v3", "openai/gpt-4o-mini"]);
    let later = NOW.plus(Duration::from_secs(1));
    assert_eq!(ids(&plan(later).unwrap()), ["house/v3", "openai/gpt-4o-mini"]);
    assert_eq!(plan(later).unwrap().cooling, None);
    assert_eq!([health.enter(asking(&lora, later)), health.enter(asking(&lora, later))], [Entry::Probe, Entry::Closed]);
    assert_eq!(plan(later).unwrap().cooling, Some(Duration::from_secs(1)));
    health.succeeded(asking(&lora, later), later);
    assert!((0..9).all(|_| health.enter(asking(&lora, later)) == Entry::Open));
    let rows = health.troubled(later);
    assert_eq!(rows.len(), 1);
    assert_eq!((&*rows[0].target, rows[0].state), ("openai/gpt-4o-mini", "cooling"));
}

fn states(health: &Health, target: &Target, keys: &[&str], now: Timestamp) -> Vec<bool> {
    keys.iter().map(|key| health.state(target, key, now).is_open()).collect()
}

#[test]
fn the_faults_of_one_keys_calls_cool_a_target_for_that_key_only() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    for fault in [Fault::Broken, Fault::Slow, Fault::Throttled { retry_after: None }] {
        let health = Health::default();
        let mut now = NOW;
        for _ in 0..200 {
            let _called_all_the_same = health.enter(of_key(&lora, "a", now));
            health.failed(of_key(&lora, "a", now), fault, now, 1.0);
            assert_eq!(health.enter(of_key(&lora, "b", now)), Entry::Open, "{fault:?}");
            now = now.plus(Duration::from_millis(700));
        }
        assert_eq!(health.troubled(now)[0].keys, Some(1));
        let health = Health::default();
        // What it mixes with good answers stays its own as well.
        for n in 0..200 {
            let asking = of_key(&lora, "a", now);
            if n % 6 == 5 {
                health.succeeded(asking, now);
            } else {
                health.failed(asking, fault, now, 1.0);
            }
            assert_eq!(states(&health, &lora, &["b"], now), [true], "{fault:?} {n}");
        }
    }
}

#[test]
fn the_faults_of_several_keys_cool_a_target_for_all() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    for (keys, cools) in [(&["a"][..], false), (&["a", "b"], true), (&["a", "b", "c", "d", "e"], true)] {
        for fault in [Fault::Broken, Fault::Slow] {
            let health = Health::default();
            for n in 0..8 {
                health.failed(of_key(&lora, keys[n % keys.len()], NOW), fault, NOW, 1.0);
            }
            assert_eq!(states(&health, &lora, &["stranger"], NOW), [!cools], "{keys:?} {fault:?}");
            assert_eq!(health.troubled(NOW)[0].keys, (!cools).then_some(1));
        }
    }
}

#[test]
fn what_no_call_can_cause_cools_a_target_for_all() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for _ in 0..5 {
        health.failed(of_key(&lora, "a", NOW), Fault::Unreachable, NOW, 1.0);
    }
    assert_eq!(states(&health, &lora, &["a", "b"], NOW), [false, false]);
    let health = Health::default();
    let named = Fault::Throttled { retry_after: Some(Duration::from_secs(7)) };
    health.failed(of_key(&lora, "a", NOW), named, NOW, 1.0);
    assert_eq!(states(&health, &lora, &["a", "b"], NOW), [false, false]);
}

#[test]
fn slow_answers_are_no_faults_for_all_while_the_target_answers_others() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    let mut now = NOW;
    for n in 0..100 {
        for key in ["a", "b", "c"] {
            health.failed(of_key(&lora, key, now), Fault::Slow, now, 1.0);
        }
        match n % 20 {
            0 => health.succeeded(of_key(&lora, "good", now), now),
            10 => health.ended_well(&lora, "good", now),
            _ => {}
        }
        now = now.plus(Duration::from_secs(1));
        assert!(n == 0 || health.enter(of_key(&lora, "good", now)) == Entry::Open, "{n}");
    }
}

#[test]
fn after_a_recovery_one_fault_cools_nothing() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for _ in 0..5 {
        health.failed(asking(&lora, NOW), Fault::Broken, NOW, 1.0);
    }
    let later = NOW.plus(Duration::from_secs(1));
    assert_eq!(health.enter(asking(&lora, later)), Entry::Probe);
    health.succeeded(asking(&lora, later), later);
    health.failed(asking(&lora, later), Fault::Broken, later, 1.0);
    assert_eq!(states(&health, &lora, &["k1", "b"], later), [true, true]);
}

#[test]
fn keys_with_faults_are_bounded() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    let slow = |key: &str, times: u32, now| {
        // While it answers others, slow answers are of their keys alone.
        health.failed(of_key(&lora, "good", now), Fault::Slow, now, 1.0);
        health.succeeded(of_key(&lora, "good", now), now);
        (0..times).for_each(|_| health.failed(of_key(&lora, key, now), Fault::Slow, now, 1.0));
    };
    for n in 0..3_000 {
        slow(&format!("k{n}"), if n < 9 { 5 } else { 1 }, NOW);
    }
    assert_eq!(health.troubled(NOW)[0].keys, Some(9));
    assert_eq!(states(&health, &lora, &["k0", "k9", "good"], NOW), [false, true, true]);
    slow("late", 5, NOW);
    assert_eq!(health.troubled(NOW)[0].keys, Some(9), "there is no room for one more");
    let later = NOW.plus(Duration::from_secs(61));
    slow("late", 5, later);
    assert_eq!(states(&health, &lora, &["late"], later), [false], "those whose faults are forgotten make room");
}

#[test]
fn the_faults_of_a_key_count_no_more_for_all_once_they_are_forgotten() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    health.failed(of_key(&lora, "a", NOW), Fault::Broken, NOW, 1.0);
    let later = NOW.plus(Duration::from_secs(61));
    (0..8).for_each(|_| health.failed(of_key(&lora, "b", later), Fault::Broken, later, 1.0));
    assert_eq!(states(&health, &lora, &["b", "stranger"], later), [false, true]);
}

#[test]
fn a_probe_that_fails_cools_for_all_and_for_the_key_that_probed() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for key in ["a", "b", "a", "b", "a", "b", "a", "b", "a", "b"] {
        health.failed(of_key(&lora, key, NOW), Fault::Broken, NOW, 1.0);
    }
    assert_eq!((health.troubled(NOW)[0].state, health.troubled(NOW)[0].keys), ("cooling", None), "it cools for all");
    let later = NOW.plus(Duration::from_secs(1));
    assert_eq!(health.enter(of_key(&lora, "a", later)), Entry::Probe);
    health.failed(of_key(&lora, "a", later), Fault::Broken, later, 1.0);
    let until = later.plus(Duration::from_secs(2));
    for key in ["a", "stranger"] {
        assert_eq!(health.state(&lora, key, later), Standing::Cooling { until }, "{key}");
    }
}

/// A target that cools for all calls, or for those of the key `a` alone.
fn cooled(for_all: bool) -> (Arc<Target>, Health) {
    let lora = compile(&[]).unwrap().target("lora").unwrap();
    let (health, fault) = (Health::default(), if for_all { Fault::Unreachable } else { Fault::Broken });
    (0..5).for_each(|_| health.failed(of_key(&lora, "a", NOW), fault, NOW, 1.0));
    assert_eq!(states(&health, &lora, &["a", "b"], NOW), [false, !for_all]);
    (lora, health)
}

#[test]
fn a_probe_that_is_given_up_makes_room_and_one_that_begins_to_answer_lets_others_through() {
    let later = NOW.plus(Duration::from_secs(1));
    for for_all in [true, false] {
        let (lora, health) = cooled(for_all);
        let asking = of_key(&lora, "a", later);
        for _ in 0..3 {
            assert_eq!([health.enter(asking), health.enter(asking)], [Entry::Probe, Entry::Closed], "{for_all}");
            health.abandoned(asking, later);
        }
        assert_eq!(health.enter(asking), Entry::Probe);
        health.begun(asking, later);
        assert_eq!([health.enter(asking), health.enter(of_key(&lora, "b", later))], [Entry::Open; 2], "{for_all}");
    }
}

#[test]
fn a_server_that_is_well_again_is_probed_by_its_own_models_calls_alone() {
    for for_all in [true, false] {
        let (lora, health) = cooled(for_all);
        let other = Target { provider: "house2".into(), id: "house2/m".into(), ..(*lora).clone() };
        (0..5).for_each(|_| health.failed(of_key(&other, "a", NOW), Fault::Unreachable, NOW, 1.0));
        assert!(health.server_is_down(&lora.provider, "it is down", NOW.plus(Duration::from_secs(15))));
        assert!(health.server_is_well(&lora.provider, NOW));
        assert_eq!(health.enter(of_key(&lora, "a", NOW)), Entry::Probe, "{for_all}");
        assert_eq!(health.enter(of_key(&other, "a", NOW)), Entry::Closed, "another provider's name begins alike");
    }
}

#[test]
fn what_fails_more_often_than_not_for_one_key_takes_calls_of_others() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for n in 0..60 {
        let asking = of_key(&lora, "a", NOW);
        match n % 3 {
            2 => health.succeeded(asking, NOW),
            _ => health.failed(asking, Fault::Broken, NOW, 1.0),
        }
        assert_eq!(states(&health, &lora, &["stranger"], NOW), [true], "{n}");
    }
}

#[test]
fn targets_with_faults_are_bounded() {
    let health = Health::default();
    let routes = compile(&[]).unwrap();
    for model in 0..5_000 {
        let target = routes.target(&format!("openai/{model}")).unwrap();
        health.failed(asking(&target, NOW), Fault::Broken, NOW, 0.5);
    }
    assert_eq!(health.troubled(NOW).len(), 4_096);
    let late = NOW.plus(Duration::from_secs(61));
    health.failed(asking(&routes.target("openai/late").unwrap(), late), Fault::Broken, late, 0.5);
    assert_eq!(health.troubled(NOW).len(), 1);
}

#[test]
fn a_retry_and_a_hedge_take_from_the_budgets_of_their_provider_and_of_the_process() {
    let health = Health::default();
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    for _ in 0..20 {
        health.called(&a, NOW);
    }
    // A reserve of three, and a fifth of the calls: of all calls for the process, of its own for a provider.
    assert_eq!((0..20).filter(|_| health.may_retry(&b, NOW)).count(), 3);
    assert_eq!((0..20).filter(|_| health.may_hedge(&a, NOW)).count(), 4);
    assert!(!health.may_retry(&a, NOW) && !health.may_hedge(&b, NOW));
}

#[test]
fn a_server_that_is_down_cools_its_models_and_is_probed_once_it_is_well() {
    let routes = compile(&[]).unwrap();
    let (lora, fast) = (routes.target("lora").unwrap(), routes.target("fast").unwrap());
    let health = Health::default();
    let until = NOW.plus(Duration::from_secs(15));
    assert!(!health.server_is_well(&lora.provider, NOW));
    assert!(health.server_is_down(&lora.provider, "it loads a model", until));
    assert!(!health.server_is_down(&lora.provider, "it loads a model", until));
    assert_eq!(health.state(&lora, "k", NOW), Standing::Cooling { until });
    assert_eq!((health.enter(asking(&lora, NOW)), health.enter(asking(&fast, NOW))), (Entry::Closed, Entry::Open));
    let rows = health.troubled(NOW);
    assert_eq!(
        (&*rows[0].target, rows[0].state, rows[0].reason.as_deref()),
        ("house/*", "cooling", Some("it loads a model"))
    );
    assert!(health.state(&lora, "k", until).is_open(), "a report that is overdue counts no more");
    for _ in 0..5 {
        health.failed(asking(&lora, NOW), Fault::Unreachable, NOW, 1.0);
    }
    assert!(health.server_is_well(&lora.provider, NOW) && !health.server_is_well(&lora.provider, NOW));
    assert_eq!([health.enter(asking(&lora, NOW)), health.enter(asking(&lora, NOW))], [Entry::Probe, Entry::Closed]);
    health.succeeded(asking(&lora, NOW), NOW);
    assert_eq!(health.enter(asking(&lora, NOW)), Entry::Open);
}
