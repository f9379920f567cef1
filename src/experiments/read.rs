//! Reads an experiment field by field and collects every mistake, so that its author sees them all at once.

use std::time::Duration;

use serde_json::{Map, Value};

use super::metric::{Better, Metric};
use super::spec::{Arm, Goal, Guardrail, Margin, Spec, UnitKind};
use crate::types::{Diagnostic, ModelName, Share, did_you_mean, parse_duration};

/// The most arms of an experiment, with the control.
const MOST_ARMS: usize = 8;
/// The most guardrails of an experiment.
const MOST_GUARDRAILS: usize = 8;
/// The largest weight of an arm.
const MOST_WEIGHT: u32 = 1_000_000;
/// The largest settings of an arm, in bytes of JSON.
const MOST_SETTINGS: usize = 64 << 10;
/// The fewest units that say anything: intervals are right for sums of many.
const FEWEST_SAMPLES: u64 = 10;
/// The most units that an experiment may wait for.
const MOST_SAMPLES: u64 = 1_000_000_000;
/// The longest time that an experiment may wait before an arm wins.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

const FIELDS: [&str; 14] = [
    "name",
    "prompt",
    "label",
    "arms",
    "unit",
    "share",
    "metric",
    "guardrails",
    "alpha",
    "min_samples",
    "min_duration",
    "on_win",
    "on_harm",
    "holdback",
];

/// Fields that a call has of its own, so that no arm can set them.
const OF_CALLS: [&str; 6] = ["messages", "input", "contents", "prompt", "stream", "stream_options"];

impl Spec {
    /// Reads the body of `POST /experiments`.
    ///
    /// # Errors
    /// Every mistake, each with its key.
    pub fn from_json(value: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let spec = reader.spec(value);
        match spec {
            Some(spec) if reader.mistakes.is_empty() => Ok(spec),
            _ => Err(reader.mistakes),
        }
    }
}

/// What was found wrong so far.
#[derive(Default)]
struct Reader {
    mistakes: Vec<Diagnostic>,
}

impl Reader {
    fn spec(&mut self, value: &Value) -> Option<Spec> {
        let fields = self.object("", value, &FIELDS)?;
        let (name, prompt) = (self.name(fields, "name"), self.name(fields, "prompt"));
        let label = match fields.get("label") {
            None => "production".parse().ok(),
            Some(_) => self.name(fields, "label"),
        };
        let arms = self.arms(fields.get("arms"));
        let unit = self.word(fields, "unit", &UnitKind::ALL.map(|unit| (unit.text(), unit)));
        let share = self.number(fields, ("share", "above 0 and at most 1"), 1.0, |share| share > 0.0 && share <= 1.0);
        let goal = self.goal(fields.get("metric"));
        let guardrails = self.guardrails(fields.get("guardrails"));
        let alpha = self.number(fields, ("alpha", "from 0.000001 to 0.5"), 0.05, |alpha| (1e-6..=0.5).contains(&alpha));
        let min_samples = self.samples(fields.get("min_samples"));
        let min_duration = self.duration(fields.get("min_duration"));
        let promotes = self.word(fields, "on_win", &[("report", false), ("promote", true)]);
        let rolls_back = self.word(fields, "on_harm", &[("roll_back", true), ("report", false)]);
        let holdback = self.number(fields, ("holdback", "from 0 to 0.5"), 0.0, |part| (0.0..=0.5).contains(&part));
        Some(Spec {
            name: name?,
            prompt: prompt?,
            label: label?,
            arms: arms?,
            unit: unit?,
            share: Share::of(share?)?,
            goal: goal?,
            guardrails: guardrails?,
            alpha: alpha?,
            min_samples: min_samples?,
            min_duration: min_duration?,
            promotes: promotes?,
            rolls_back: rolls_back?,
            holdback: Share::of(holdback?)?,
        })
    }

