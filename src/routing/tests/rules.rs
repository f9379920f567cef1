//! What rules read, what is wrong with them, and how much they may do.

use super::*;

/// `true`, `false`, or the error of the rule.
fn result(rule: &str, facts: &Facts<'_>) -> String {
    let routes = with_rule(rule).unwrap_or_else(|problems| panic!("{rule}: {problems:?}"));
    match routes.takes(&routes.routes[0], facts) {
        plan::Takes::Yes => "true".to_owned(),
        plan::Takes::No => "false".to_owned(),
        plan::Takes::NotListed => "not listed".to_owned(),
        plan::Takes::Broken(error) => error.to_string(),
    }
}

#[test]
fn a_loop_reads_metadata_once_and_a_rule_that_reads_too_much_ends() {
    let mut call = Call::new();
    call.metadata = (0..128).map(|n| (format!("k{n}"), json!("v"))).collect();
    let linear = r#"metadata.exists(k, metadata[k] == "x")"#;
    assert_eq!(result(linear, &call.facts("fast")), "false");
    let square = r#"metadata.exists(k, metadata.exists(j, metadata[k] == metadata[j] + "x"))"#;
    let texts = r#"metadata.exists(k, request.text.contains(k))"#;
    let long = "y".repeat(4 << 20);
    // What an operator makes of the refused value changes nothing.
    for rule in [square.to_owned(), texts.to_owned(), format!("{square} || true"), format!("{texts} || true")] {
        let facts = Facts { text: &long, ..call.facts("fast") };
        assert!(result(&rule, &facts).contains("more than"), "{rule}");
        let routes = with_rule(&rule).unwrap();
        let refused = routes.plan(&facts, &Health::default(), 0.5).unwrap_err();
        assert!(matches!(&refused, NoPlan::TooLong(name) if &**name == "r"), "{refused}");
        let error = crate::chat::Error::from(refused);
        assert_eq!((error.status(), error.param.as_deref()), (400, Some("metadata")));
    }
}

#[test]
fn rules_read_every_variable_and_what_is_missing_is_empty() {
    let call = Call::new();
    let yes = [
        r#"metadata.privacy == "internal""#,
        r#"metadata["privacy"] == "internal""#,
        r#"metadata.nothing == """#,
        r#"metadata.none == """#,
        r#"metadata.nothing.deeper == """#,
        r#"metadata.deep.a.b == "c""#,
        r#"metadata.deep["a"].b in ["c", "d"]"#,
        r#"metadata.level > 2 && metadata.level < 3.5 && metadata.level == 3u"#,
        "metadata.big > 1 && metadata.ratio < 1",
        "metadata.flag == true",
        r#""privacy" in metadata && !("nothing" in metadata)"#,
        r#""x" in metadata.list && !("z" in metadata.list) && !("q" in metadata.nothing)"#,
        r#"metadata.list[0] == "x""#,
        r#"metadata.list.exists(item, item == "x")"#,
        r#"metadata.list.filter(item, item != "x").all(item, item.name == "y" && item.other == "")"#,
        r#"has(metadata.privacy) && !has(metadata.nothing) && has(metadata.deep.a) && !has(metadata.deep.z)"#,
        r#"metadata.exists(name, name.startsWith("priv"))"#,
        r#"metadata[request.model] == "" && metadata[key.project] == """#,
        "size(metadata) > 3 && metadata.list.size() == 2",
        r#"request.text.contains("refund") && !request.text.contains("REFUND")"#,
        r#"request.text.matches("(?i)^i want") && !request.text.matches("^x")"#,
        r#"matches(request.text, "refund me$")"#,
        r#"metadata.privacy.matches("^int") && !metadata.level.matches("3")"#,
        r#"request.model == "fast" && request.stream"#,
        "request.input_tokens > 2000 && request.input_tokens > 2000u && request.input_tokens > 2000.5",
        "request.input_tokens * 2 + 1 == 5001 && request.input_tokens / 1000 == 2",
        "request.max_tokens == 0 && !has(request.max_tokens)",
        "!request.has_tools && !request.has_images",
        r#"header("x-team") == "a" && header("X-Team") == "a" && header("x-other") == """#,
        r#"prompt.name == "" && prompt.version == 0 && prompt.label == "" && !has(prompt.name)"#,
        r#"key.id == "k1" && key.name == "app" && key.project == "shop""#,
        r#"key.tags.team == "x" && key.tags["team"] == "x" && key.tags.other == "" && "team" in key.tags"#,
        r#"has(key.tags.team) && !has(key.tags.other) && size(key.tags) == 1"#,
        "now.hour >= 9 && now.hour < 10 && now.weekday == 1",
        "budget_used < 0.8 && budget_used * 100 == 25.0 && budget_used < 1",
        r#"similar_to("refund") > 0.7 && similar_to("refund") <= 0.8 && similar_to("refund") + 1 == 1.8"#,
        r#"request.stream || similar_to("failed") > 0.5"#,
        "complexity < 0.6 && complexity * 2 == 1.0 && complexity > 0",
        r#"request.stream ? key.name == "app" : false"#,
        r#"string(request.input_tokens).endsWith("00") && int("7") == 7 && double(1) < 2"#,
        r#"request.model in ["fast", "smart"]"#,
        r#"{"fast": true}[request.model] == true"#,
        "-request.input_tokens < 0 && 5 % 2 == 1",
    ];
    for rule in yes {
        assert_eq!(result(rule, &call.facts("fast")), "true", "{rule}");
    }
}

