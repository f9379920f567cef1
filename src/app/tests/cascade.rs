//! A cascade whose cheap target says how sure it is.

use super::*;

const ROUTE: &str = r#"
[[routes]]
name = "auto"
models = ["auto"]
strategy = "cascade"
targets = [{ model = "first", accept = { min_confidence = 0.9 } }, { model = "second" }]
"#;

#[tokio::test]
async fn an_answer_is_accepted_where_its_model_is_sure_enough() {
    const STATED: [Option<&str>; 6] = [Some("0.93"), Some("0.9"), Some("0.89"), None, Some("1.5"), Some("very")];
    let script = |model: &str, n: usize| Play {
        after: Duration::from_millis(10),
        text: model.to_owned(),
        confidence: STATED[n / 2 % STATED.len()].filter(|_| model == "first"),
    };
    let rig = Rig::new(ROUTE, script).await;
    let mut ids = Vec::new();
    for (n, stated) in STATED.into_iter().enumerate() {
        for stream in [false, true] {
            let (id, _, text) = rig.call("auto", stream).await;
            let is_sure = n < 2;
            assert!(text.contains(if is_sure { "first" } else { "second" }), "{stated:?} {text}");
            assert_eq!(stream, text.ends_with("data: [DONE]\n\n"), "{text}");
            ids.push((id, is_sure));
        }
    }
    for (id, is_sure) in ids {
        let row = rig.row(id).await;
        let codes: Vec<&Value> = row["attempts"].as_array().unwrap().iter().map(|one| &one["error_code"]).collect();
        let refused = json!("not_accepted_min_confidence");
        assert_eq!(codes, if is_sure { vec![&Value::Null] } else { vec![&refused, &Value::Null] }, "{row:#}");
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_a_judge_thinks_leaves_the_rows_of_both() {
    let route = ROUTE.replace("min_confidence = 0.9", "judge = \"judge\"");
    let models = "[models.judge]\nprovider = \"b\"\nmodel = \"judge\"\nprice = { input = \"1\", output = \"1\" }\n";
    let script = |model: &str, _| Play {
        after: if model == "judge" { Duration::from_secs(20) } else { Duration::from_millis(10) },
        text: "Bern".to_owned(),
        confidence: None,
    };
    let rig = Rig::new(&format!("{models}{route}"), script).await;
    let incoming = Rig::incoming("auto", true);
    let id = incoming.id;
    let call = rig.app.0.gateway.call(incoming);
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err(), "the judge is waited for");
    assert_eq!(rig.open.load(Ordering::SeqCst), 0, "nothing is asked any more");
    let row = rig.row(id).await;
    let seen: Vec<_> = row["attempts"].as_array().unwrap().iter().map(|one| (&one["role"], &one["status"])).collect();
    let closed = json!("client_closed");
    assert_eq!(seen, [(&Value::Null, &closed), (&json!("judge"), &closed)], "{row:#}");
    assert_eq!(row["status"], closed);
    // The answer was there, and is charged.
    assert_ne!(row["attempts"][0]["cost_usd"], "0", "{row:#}");
}

#[tokio::test]
async fn a_judge_takes_no_more_than_the_callers_own_time_and_the_answer_goes_down_then() {
    let route = ROUTE.replace("min_confidence = 0.9", "judge = \"judge\"");
    let models = "[models.judge]\nprovider = \"b\"\nmodel = \"judge\"\n";
    let script = |model: &str, _: usize| Play {
        after: if model == "judge" { Duration::from_secs(60) } else { Duration::ZERO },
        text: model.to_owned(),
        confidence: None,
    };
    let rig = Rig::new(&format!("{models}{route}"), script).await;
    let incoming = Incoming { timeout: Some(Duration::from_millis(300)), ..Rig::incoming("auto", false) };
    let (_, took, text) = rig.send(incoming).await;
    assert!(text.contains("first"), "{text}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}