    fn arms(&mut self, value: Option<&Value>) -> Option<Vec<Arm>> {
        let list = self.list("arms", value)?;
        if !(2..=MOST_ARMS).contains(&list.len()) {
            let message = format!("has {}; an experiment has 2 to {MOST_ARMS}, the first is the control", list.len());
            return self.wrong("arms", message);
        }
        let read: Vec<Option<(Arm, Option<u32>)>> =
            list.iter().enumerate().map(|(n, value)| self.arm(&format!("arms[{n}]"), value)).collect();
        let arms: Vec<(Arm, Option<u32>)> = read.into_iter().collect::<Option<_>>()?;
        for (n, (arm, _)) in arms.iter().enumerate() {
            let before = || arms[..n].iter().map(|(other, _)| other);
            if before().any(|other| other.name == arm.name) {
                self.note(&format!("arms[{n}].name"), format!("`{}` is the name of an arm before", arm.name));
            } else if let Some(other) = before().find(|other| other.is_same_release(arm)) {
                let same = format!("is the same as `{}`: version, model and settings are equal", other.name);
                self.note(&format!("arms[{n}]"), same);
            }
        }
        self.weighted(arms)
    }

    /// The arms with their weights. Arms without one share equally what the others leave of 100.
    fn weighted(&mut self, arms: Vec<(Arm, Option<u32>)>) -> Option<Vec<Arm>> {
        let missing = u32::try_from(arms.iter().filter(|(_, weight)| weight.is_none()).count()).ok()?;
        let given: u64 = arms.iter().filter_map(|(_, weight)| weight.map(u64::from)).sum();
        if missing > 0 && given >= 100 {
            let without = arms.iter().position(|(_, weight)| weight.is_none()).unwrap_or_default();
            let message = format!("is missing, and the weights of the other arms leave nothing of 100 ({given})");
            return self.wrong(&format!("arms[{without}].weight"), message);
        }
        let rest = 100u32.saturating_sub(u32::try_from(given).unwrap_or(u32::MAX));
        let weighted = |(arm, weight): (Arm, Option<u32>)| Arm {
            weight: match weight {
                Some(weight) => weight * missing.max(1),
                None => rest,
            },
            ..arm
        };
        Some(arms.into_iter().map(weighted).collect())
    }

