//! What looks easy and what looks hard, and that more never looks easier.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{Source, Tool};

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

fn asked(text: &str) -> Request {
    Request { messages: vec![user(text)], ..Request::default() }
}

fn tool(name: &str) -> Tool {
    Tool { name: name.to_owned(), description: None, schema: None, strict: None, cache: None }
}

const EASY: [&str; 34] = [
    "",
    "Hi!",
    "Thanks, that helps.",
    "What is the capital of France?",
    "Translate \"good morning\" into Spanish.",
    "Was ist die Hauptstadt von Frankreich?",
    "Quelle heure est-il à Tokyo ?",
    "¿Cómo se dice \"gracias\" en inglés?",
    "法国的首都是什么？",
    "Classify the sentiment of this review as positive or negative: \"The battery lasts all day and the screen is bright.\"",
    "Rewrite this sentence in a friendlier tone: We have received your request and will answer it within two days.",
    "Which of these is a fruit: carrot, apple, potato?",
    "Summarise in one sentence: The meeting moved from Monday to Tuesday because the room was taken, and lunch is included.",
    "What is 12 plus 30?",
    "Write a birthday card for my grandmother.",
    "Write a poem about a python in the jungle.",
    "Write a letter about the dress code in our office.",
    "Write a story about a bug that dreams of flying.",
    "Create a shopping list for a week.",
    "Say in one sentence: The study compares two drugs against the common cold.",
    "Make a reservation for four people at eight.",
    "Find a synonym for quick.",
    "Fix the typos in this sentence: I has a cat.",
    "Correct my spelling: recieve.",
    "Translate this: Where is the railway station?",
    "Proofread this sentence for me: The train leave at nine.",
    "What does the proverb about early birds mean?",
    "What is the function of the liver?",
    "What is a good name for a class of ten children?",
    "Is the weather in Rust nice in May?",
    "Sales rose by a tenth compared to last year. Say that in one word.",
    "Schreib eine Geburtstagskarte für meine Oma.",
    "Nenne mir drei unterschiedliche Obstsorten.",
    "写一张生日贺卡。",
];

const HARD: [&str; 37] = [
    "Prove that there are infinitely many primes of the form 4k + 3, step by step.",
    "Beweise Schritt für Schritt, dass die Wurzel aus 2 irrational ist, und vergleiche zwei Beweise.",
    "Démontre le théorème des accroissements finis et explique pourquoi chaque hypothèse est nécessaire.",
    "Demuestra paso a paso que la suma de los primeros n números impares es n^2 y explica por qué.",
    "请证明根号2是无理数，并逐步解释为什么。",
    "Докажи теорему Пифагора и объясни, почему обратная теорема тоже верна.",
    "Refactor this function so that it is thread-safe, and explain the trade-offs:\n```rust\nfn next(&self) -> u64 {\n    let n = self.n.get();\n    self.n.set(n + 1);\n    n\n}\n```",
    "Design the architecture of a payment system for 5,000 requests a second. Compare two databases, and analyse what happens when one region fails:\n1. consistency\n2. cost\n3. recovery",
    "Debug this traceback, find the root cause, and say why the fix is right:\nTraceback (most recent call last):\n  File \"a.py\", line 3\nimport os\nreturn x\nKeyError: 'a'",
    "Derive the closed form of the sum ∑ k^3 from 1 to n = 100, and calculate it for n = 250. Why does it equal (n(n+1)/2)^2?",
    "Write an essay of 2000 words that evaluates three strategies for a carbon tax. What are the pros and cons? Who pays? How is it enforced? What happened in Sweden, and why?",
    "Implement an LRU cache in Go with O(1) operations, then analyse its algorithm and justify each choice.",
    "Prove that there are infinitely many primes.",
    "Prove that the square root of 2 is irrational.",
    "Write a Python function that reverses a string.",
    "Write code for quicksort in Rust",
    "Write me a SQL query that joins orders and customers",
    "Implement a thread-safe LRU cache in Go",
    "Fix this bug: def f(x): return x+1",
    "Fix this:\n```python\ndef f(x) return x\n```",
    "Can you write a regex for dates?",
    "Create a REST API for a library.",
    "Write a script that renames all files in a folder.",
    "Find the memory leak in my server.",
    "Add unit tests to my project.",
    "Write a class that keeps the ten latest values.",
    "Build a web page with HTML and CSS.",
    "Compare PostgreSQL and MySQL",
    "Write a comparison of electric and hybrid cars.",
    "Compare the advantages of nuclear and solar power.",
    "What is the difference between TCP and UDP?",
    "Schreibe eine Funktion, die eine Liste sortiert.",
    "Behebe den Bug in meinem Skript.",
    "Was ist der Unterschied zwischen TCP und UDP?",
    "用Python写一个反转字符串的函数。",
    "TCP和UDP的区别是什么？",
    "文字列を逆にする関数を書いてください。",
];

#[test]
fn ordinary_easy_requests_are_below_a_fifth_and_hard_ones_above_what_the_guide_says() {
    for text in EASY {
        let Complexity { score, parts } = Complexity::of(&asked(text));
        assert!(score < 0.2, "{score}: {text}\n{parts:?}");
    }
    for text in HARD {
        let Complexity { score, parts } = Complexity::of(&asked(text));
        assert!(score > 0.35, "{score}: {text}\n{parts:?}");
        assert_eq!(Complexity::of_text(text).score, score, "a text alone is scored as a conversation of it");
    }
}

