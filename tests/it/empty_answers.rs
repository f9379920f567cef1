//! Answers that say nothing: no cache stores them.

use serde_json::Value;

use crate::app::{TestApp, hello, streamed};
use crate::upstream::{EVENTS, Script, WHOLE};

const CACHED: &str = "[defaults]\nretries = 0\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";

#[tokio::test]
async fn an_answer_without_words_is_not_stored() {
    let nothing = WHOLE.replace("Hello there.", "").replace("\"completion_tokens\":3", "\"completion_tokens\":0");
    let uncounted = {
        let mut answer: Value = serde_json::from_str(&nothing).unwrap();
        answer.as_object_mut().unwrap().remove("usage");
        answer.to_string()
    };
    let events = [EVENTS[0], EVENTS[4], EVENTS[6]];
    for (call, script) in [
        (hello("fast"), Script::json(200, &nothing)),
        (hello("fast"), Script::json(200, &uncounted)),
        (streamed(hello("fast")), Script::sse().chunks(events).ended()),
    ] {
        let app = TestApp::with(CACHED).await;
        app.up.next(script);
        for expected in ["miss", "miss", "hit"] {
            let answer = app.chat(&call).await;
            assert_eq!((answer.status, answer.header("x-fulcrum-cache")), (200, Some(expected)), "{}", answer.text());
        }
        assert_eq!(app.up.count(), 2);
        app.close().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_only_a_tool_call_is_stored() {
    let call =
        r#""content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
    let answer = WHOLE
        .replace("\"content\":\"Hello there.\"", call)
        .replace("\"finish_reason\":\"stop\"", "\"finish_reason\":\"tool_calls\"")
        .replace("\"completion_tokens\":3", "\"completion_tokens\":0");
    let app = TestApp::with(CACHED).await;
    app.up.next(Script::json(200, &answer));
    for expected in ["miss", "hit"] {
        assert_eq!(app.hello("fast").await.header("x-fulcrum-cache"), Some(expected));
    }
    app.close().await;
}