#[test]
fn a_rule_without_metadata_or_with_a_prompt() {
    let call = Call::new();
    let none = Facts { metadata: None, ..call.facts("fast") };
    for (rule, expected) in [
        (r#"metadata.privacy == "internal""#, "false"),
        (r#""a" in metadata"#, "false"),
        ("size(metadata) == 0", "true"),
        (r#"metadata.a.b.contains("x")"#, "false"),
    ] {
        assert_eq!(result(rule, &none), expected, "{rule}");
    }
    let prompt = Some(PromptFacts { name: "support-reply", version: 3, label: "production" });
    let facts = Facts { prompt, max_tokens: Some(10), ..call.facts("fast") };
    let rule = r#"prompt.name == "support-reply" && prompt.version >= 3 && prompt.label == "production" && has(prompt.name)
        && has(request.max_tokens) && request.max_tokens == 10"#;
    assert_eq!(result(rule, &facts), "true");
}

#[test]
fn a_value_of_the_wrong_type_is_told_and_does_not_hold() {
    let call = Call::new();
    for rule in ["metadata.privacy > 3", "metadata.nothing > 3", r#"metadata.level.contains("3")"#] {
        let found = result(rule, &call.facts("fast"));
        assert!(found.contains("no matching overload"), "{rule}: {found}");
        let plan = with_rule(rule).unwrap().plan(&call.facts("smart"), &Health::default(), 0.5).unwrap();
        assert_eq!(plan.route, None);
    }
}

#[test]
fn a_rule_that_cannot_tell_keeps_a_call_in_the_house() {
    let call = Call::new();
    let private =
        RouteSpec { when: Some(spanned("metadata.nothing > 3")), local_only: true, ..route("private", &[("lora", 1)]) };
    let plan = compile(&[private]).unwrap().plan(&call.facts("fast"), &Health::default(), 0.5).unwrap();
    assert_eq!(plan.route.as_deref(), Some("private"));
    assert!(plan.local_only);
}

/// A value of another type than a comparison's literal is "not equal" to CEL, which a private route must not take for a no.
#[test]
fn a_value_of_another_type_is_no_answer_to_whether_a_call_is_private() {
    let odd = [json!(["internal"]), json!(5), json!(true), json!({"level": "internal"})];
    let of = |rule: &str, local_only: bool| {
        let first = RouteSpec { when: Some(spanned(rule)), local_only, ..route("first", &[("lora", 1)]) };
        compile(&[first, route("open", &[("fast", 1)])]).unwrap()
    };
    let planned_with = |routes: &Routes, value: &Value| {
        let metadata = json!({"privacy": value, "n": 3});
        let call = Call { metadata: metadata.as_object().unwrap().clone(), ..Call::new() };
        planned(routes, &call.facts("fast"))
    };
    for rule in [
        r#"metadata.privacy == "internal""#,
        r#""internal" == metadata.privacy"#,
        r#"metadata.privacy in ["internal", "secret"]"#,
        r#"metadata.privacy == "internal" || request.model == "none""#,
        r#"metadata.privacy == "internal" && request.input_tokens > 0"#,
        r#"!(metadata.privacy != "internal")"#,
        r#"metadata.privacy != "public""#,
        r#"request.model.size() > 90 || metadata.privacy == "internal""#,
        r#"metadata.privacy == "internal" ? true : false"#,
    ] {
        let (private, public) = (of(rule, true), of(rule, false));
        for value in &odd {
            assert_eq!(planned_with(&private, value), "first", "{rule} {value}");
            assert_eq!(planned_with(&public, value), "open", "{rule} {value}");
        }
        for (value, other) in [(json!("internal"), "first"), (json!("public"), "open"), (Value::Null, "open")] {
            // No value is no text, which is not "public".
            let other = if rule.contains("public") && value.is_null() { "first" } else { other };
            assert_eq!(planned_with(&private, &value), other, "{rule} {value}");
            assert_eq!(planned_with(&public, &value), other, "{rule} {value}");
        }
    }
    // What holds whatever the odd value is, holds.
    let either = r#"metadata.n == 3 || metadata.privacy == "internal""#;
    assert_eq!(planned_with(&of(either, false), &odd[0]), "first");
    let trace = of(r#"metadata.privacy == "internal""#, true);
    let metadata = json!({"privacy": 5});
    let call = Call { metadata: metadata.as_object().unwrap().clone(), ..Call::new() };
    let shown = trace.trace(&call.facts("fast"), &Health::default(), 0.5);
    assert!(shown.rules[0].result.contains("of another type"), "{shown:?}");
}

/// A route by meaning, then a private one by metadata.
fn by_meaning(rule: &str) -> [RouteSpec; 2] {
    let first = RouteSpec { when: Some(spanned(rule)), ..route("meaning", &[("fast", 1)]) };
    let private = r#"metadata.privacy == "internal""#;
    [first, RouteSpec { when: Some(spanned(private)), local_only: true, ..route("private", &[("lora", 1)]) }]
}

fn planned(routes: &Routes, facts: &Facts<'_>) -> String {
    match routes.plan(facts, &Health::default(), 0.5) {
        Ok(plan) => plan.route.map_or_else(|| "direct".to_owned(), |route| route.to_string()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_similarity_that_is_still_open_is_asked_for_only_where_a_rule_reads_it() {
    let open = |_: &str| Similarity::Open;
    let call = Call::new();
    let facts = Facts { similar: &open, ..call.facts("fast") };
    for (rule, expected) in [
        (
            r#"similar_to("refund") > 0.5"#,
            "how similar the text is to the examples of the route `meaning` is still to be worked out",
        ),
        (r#"request.stream || similar_to("refund") > 0.5"#, "meaning"),
        (r#"!request.stream && similar_to("refund") > 0.5"#, "private"),
    ] {
        assert_eq!(planned(&compile(&by_meaning(rule)).unwrap(), &facts), expected, "{rule}");
    }
}

#[test]
fn a_similarity_that_is_not_known_is_0_and_holds_a_private_route() {
    let call = Call::new();
    let facts = call.facts("fast");
    for (rule, expected) in [
        (r#"similar_to("failed") > 0.5"#, "private"),
        (r#"similar_to("failed") < 0.5"#, "meaning"),
        (r#"similar_to("failed") > 0.5 || request.stream"#, "meaning"),
    ] {
        assert_eq!(planned(&compile(&by_meaning(rule)).unwrap(), &facts), expected, "{rule}");
    }
    let rule = r#"request.stream && similar_to("failed") > 0.5"#;
    let private = RouteSpec { when: Some(spanned(rule)), local_only: true, ..route("held", &[("lora", 1)]) };
    let routes = compile(&[private]).unwrap();
    assert_eq!(planned(&routes, &facts), "held");
    assert_eq!(planned(&routes, &Facts { stream: false, ..facts }), "direct");
    let trace = routes.trace(&facts, &Health::default(), 0.5);
    assert!(trace.rules[0].result.contains("how similar the text is to its examples is not known"), "{trace:?}");
}

#[test]
fn the_text_of_a_private_call_goes_to_no_embedding_model_outside() {
    let open = |_: &str| Similarity::Open;
    let call = Call::new();
    let (private, public) =
        (Facts { similar: &open, ..call.facts("fast") }, Facts { metadata: None, ..call.facts("fast") });
    let public = Facts { similar: &open, ..public };
    let rules = by_meaning(r#"similar_to("refund") > 0.5"#);
    let outside = compile_with(&rules, "smart").unwrap();
    assert_eq!(planned(&outside, &private), "private", "without a question to a model");
    assert!(planned(&outside, &public).contains("still to be worked out"));
    assert!(planned(&compile_with(&rules, "lora").unwrap(), &private).contains("still to be worked out"));
    // Another route takes the call before the private one, so the text leaves anyway.
    let between = RouteSpec { when: Some(spanned("request.stream")), ..route("between", &[("fast", 1)]) };
    let [first, last] = rules;
    let routes = compile_with(&[first, between, last], "smart").unwrap();
    assert!(planned(&routes, &private).contains("still to be worked out"));
}

#[test]
fn private_routes_by_meaning_need_an_embedding_model_in_the_house() {
    let rule = r#"request.stream && similar_to("refund") > 0.5"#;
    let private = || RouteSpec { when: Some(spanned(rule)), local_only: true, ..route("r", &[("lora", 1)]) };
    let cached = CachePolicy { mode: CacheMode::Semantic, ..CachePolicy::default() };
    assert!(compile_with(&[private()], "lora").is_ok());
    let problems = compile_with(&[RouteSpec { cache: Some(cached), ..private() }], "smart").err().unwrap();
    let found: Vec<_> = problems.iter().map(|problem| (problem.key.as_str(), problem.place)).collect();
    assert_eq!(found, [("routes[0].when", Place::Offset(18)), ("routes[0].cache.mode", Place::Unknown)]);
    assert!(problems.iter().all(|problem| problem.problem.contains("would leave the house for `openai/gpt-4o`")));
}

#[test]
fn mistakes_in_rules_are_reported_with_their_place() {
    let table = [
        ("", 0, "a rule has 1 to 4096 characters"),
        ("request.model ==", 16, "cannot be read"),
        ("\"é\" == request.modl", 8, "has no field `modl`"),
        ("\"é\" == \"é\" ===", 15, "cannot be read"),
        ("a &&& b", 4, "cannot be read"),
        ("true && similar_to(\"refnd\") > 0.8", 18, "there are no examples `refnd`"),
        ("similar_to(request.text) > 0.8", 10, "takes the name of one set"),
        ("similar_to(\"refund\", 0.8)", 10, "takes the name of one set"),
        ("similar_to(\"refund\")", 10, "this is a number"),
        ("request.text.similar_to(\"refund\") > 0.8", 0, "called the wrong way"),
        ("complexty < 0.3", 0, "unknown variable `complexty`"),
        ("complexity == \"hard\"", 11, "`==` cannot compare a number with text"),
        ("complexity.score < 0.3", 0, "`complexity` has no fields"),
        ("true && reqest.model == \"a\"", 8, "unknown variable `reqest`"),
        ("request.modell == \"a\"", 0, "`request` has no field `modell`"),
        ("request == \"a\"", 0, "`request` is no value by itself"),
        ("request.model.x == \"a\"", 0, "has no fields"),
        ("request.model", 0, "must be true or false, this is text"),
        ("request.input_tokens", 0, "this is a number"),
        ("metadata.flag", 0, "may be something else"),
        ("metadata.flag && true", 0, "may be something else"),
        ("request.model == 3", 14, "`==` cannot compare text with a number"),
        ("request.input_tokens > \"3\"", 21, "`>` cannot compare a number with text"),
        ("header(request.model) == \"a\"", 6, "takes one header's name"),
        ("header(\"a b\") == \"a\"", 6, "takes one header's name"),
        ("lower(request.model) == \"a\"", 5, "unknown function `lower`"),
        ("request.text.contain(\"a\")", 0, "unknown function `contain`"),
        ("contains(request.text, \"a\")", 8, "called the wrong way"),
        ("request.text.contains(3)", 0, "does not work with a number"),
        ("request.text.contains()", 0, "wrong number of arguments"),
        ("request.text.matches(\"(\")", 0, "no regular expression"),
        ("request.text.matches(request.model)", 0, "must be a text in quotes"),
        ("\"a\".matches(\"a\")", 0, "a text variable only"),
        ("\"a\" in request.text", 4, "`in` looks into lists and maps, not text"),
        ("budget_used + request.input_tokens > 1.0", 12, "mixes kinds of numbers"),
        ("request.text - 1 == 2", 13, "does not work with text"),
        ("-request.text == 2", 0, "`-` does not work with text"),
        ("request.text.all(c, c == \"a\")", 0, "cannot be looped over"),
        ("int == 3", 0, "is a type"),
        ("has(key.id)", 4, "key.id is always there"),
        ("has(key.idd)", 4, "has no field `idd`"),
        ("Thing{a: 1} == 2", 5, "cannot build objects"),
        ("metadata.?a == 1", 8, "cannot be read"),
        ("[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))", 29, "loops inside a loop"),
    ];
    for (rule, at, problem) in table {
        let problems = with_rule(rule).err().unwrap_or_else(|| panic!("{rule} is taken"));
        assert_eq!(problems.len(), 1, "{rule}: {problems:?}");
        assert!(problems[0].problem.contains(problem), "{rule}: {problems:?}");
        assert_eq!(problems[0].place, Place::Offset(at), "{rule}: {problems:?}");
        assert!(!problems[0].fix.is_empty() && problems[0].key == "routes[0].when", "{problems:?}");
    }
}

#[test]
fn deep_and_long_rules_end_neither_the_stack_nor_the_start() {
    let long = vec!["request.stream"; 200].join(" && ");
    assert!(with_rule(&long).is_ok());
    let most = [
        format!("metadata{} == 1", ".a".repeat(399)),
        format!("{}true", "!".repeat(400)),
        format!("{}1 == 1", "1 * ".repeat(900)),
        format!("{}1 in [1]", "1 in ".repeat(700)),
    ];
    for rule in most {
        let _either = with_rule(&rule).is_ok();
    }
    let deep = [
        format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)),
        format!("metadata{} == 1", ".a".repeat(2_000)),
        format!("{}true", "!".repeat(4_001)),
        format!("{}1{} == 1", "[".repeat(2_000), "]".repeat(2_000)),
        format!("{}1 == 1", "1+".repeat(2_000)),
        format!("{}true", "true?true:".repeat(400)),
        format!("{}'x'", "{'a':".repeat(800)),
        format!("request.text{} == ''", "['a']".repeat(800)),
    ];
    for rule in deep {
        assert!(with_rule(&rule).is_err(), "{}", &rule[..40]);
    }
}

#[test]
fn needs_name_only_what_rules_read() {
    assert_eq!(*compile(&[]).unwrap().needs(), Needs::default());
    let sticky = RouteSpec { sticky_by: StickyBy::User, ..route("r", &[("fast", 1)]) };
    let needs = *compile(&[sticky]).unwrap().needs();
    assert_eq!(needs, Needs { user: true, ..Needs::default() });
    let rule = r#"request.text.matches("a") || header("b") == "c" || "x" in metadata || budget_used > 0.5"#;
    let needs = *with_rule(rule).unwrap().needs();
    assert_eq!(*with_rule("complexity < 0.3").unwrap().needs(), Needs { complexity: true, ..Needs::default() });
    let expected = Needs { text: true, headers: true, metadata: true, budget_used: true, ..Needs::default() };
    assert_eq!(needs, expected);
    for rule in [r#"prompt.name == "a""#, "prompt.version > 1", "has(prompt.label)"] {
        assert_eq!(*with_rule(rule).unwrap().needs(), Needs { prompt: true, ..Needs::default() }, "{rule}");
    }
}
