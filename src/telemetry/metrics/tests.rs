//! What the metrics show, and how much of it.

use std::collections::BTreeSet;

use super::names::{NAMES, Name};
use super::*;

fn attempt<'a>(model: &'a str, cost_nanos: i64) -> AttemptSeen<'a> {
    AttemptSeen { provider: "up", model, project: "team-a", outcome: "ok", cost_nanos }
}

fn request<'a>(model: &'a str, project: &'a str) -> RequestSeen<'a> {
    RequestSeen {
        endpoint: "/v1/chat/completions",
        provider: Some("up"),
        model: Some(model),
        project,
        status: "ok",
        error: "",
        cache: "off",
        latency: Duration::from_millis(2),
        first_token: Some(Duration::from_millis(1)),
        overhead: Duration::from_micros(20),
        usage: Usage { input: 5, output: 7, ..Usage::default() },
    }
}

fn observed() -> Observed {
    Observed {
        endpoints: vec!["/v1/chat/completions", "/v1/embeddings"],
        targets: vec![("up".into(), "gpt-x".into())],
        projects: vec!["team-a".into()],
        measured: MeasuredSeen {
            targets: vec![TargetSeen {
                provider: "up".into(),
                model: "gpt-x".into(),
                in_flight: 2,
                first_token: vec![("stream", Duration::from_millis(250))],
            }],
            servers: vec![("house".into(), 7)],
            sessions: 3,
        },
        ..Observed::default()
    }
}

#[test]
fn models_that_callers_make_up_take_no_label_of_a_configured_one() {
    let metrics = Metrics::default();
    metrics.configure([Arc::from("up/gpt-x"), Arc::from("gpt-x")]);
    (0..600).for_each(|n| metrics.saw_attempt(&attempt(&format!("made-up-{n}"), 0)));
    metrics.saw_attempt(&attempt("gpt-x", 0));
    assert_eq!(&*metrics.models.label("up/gpt-x".into()), "up/gpt-x");
    assert_eq!(&*metrics.models.label("up/made-up".into()), "other");
    let text = metrics.text();
    assert!(text.contains("model=\"gpt-x\"") && text.contains("model=\"other\""), "{text}");
}

#[test]
fn names_that_callers_make_up_take_a_bounded_number_of_lines() {
    let metrics = Metrics::default();
    metrics.configure([Arc::from("up/gpt-x"), Arc::from("gpt-x")]);
    for n in 0..3_000 {
        metrics.saw_request(&request(&format!("made-up-{n}"), "team-a"));
        metrics.saw_request(&request("gpt-x", &format!("project-{n}")));
    }
    metrics.saw_request(&request("gpt-x", "team-a"));
    let text = metrics.page(&observed());
    let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert!(lines("fulcrum_requests_total") <= 1_010, "{}", lines("fulcrum_requests_total"));
    assert!(lines("fulcrum_latency_seconds_count") == 2, "one of the configured model, one of all others: {text}");
    let own = "fulcrum_requests_total{endpoint=\"/v1/chat/completions\",provider=\"up\",model=\"up/gpt-x\",project=\"team-a\"";
    assert!(text.contains(own), "a configured model keeps its label: {text}");
}

#[test]
fn names_begin_with_fulcrum_and_gauges_fall_back() {
    let metrics = Metrics::default();
    let under = metrics.request_begins();
    metrics.saw_refusal("models");
    let text = metrics.text();
    assert!(text.contains("fulcrum_requests_in_flight 1"), "{text}");
    assert!(text.contains("fulcrum_refused_total{endpoint=\"models\"} 1"), "{text}");
    drop(under);
    assert_eq!(metrics.in_flight(), 0);
}

#[test]
fn what_is_known_beforehand_stands_at_zero_before_it_counts() {
    let metrics = Metrics::default();
    let text = metrics.page(&observed());
    for line in [
        "fulcrum_refused_total{endpoint=\"/v1/embeddings\"} 0",
        "fulcrum_attempts_total{provider=\"up\",model=\"gpt-x\",outcome=\"ok\"} 0",
        "fulcrum_cost_dollars_total{provider=\"up\",model=\"up/gpt-x\",project=\"team-a\"} 0",
        "fulcrum_tokens_total{provider=\"up\",model=\"up/gpt-x\",project=\"team-a\",kind=\"output\"} 0",
        "fulcrum_batch_lines_total{result=\"failed\"} 0",
        "fulcrum_target_cooling{provider=\"up\",model=\"gpt-x\",scope=\"all\"} 0",
        "fulcrum_cache_hits_total 0",
    ] {
        assert!(text.lines().any(|found| found.trim_end_matches(".0") == line), "{line} is not in {text}");
    }
}

