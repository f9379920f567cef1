//! What templates may and may not do.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn values(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

fn render(source: &str, variables: Value) -> Result<String, Error> {
    let variables = values(variables);
    Template::parse(source)?.render(&mut Values::new(|name| variables.get(name)), &mut Work::begin())
}

#[test]
fn values_are_inert_and_not_escaped() {
    for value in ["<b>&\"'", "{{ 7*7 }}", "{% set x = 1 %}", "{# c #}", "${x}", "\u{0}\u{202e}"] {
        assert_eq!(render("a {{ ticket }} z", json!({"ticket": value})).unwrap(), format!("a {value} z"));
    }
}

#[test]
fn text_without_tags_stays_as_it_is() {
    for text in ["", "plain", "{ % } }} %}", "a\r\n\tb", "{\"a\": 1}"] {
        assert_eq!(render(text, json!({})).unwrap(), text);
        assert!(Template::parse(text).unwrap().variables().is_empty());
    }
}

#[test]
fn allowed_parts_work() {
    let variables = json!({"tone": "", "items": [{"n": "a"}, {"n": "b"}], "m": {"k": 1}, "x": "a b"});
    for (source, expected) in [
        ("{% if tone %}T{% else %}none{% endif %}", "none"),
        ("{% for i in items %}{{ loop.index }}{{ i.n }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        ("{% for i in items -%}\n  {{ i.n }}\n{%- endfor %}", "ab"),
        ("{% for k, v in m %}{{ k }}={{ v }}{% else %}empty{% endfor %}", "k=1"),
        ("{% for i in items %}{% if i.n == \"b\" %}{% break %}{% endif %}{{ i.n }}{% endfor %}", "a"),
        ("{% raw %}{{ x }}{% set y %}{% endraw %}", "{{ x }}{% set y %}"),
        ("{# {% set y = 1 %} #}ok", "ok"),
        ("{{ x | upper }}{{ x | replace(from=\" \", to=\"-\") }}", "A Ba-b"),
        ("{{ items | json }}", "[{\"n\":\"a\"},{\"n\":\"b\"}]"),
        ("{{ x | split(pat=\" \") | join(sep=\"+\") }}", "a+b"),
        ("{{ missing_field.a if missing_field is defined else \"no\" }}", "no"),
        ("{{ items[0].n ~ x[0:1] }}{{ 1 + 2 * 3 }}", "aa7"),
        ("{% if not (tone) and (\"a\" in x) %}y{% endif %}", "y"),
    ] {
        assert_eq!(render(source, variables.clone()), Ok(expected.to_owned()), "{source}");
    }
}

#[test]
fn dangerous_parts_are_refused_where_they_stand() {
    for (source, line, column, word) in [
        ("{% set x = x ~ x %}", 1, 4, "set"),
        ("a\n  {% set_global x = 1 %}", 2, 6, "set_global"),
        ("{% include \"/etc/passwd\" %}", 1, 4, "not supported yet"),
        ("{% extends \"x\" %}", 1, 4, "extends"),
        ("{% block b %}{% endblock %}", 1, 4, "block"),
        ("{% component c() %}{% endcomponent %}", 1, 4, "component"),
        ("{% filter upper %}x{% endfilter %}", 1, 4, "filter"),
        ("{% import \"x\" as y %}", 1, 4, "import"),
        ("é {{ range(end=10) }}", 1, 6, "range()"),
        ("{% for i in range(end=10) %}{% endfor %}", 1, 13, "range()"),
        ("{{ get_env(name=\"HOME\") }}", 1, 4, "get_env()"),
        ("{{ x | unique }}", 1, 8, "unique"),
        ("{{ x | safe }}", 1, 8, "safe"),
        ("{{ [a for a in x] }}", 1, 7, "for"),
        ("{{ __tera_context }}", 1, 4, "reserved"),
        ("{% for a in [x ~ x] %}{% endfor %}", 1, 16, "~"),
        ("{% <card title=\"x\"> %}{% </card> %}", 1, 4, "no tag"),
        ("{%for a in x%}{%for b in x%}{%for c in x%}{%endfor%}{%endfor%}{%endfor%}", 1, 29, "nest"),
        ("{{ x ", 1, 1, "not closed"),
        ("a\n{{ x + }}", 2, 8, "expected"),
        ("{% if x %}", 1, 1, "not closed"),
        ("{{ x | upper | lower | nope }}", 1, 24, "nope"),
        ("{{ x | upper + }}", 1, 16, "expected"),
    ] {
        let error = Template::parse(source).unwrap_err();
        assert!(error.message.contains(word), "{source}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
    }
}

#[test]
fn a_component_in_an_expression_is_refused() {
    assert!(Template::parse("{{ <card title=\"x\" /> }}").is_err());
}

#[test]
fn what_is_undefined_is_an_error_that_names_it() {
    for (source, word, column) in [
        ("{{ nope }}", "nope", 4),
        ("a {{ m.nope }}", "nope", 8),
        ("{% for i in m.l %}{{ i.nope }}{% endfor %}", "nope", 24),
        ("{{ m | upper }}{{ nope }}", "string", 8),
        ("{{ x | upper }}{{ nope }}", "nope", 19),
    ] {
        let error = render(source, json!({"m": {"l": [{}]}, "x": "x"})).unwrap_err();
        assert!(error.message.contains(word), "{source}: {error}");
        assert_eq!(error.column, column, "{source}: {error}");
    }
}

#[test]
fn variables_are_those_read_from_outside() {
    let template = Template::parse("{% for i in items %}{{ i.a }}{{ b | default(value=c) }}{% endfor %}").unwrap();
    assert_eq!(template.variables().iter().map(String::as_str).collect::<Vec<_>>(), ["b", "c", "items"]);
}

#[test]
fn long_chains_are_refused_and_overflow_no_stack() {
    let many = |part: &str, n: usize| part.repeat(n);
    for source in [
        format!("{{% if a %}}{}{{% endif %}}", many("{% elif a %}", 5_000)),
        format!("{}{}", many("{% if a %}", 2_000), many("{% endif %}", 2_000)),
        format!("{{{{ a{} }}}}", many(" + a", 10_000)),
        format!("{{{{ a{} }}}}", many(" ~ a", 10_000)),
        format!("{{{{ {}a{} }}}}", many("(", 10_000), many(")", 10_000)),
        format!("{{{{ a{} }}}}", many(" | upper", 3_000)),
        format!("{{{{ a{} }}}}", many(".b", 20_000)),
        format!("{{{{ {}1{} }}}}", many("[", 10_000), many("]", 10_000)),
        format!("{{{{ {}1{} }}}}", many("{\"a\": ", 5_000), many("}", 5_000)),
        many("{% if a == b %}{% endif %}", 1_000),
        many("{% if a is containing(pat=b) %}{% endif %}", 1_000),
        "x".repeat(MAX_SOURCE + 1),
    ] {
        assert!(Template::parse(&source).is_err(), "{source:.60}");
    }
}

#[test]
fn bombs_end_in_an_error() {
    let many: Vec<u32> = (0..20_000).collect();
    let long = "a".repeat(100_000);
    let variables = json!({"n": many, "s": long});
    for source in [
        "{% for a in n %}{% for b in n %}{% endfor %}{% endfor %}",
        "{% for a in n %}{% for b in s %}{% if n == s %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in n %}{% for b in n %}{{ s }}{% endfor %}{% endfor %}",
        "{% for a in n %}{% if s | upper | lower | upper | reverse == n %}x{% endif %}{% endfor %}",
        "{% for a in n %}{% if n | sort | reverse | json == s %}x{% endif %}{% endfor %}",
        "{{ s | replace(from=\"a\", to=s) }}",
        "{{ s | split(pat=\"\") | join(sep=s) }}",
        "{{ s ~ s ~ s ~ s ~ s ~ s ~ s ~ s ~ s | json | json }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}",
        "{{ n | indent(width=1000) }}",
    ] {
        assert!(render(source, variables.clone()).is_err(), "{source}");
    }
    let error = render("{{ a }}", json!({"a": "a".repeat(MAX_VALUES + 1)})).unwrap_err();
    assert!(error.message.contains("limit"), "{error}");
}

#[test]
fn templates_of_one_rendering_share_its_meter() {
    let many = values(json!({"n": (0..20_000).collect::<Vec<u32>>()}));
    let template = Template::parse("{% for a in n %}{% for b in n %}{% endfor %}{% endfor %}").unwrap();
    let (mut shared, mut work) = (Values::new(|name| many.get(name)), Work::begin());
    assert!(template.render(&mut shared, &mut work).is_err());
    // What comes after it gets no time of its own, however short.
    let brief = Template::parse("{{ n | length }}").unwrap();
    assert_eq!(brief.render(&mut shared, &mut work).unwrap_err().message, TooLong.to_string());
    assert_eq!(brief.render(&mut shared, &mut Work::begin()).unwrap(), "20000");
}

#[test]
fn a_long_honest_history_renders() {
    let history: Vec<Value> = (0..2_000).map(|i| json!({"role": "user", "content": format!("message {i}")})).collect();
    let source = "{% for m in h %}{% if m.role == \"user\" and \"e 7\" in m.content %}{{ m.content | upper }}\n{% endif %}{% endfor %}";
    assert_eq!(render(source, json!({"h": history})).unwrap().lines().count(), 111);
}

/// Our lexer decides what Tera will run, so it is read anew, beside Tera's own, before another version comes in.
#[test]
fn our_lexer_follows_the_version_of_tera_that_is_locked() {
    let lock = include_str!("../../Cargo.lock");
    let version = lock.split("name = \"tera\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(version, Some(lexer::FOLLOWS));
}

proptest! {
    /// Whatever our lexer takes for text must be text to Tera too: no assignment ever takes effect.
    #[test]
    fn no_assignment_slips_through(parts in prop::collection::vec(prop::sample::select(vec![
        "{%", "%}", "{{", "}}", "{#", "#}", "-", "raw", "endraw", " ", "\"", "'", "`", "\\", "é", "\n", "{",
        "{% raw %}", "{% endraw %}", "{%- raw -%}", "{% set q = \"MARK\" ~ \"ED\" %}", "set q = 'MARK' ~ 'ED'",
        "{{ q | default(value='') }}", "{{", "%", "x", "1.", "{{ \"}}", "--",
    ]), 0..14)) {
        let source = parts.concat() + "{{ q | default(value='') }}";
        if let Ok(text) = render(&source, json!({"x": "x"})) {
            prop_assert!(!text.contains("MARKED"), "{}", source);
        }
    }

    #[test]
    fn any_source_parses_or_is_refused(source in "(\\{\\{|\\}\\}|\\{%|%\\}|if|for|in|end|x|[|. \"(){}~-]|\\PC){0,40}") {
        if let Ok(template) = Template::parse(&source) {
            drop(template.render(&mut Values::new(|_| None), &mut Work::begin()));
        }
    }

    #[test]
    fn any_value_comes_out_as_it_went_in(value in "\\PC{0,60}") {
        prop_assert_eq!(render("{{ v }}", json!({"v": value.clone()})).unwrap(), value);
    }
}

#[test]
fn what_is_not_closed_or_of_another_language_is_named_with_its_place() {
    for (source, line, column, words) in [
        ("{{ name ", 1, 1, "`{{` is not closed; end it with `}}`"),
        ("Hi\n  {{ name }\nBye", 2, 3, "`{{` is not closed"),
        ("{{ a } and {{ b }}", 1, 1, "`{{` is not closed"),
        ("{{ a }} and {{ b", 1, 13, "`{{` is not closed"),
        ("x {% if a", 1, 3, "`{%` is not closed; end it with `%}`"),
        ("x {# a", 1, 3, "`{#` is not closed; end it with `#}`"),
        ("{% raw %} {{ a }}", 1, 1, "`{% raw %}` is not closed"),
        ("é{% if a %}x", 1, 2, "`{% if … %}` is not closed; end it with `{% endif %}`"),
        ("{% for x in a %}{% if x %}{% endif %}", 1, 1, "`{% for … %}` is not closed; end it with `{% endfor %}`"),
        ("{{#if x}}y{{/if}}", 1, 1, "write `{% if … %}`"),
        ("{{#each xs}}y{{/each}}", 1, 1, "write `{% for item in … %}`"),
        ("a {{/if}}", 1, 3, "write `{% endif %}`"),
        ("{{{name}}}", 1, 1, "write `{{ name }}`"),
        ("{{ name $ }}", 1, 1, "`{{ name $ }}`"),
        ("{{ a | default(value=\"x) }}", 1, 1, "a quote is not closed"),
        ("{{ a | uppercase }}", 1, 8, "did you mean `upper`?"),
        ("{{ a | lowr }}", 1, 8, "did you mean `lower`?"),
        ("{{ a | length | strip }}", 1, 17, "did you mean `trim`?"),
        ("{{ a | xyzzy_quux }}", 1, 8, "there are abs, "),
    ] {
        let error = Template::parse(source).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
        assert!(error.message.contains(words), "{source}: {error}");
    }
}