#[test]
fn each_feature_adds_its_own_part() {
    let plain = || asked("Hello there");
    let with = |change: fn(&mut Request)| {
        let mut request = plain();
        change(&mut request);
        Complexity::of(&request)
    };
    let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    close(Complexity::of(&plain()).score, 0.0);
    close(with(|request| request.tools.push(tool("f"))).parts.tools, 0.08);
    close(with(|request| request.tools = (0..16).map(|n| tool(&n.to_string())).collect()).parts.tools, 0.15);
    close(with(|request| request.format = Some(Format::JsonObject)).score, 0.04);
    let schema = |request: &mut Request| {
        let (name, schema) = ("a".to_owned(), json!({}));
        request.format = Some(Format::JsonSchema { name, description: None, schema, strict: None });
    };
    close(with(schema).score, 0.08);
    let image = |request: &mut Request| {
        let source = Source::Url("https://example.com/a.png".to_owned());
        request.messages[0].parts.push(Part::new(Content::Image { source, detail: None }));
    };
    close(with(image).score, 0.08);
    let turns = |request: &mut Request| {
        request.messages.splice(0..0, (0..8).flat_map(|_| [user("a"), Message::text(Role::Assistant, "b")]));
    };
    close(with(turns).score, 0.08);
    for (effort, part) in [(Effort::High, 0.1), (Effort::Medium, 0.05), (Effort::None, 0.0)] {
        let reasoning = Reasoning { effort: Some(effort), ..Reasoning::default() };
        close(Complexity::of(&Request { reasoning: Some(reasoning), ..plain() }).score, part);
    }
    let long = |request: &mut Request| {
        request.messages.insert(0, Message::text(Role::System, "a ".repeat(24_000)));
    };
    close(with(long).score, 0.10);
    close(Complexity::of_text(&"word ".repeat(1_200)).score, 0.20);
    close(Complexity::of_text("Добрый день means good day").parts.languages, 0.05);
    close(Complexity::of_text("one? two? three? four? five?").parts.questions, 0.12);
    close(Complexity::of_text("1 2 3 4 5 6 7 8 = = = =").parts.numbers, 0.12);
    close(Complexity::of_text("```\nx\n```").parts.code, 0.15);
}

#[test]
fn the_last_words_of_the_user_count_and_not_results_of_tools() {
    let hard = HARD[0];
    let result = Content::ToolResult { id: "1".to_owned(), name: None, parts: vec![Part::text("ok")], is_error: false };
    let result = Message { role: Role::User, parts: vec![Part::new(result)], name: None };
    let request = Request { messages: vec![user(hard), result], ..Request::default() };
    assert!(Complexity::of(&request).score > 0.35);
    let thanked = Request { messages: vec![user(hard), user("Thanks!")], ..Request::default() };
    assert!(Complexity::of(&thanked).score < 0.2);
}

#[test]
fn of_a_huge_text_only_a_part_is_read() {
    let begin = "word ".repeat(scan::WINDOW / 5 + 1);
    let (huge, part) = (format!("{begin}{}", "Prove 1 = 2?\n".repeat(100_000)), Complexity::of_text(&begin));
    let whole = Complexity::of_text(&huge);
    assert_eq!(whole.parts, Parts { length: whole.parts.length, ..part.parts });
    // A letter of several bytes may stand over the end of the part.
    for begin in 0..4 {
        let text = format!("{}{}", "a".repeat(begin), "語".repeat(20_000));
        assert!(Complexity::of_text(&text).parts.length > 0.19);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        prop::sample::select([EASY.as_slice(), HARD.as_slice()].concat()).prop_map(str::to_owned),
        "[a-z0-9 ?.=\n-]{0,200}",
    ]
}

proptest! {
    #[test]
    fn the_score_is_within_its_bounds_and_more_never_looks_easier(
        texts in prop::collection::vec(text(), 1..4), more in text(), tools in 0usize..20,
    ) {
        let messages: Vec<Message> = texts.iter().map(|text| user(text)).collect();
        let before = Request { messages, tools: (0..tools).map(|n| tool(&n.to_string())).collect(), ..Request::default() };
        let score = Complexity::of(&before).score;
        prop_assert!((0.0..=1.0).contains(&score));
        let more_than = |change: &dyn Fn(&mut Request)| {
            let mut request = before.clone();
            change(&mut request);
            Complexity::of(&request).score
        };
        let last = before.messages.len() - 1;
        for (what, after) in [
            ("a tool", more_than(&|request| request.tools.push(tool("one")))),
            ("a turn", more_than(&|request| request.messages.insert(0, user(&more)))),
            ("a system prompt", more_than(&|request| request.messages.insert(0, Message::text(Role::System, &*more)))),
            ("a format", more_than(&|request| request.format = Some(Format::JsonObject))),
            ("words", more_than(&|request| {
                let longer = format!("{}\n{more}", request.messages[last].joined_text());
                request.messages[last] = user(&longer);
            })),
        ] {
            prop_assert!(after >= score, "{what} made {score} of it {after}");
        }
    }
}