#[test]
fn each_attempt_costs_where_it_was_made() {
    let metrics = Metrics::default();
    metrics.saw_attempt(&attempt("gpt-x", 1_500_000_000));
    metrics.saw_attempt(&attempt("gpt-x", 500_000_000));
    metrics.saw_attempt(&AttemptSeen { provider: "other", ..attempt("gpt-x", 250_000_000) });
    let text = metrics.text();
    for line in [
        "fulcrum_cost_dollars_total{provider=\"up\",model=\"up/gpt-x\",project=\"team-a\"} 2.0",
        "fulcrum_cost_dollars_total{provider=\"other\",model=\"other/gpt-x\",project=\"team-a\"} 0.25",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[test]
fn a_target_that_cools_is_shown_until_it_does_not() {
    let metrics = Metrics::default();
    let line = "fulcrum_target_cooling{provider=\"up\",model=\"gpt-x\",scope=";
    let cooling = |is_for_all| Cooling { provider: "up".into(), model: "gpt-x".into(), is_for_all };
    let page = metrics.page(&Observed { cooling: vec![cooling(true)], ..observed() });
    assert!(page.contains(&format!("{line}\"all\"}} 1")), "{page}");
    let page = metrics.page(&Observed { cooling: vec![cooling(false)], ..observed() });
    assert!(page.contains(&format!("{line}\"all\"}} 0")) && page.contains(&format!("{line}\"keys\"}} 1")), "{page}");
    let page = metrics.page(&observed());
    assert!(page.contains(&format!("{line}\"all\"}} 0")) && !page.contains("scope=\"keys\""), "{page}");
}

#[test]
fn what_is_measured_is_shown_while_a_route_reads_it() {
    let metrics = Metrics::default();
    let lines = [
        "fulcrum_target_in_flight{provider=\"up\",model=\"gpt-x\"} 2",
        "fulcrum_target_first_token_seconds{provider=\"up\",model=\"gpt-x\",kind=\"stream\"} 0.25",
        "fulcrum_server_calls{provider=\"house\"} 7",
        "fulcrum_bound_sessions 3",
    ];
    let page = metrics.page(&observed());
    for line in lines {
        assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
    }
    let page = metrics.page(&Observed { measured: MeasuredSeen::default(), ..observed() });
    assert!(!page.contains("fulcrum_target_in_flight{") && !page.contains("fulcrum_server_calls{"), "{page}");
}

/// The names and labels of a page's samples, without what histograms add.
fn samples(page: &str) -> BTreeSet<(String, Vec<String>)> {
    let sample = |line: &str| {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let name = ["_sum", "_count", "_bucket"].iter().fold(name, |name, end| name.trim_end_matches(end));
        (name.to_owned(), labels.filter(|label| label != "le").collect())
    };
    page.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

#[test]
fn the_table_of_names_holds_what_a_page_has_and_no_more() {
    let metrics = Metrics::default();
    metrics.saw_request(&request("gpt-x", "team-a"));
    metrics.saw_attempt(&attempt("gpt-x", 1));
    metrics.saw_cascade(&"up".into(), &"gpt-x".into(), "accepted");
    metrics.saw_hedge(&"quick".into(), "won");
    metrics.saw_own_request("shadow", "ok");
    metrics.saw_merged(&"up".into(), 2);
    let found = samples(&metrics.page(&observed()));
    let is_here = |name: &&&Name| cfg!(target_os = "linux") || !name.name.starts_with("process_");
    let table = NAMES.iter().filter(is_here);
    let labels = |name: &Name| name.labels.iter().map(|label| (*label).to_owned()).collect();
    assert_eq!(found, table.map(|name| (name.name.to_owned(), labels(name))).collect());
}