    fn arm(&mut self, key: &str, value: &Value) -> Option<(Arm, Option<u32>)> {
        let fields = self.object(key, value, &["name", "version", "model", "settings", "weight"])?;
        let name = self.named(&format!("{key}.name"), fields.get("name"));
        let version = match fields.get("version").map(|version| version.as_u64().and_then(|n| u32::try_from(n).ok())) {
            Some(Some(version)) if version > 0 => Some(version),
            Some(_) => self.wrong(&format!("{key}.version"), "is a number from 1"),
            None => self.wrong(&format!("{key}.version"), "is missing: the prompt's version that the arm calls"),
        };
        let model = match fields.get("model") {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(model)) if model.starts_with("prompt/") => {
                self.wrong(&format!("{key}.model"), "names a model or a route, not a prompt")
            }
            Some(model) => self.named::<ModelName>(&format!("{key}.model"), Some(model)).map(Some),
        };
        let settings = self.settings(&format!("{key}.settings"), fields.get("settings"));
        let weight = match fields.get("weight").map(Value::as_u64) {
            None => Some(None),
            Some(Some(0)) => self.wrong(&format!("{key}.weight"), "is 0, so no call would get this arm; leave it out"),
            Some(Some(weight)) if weight <= u64::from(MOST_WEIGHT) => Some(u32::try_from(weight).ok()),
            Some(_) => self.wrong(&format!("{key}.weight"), format!("is a whole number from 1 to {MOST_WEIGHT}")),
        };
        Some((Arm { name: name?, version: version?, model: model?, settings: settings?, weight: 0 }, weight?))
    }

    fn settings(&mut self, key: &str, value: Option<&Value>) -> Option<Map<String, Value>> {
        let settings = match value {
            None | Some(Value::Null) => return Some(Map::new()),
            Some(Value::Object(settings)) => settings,
            Some(_) => return self.wrong(key, "must be an object of request fields"),
        };
        if let Some(name) = settings.keys().find(|name| OF_CALLS.contains(&name.as_str())) {
            return self.wrong(&format!("{key}.{name}"), "belongs to each request; an arm cannot set it");
        }
        if settings.contains_key("model") {
            return self.wrong(&format!("{key}.model"), "stands beside `settings`, as the arm's `model`");
        }
        if Value::Object(settings.clone()).to_string().len() > MOST_SETTINGS {
            return self.wrong(key, format!("has more than {MOST_SETTINGS} bytes"));
        }
        Some(settings.clone())
    }

    fn goal(&mut self, value: Option<&Value>) -> Option<Goal> {
        let Some(value) = value else {
            return self
                .wrong("metric", "is missing: what decides, such as {\"name\": \"resolved\", \"better\": \"higher\"}");
        };
        let fields = self.object("metric", value, &["name", "better", "margin"])?;
        let (metric, better) = self.metric(("metric", "name"), fields)?;
        let margin = match fields.get("margin").map(Value::as_f64) {
            None => None,
            Some(Some(margin)) if margin > 0.0 && margin.is_finite() => Some(margin),
            Some(_) => return self.wrong("metric.margin", "is a number above 0"),
        };
        if margin.is_some() && metric == Metric::LatencyP95Ms {
            return self.wrong("metric.margin", "has no meaning for latency_p95_ms, whose tails are compared");
        }
        Some(Goal { metric, better, margin })
    }

    fn guardrails(&mut self, value: Option<&Value>) -> Option<Vec<Guardrail>> {
        let list = match value {
            None | Some(Value::Null) => return Some(Vec::new()),
            value => self.list("guardrails", value)?,
        };
        if list.len() > MOST_GUARDRAILS {
            return self.wrong("guardrails", format!("has {}; the most are {MOST_GUARDRAILS}", list.len()));
        }
        let read: Vec<Option<Guardrail>> =
            list.iter().enumerate().map(|(n, value)| self.guardrail(&format!("guardrails[{n}]"), value)).collect();
        read.into_iter().collect()
    }

    fn guardrail(&mut self, key: &str, value: &Value) -> Option<Guardrail> {
        let fields = self.object(key, value, &["metric", "better", "margin", "margin_ratio"])?;
        let (metric, better) = self.metric((key, "metric"), fields)?;
        let margin = |name: &str| fields.get(name).map(Value::as_f64);
        let margin = match (margin("margin"), margin("margin_ratio")) {
            (Some(Some(by)), None) if by > 0.0 && by.is_finite() => Margin::By(by),
            (None, Some(Some(part))) if part > 0.0 && part <= 10.0 => Margin::Part(part),
            (None, None) => return self.wrong(key, "needs `margin` or `margin_ratio`: how much worse an arm may be"),
            (Some(_), Some(_)) => return self.wrong(key, "has both `margin` and `margin_ratio`; use one"),
            (Some(_), None) => return self.wrong(&format!("{key}.margin"), "is a number above 0"),
            (None, Some(_)) => return self.wrong(&format!("{key}.margin_ratio"), "is a number above 0, at most 10"),
        };
        Some(Guardrail { metric, better, margin })
    }

    /// A metric and which way is good.
    fn metric(&mut self, (key, field): (&str, &str), fields: &Map<String, Value>) -> Option<(Metric, Better)> {
        let named = format!("{key}.{field}");
        let metric = match fields.get(field) {
            Some(Value::String(name)) => match Metric::read(name) {
                Ok(metric) => metric,
                Err(message) => return self.wrong(&named, message),
            },
            Some(_) => return self.wrong(&named, "must be a string"),
            None => return self.wrong(&named, "is missing"),
        };
        let better = match fields.get("better").map(Value::as_str) {
            None => metric.better(),
            Some(Some("higher")) => Better::Higher,
            Some(Some("lower")) => Better::Lower,
            Some(_) => return self.wrong(&format!("{key}.better"), "is \"higher\" or \"lower\""),
        };
        if !metric.is_reported() && better != metric.better() {
            return self.wrong(&format!("{key}.better"), format!("of {metric} is \"{}\"", metric.better().text()));
        }
        Some((metric, better))
    }

    fn samples(&mut self, value: Option<&Value>) -> Option<u64> {
        match value.map(Value::as_u64) {
            None => Some(100),
            Some(Some(samples)) if (FEWEST_SAMPLES..=MOST_SAMPLES).contains(&samples) => Some(samples),
            Some(_) => self.wrong(
                "min_samples",
                format!("is a whole number from {FEWEST_SAMPLES} to {MOST_SAMPLES}, of units in each arm"),
            ),
        }
    }

    fn duration(&mut self, value: Option<&Value>) -> Option<Duration> {
        match value.map(|value| value.as_str().and_then(parse_duration)) {
            None => Some(Duration::from_secs(86_400)),
            Some(Some(duration)) if duration <= LONGEST => Some(duration),
            Some(_) => self.wrong("min_duration", "is a duration such as \"24h\", at most 366d"),
        }
    }

    fn word<T: Copy>(&mut self, fields: &Map<String, Value>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let Some(value) = fields.get(key) else { return words.first().map(|(_, value)| *value) };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, value)) => Some(*value),
            None => self.wrong(key, format!("is {}", known())),
        }
    }

    fn number(
        &mut self,
        fields: &Map<String, Value>,
        (key, form): (&str, &str),
        default: f64,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        match fields.get(key).map(Value::as_f64) {
            None => Some(default),
            Some(Some(number)) if number.is_finite() && fits(number) => Some(number),
            Some(_) => self.wrong(key, format!("is a number {form}")),
        }
    }

    fn name<T: std::str::FromStr<Err = crate::types::BadName>>(
        &mut self,
        fields: &Map<String, Value>,
        key: &str,
    ) -> Option<T> {
        self.named(key, fields.get(key))
    }

    fn named<T: std::str::FromStr<Err = crate::types::BadName>>(
        &mut self,
        key: &str,
        value: Option<&Value>,
    ) -> Option<T> {
        match value {
            Some(Value::String(text)) => match text.parse() {
                Ok(name) => Some(name),
                Err(error) => self.wrong(key, error.to_string()),
            },
            Some(_) => self.wrong(key, "must be a string"),
            None => self.wrong(key, "is missing"),
        }
    }

    fn list<'v>(&mut self, key: &str, value: Option<&'v Value>) -> Option<&'v Vec<Value>> {
        match value {
            Some(Value::Array(list)) => Some(list),
            Some(_) => self.wrong(key, "must be a list"),
            None => self.wrong(key, "is missing"),
        }
    }

    fn object<'v>(&mut self, key: &str, value: &'v Value, known: &[&str]) -> Option<&'v Map<String, Value>> {
        let Value::Object(fields) = value else { return self.wrong(key, "must be an object") };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())).take(10) {
            let shown: String = name.chars().take(80).collect();
            let place = if key.is_empty() { shown.clone() } else { format!("{key}.{shown}") };
            let near = did_you_mean(&shown, known.iter().copied());
            self.note(&place, format!("is not known here; use {}{near}", known.join(", ")));
        }
        Some(fields)
    }

    /// Notes a mistake and reads on.
    fn note(&mut self, key: &str, message: impl Into<String>) {
        self.mistakes.push(Diagnostic::new(key, message));
    }

    /// Notes a mistake; `None`, so that a reader can end with it.
    fn wrong<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        self.note(key, message);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn valid() -> Value {
        json!({
            "name": "support-v4", "prompt": "support-reply", "label": "production",
            "arms": [
                {"name": "control", "version": 3},
                {"name": "candidate", "version": 4, "model": "fast", "settings": {"temperature": 0}, "weight": 50},
            ],
            "unit": "user", "share": 1.0, "metric": {"name": "resolved", "better": "higher"},
            "guardrails": [
                {"metric": "error_rate", "margin": 0.01},
                {"metric": "cost_usd", "margin_ratio": 0.1},
                {"metric": "latency_p95_ms", "margin_ratio": 0.2},
            ],
            "alpha": 0.05, "min_samples": 100, "min_duration": "24h", "on_win": "promote", "on_harm": "roll_back",
            "holdback": 0.05,
        })
    }

    /// The mistakes of the valid experiment with one field changed; none takes it away.
    fn with(pointer: &str, value: Option<Value>) -> Vec<String> {
        let mut changed = valid();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = changed.pointer_mut(parent).unwrap();
        match (parent, value) {
            (Value::Object(fields), Some(value)) => drop(fields.insert(field.to_owned(), value)),
            (Value::Object(fields), None) => drop(fields.remove(field)),
            (parent, value) => parent[field.parse::<usize>().unwrap()] = value.unwrap(),
        }
        Spec::from_json(&changed).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let spec = Spec::from_json(&valid()).unwrap();
        assert_eq!(spec.arms.iter().map(|arm| arm.weight).collect::<Vec<_>>(), [50, 50]);
        assert_eq!(Spec::from_json(&spec.to_json()).unwrap(), spec);
        let least = json!({
            "name": "a", "prompt": "p", "metric": {"name": "error_rate"},
            "arms": [{"name": "a", "version": 1}, {"name": "b", "version": 2}, {"name": "c", "version": 1, "model": "m", "weight": 10}],
        });
        let spec = Spec::from_json(&least).unwrap();
        assert_eq!(spec.arms.iter().map(|arm| arm.weight).collect::<Vec<_>>(), [90, 90, 20]);
        assert!(spec.rolls_back && !spec.promotes && spec.unit == UnitKind::User && spec.min_samples == 100);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let arm = |version: u32| json!({"name": "candidate", "version": version});
        for (pointer, value, told) in [
            ("/name", Some(json!("A b")), "name: `A b` is not a name of an experiment"),
            ("/prompt", None, "prompt: is missing"),
            ("/label", Some(json!("latest")), "label: `latest` is reserved"),
            ("/arms", Some(json!([])), "arms: has 0; an experiment has 2 to 8"),
            ("/arms/1", Some(arm(3)), "arms[1]: is the same as `control`"),
            ("/arms/1", Some(arm(0)), "arms[1].version: is a number from 1"),
            ("/arms/1/name", Some(json!("control")), "arms[1].name: `control` is the name of an arm before"),
            ("/arms/1/weight", Some(json!(0)), "arms[1].weight: is 0, so no call would get this arm"),
            ("/arms/1/weight", Some(json!(-1)), "arms[1].weight: is a whole number from 1"),
            ("/arms/1/weight", Some(json!(100)), "arms[0].weight: is missing, and the weights of the other arms leave"),
            ("/arms/1/model", Some(json!("prompt/x")), "arms[1].model: names a model or a route"),
            ("/arms/1/settings", Some(json!({"messages": []})), "arms[1].settings.messages: belongs to each request"),
            ("/arms/1/settings", Some(json!({"model": "m"})), "arms[1].settings.model: stands beside"),
            ("/arms/1/tempo", Some(json!(1)), "arms[1].tempo: is not known here"),
            ("/unit", Some(json!("cookie")), "unit: is \"user\" or \"session\" or \"key\" or \"request\""),
            ("/share", Some(json!(0)), "share: is a number above 0 and at most 1"),
            ("/share", Some(json!(1.1)), "share: is a number above 0"),
            ("/metric", None, "metric: is missing"),
            ("/metric/name", Some(json!("shadow_preference")), "metric.name: `shadow_preference` is not measured yet"),
            ("/metric/better", Some(json!("more")), "metric.better: is \"higher\" or \"lower\""),
            ("/metric/margin", Some(json!(0)), "metric.margin: is a number above 0"),
            (
                "/metric",
                Some(json!({"name": "cost_usd", "better": "higher"})),
                "metric.better: of cost_usd is \"lower\"",
            ),
            ("/guardrails/0/margin", None, "guardrails[0]: needs `margin` or `margin_ratio`"),
            ("/guardrails/0/margin", Some(json!(-1)), "guardrails[0].margin: is a number above 0"),
            ("/guardrails/1/margin", Some(json!(1)), "guardrails[1]: has both"),
            ("/alpha", Some(json!(0.9)), "alpha: is a number from 0.000001 to 0.5"),
            ("/min_samples", Some(json!(5)), "min_samples: is a whole number from 10"),
            ("/min_duration", Some(json!("1 day")), "min_duration: is a duration such as"),
            ("/on_win", Some(json!("cheer")), "on_win: is \"report\" or \"promote\""),
            ("/holdback", Some(json!(0.6)), "holdback: is a number from 0 to 0.5"),
            ("/hold_back", Some(json!(0.1)), "did you mean `holdback`?"),
        ] {
            let mistakes = with(pointer, value);
            assert_eq!(mistakes.len(), 1, "{pointer}: {mistakes:?}");
            assert!(mistakes[0].contains(told), "{pointer}: {mistakes:?}");
        }
        assert_eq!(Spec::from_json(&json!([])).unwrap_err()[0].to_string(), "must be an object");
        let all = Spec::from_json(&json!({"alpha": 3, "arms": [{}, {}]})).unwrap_err();
        assert!(all.len() >= 8, "{all:?}");
    }

    proptest! {
        #[test]
        fn any_json_is_an_experiment_or_a_mistake(text in r#"(\{|\[|"name"|"arms"|:|,|1|"a"|null|\}|\]){0,24}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let read = Spec::from_json(&value);
                prop_assert!(read.is_ok() || !read.unwrap_err().is_empty());
            }
        }
    }
}
