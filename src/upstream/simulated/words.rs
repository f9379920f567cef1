//! What a text is about, by its words, to choose a label or to fill a field believably.

use std::collections::BTreeSet;

/// Only so many bytes of a text are read.
const READ: usize = 8_000;

/// The words, names and numbers of the last message.
pub(super) struct Facts {
    /// The message's text, cut to [`READ`].
    pub(super) text: String,
    /// A few words that the message is about.
    pub(super) topic: String,
    /// Names: capital letters within a sentence.
    pub(super) names: Vec<String>,
    /// Numbers, in their order.
    pub(super) numbers: Vec<f64>,
    /// Codes such as `A-4711`: a word with a digit.
    pub(super) codes: Vec<String>,
    /// The sentences.
    pub(super) sentences: Vec<String>,
    words: BTreeSet<String>,
}

impl Facts {
    /// Takes a text apart.
    pub(super) fn of(text: &str) -> Self {
        let text: String = text.chars().take(READ).collect();
        let has_digit = |word: &&str| word.bytes().any(|b| b.is_ascii_digit());
        Self {
            topic: topic(&text),
            names: names(&text),
            numbers: raw_words(&text).filter(has_digit).filter_map(|w| w.replace(',', "").parse().ok()).collect(),
            codes: raw_words(&text).filter(has_digit).map(str::to_owned).collect(),
            sentences: sentences(&text),
            words: words(&text).collect(),
            text,
        }
    }

    /// Whether a word of the text is of the same stem.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.words.iter().any(|own| akin(own, word))
    }

    /// Whether the text, in lower case, holds `phrase`.
    pub(super) fn says(&self, phrase: &str) -> bool {
        self.text.to_lowercase().contains(phrase)
    }

    /// How well `label` fits the text: shared words count most, then words that usually go with it.
    pub(super) fn likeness(&self, label: &str) -> usize {
        let own = words(label).filter(|word| self.mentions(word)).count() * 3;
        let near = ASSOCIATED
            .iter()
            .filter(|(name, _)| words(label).any(|word| akin(name, &word)))
            .flat_map(|(_, near)| near.split(' '))
            .filter(|near| self.mentions(near))
            .count();
        own + near
    }

    /// The label that fits best; where none fits one that says so, else `spare`.
    pub(super) fn best<'a>(&self, labels: &[&'a str], spare: usize) -> &'a str {
        let mut best = (0, None);
        for label in labels {
            let likeness = self.likeness(label);
            if likeness > best.0 {
                best = (likeness, Some(*label));
            }
        }
        let vague = |label: &&&str| VAGUE.contains(&label.to_lowercase().as_str());
        best.1.or_else(|| labels.iter().find(vague).copied()).unwrap_or_else(|| labels[spare % labels.len()])
    }
}

/// Words in lower case: letters and digits, split where a small letter meets a capital.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let mut spread = String::with_capacity(text.len() + 8);
    let mut was_small = false;
    for c in text.chars() {
        if c.is_uppercase() && was_small {
            spread.push(' ');
        }
        was_small = c.is_lowercase();
        spread.push(if c.is_alphanumeric() { c } else { ' ' });
    }
    spread.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

/// Whether a word says nothing of what a text is about.
pub(super) fn is_small(word: &str) -> bool {
    word.chars().count() < 3 && !word.bytes().any(|b| b.is_ascii_digit()) || STOP.split(' ').any(|stop| stop == word)
}

/// Whether two words in lower case share a stem: `delivery` and `delivered`, `ship` and `shipping`.
fn akin(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches('s'), b.trim_end_matches('s'));
    let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let (shorter, longer) = (a.chars().count().min(b.chars().count()), a.chars().count().max(b.chars().count()));
    shared == longer || shared >= 5 && longer - shared <= 6 || shared == shorter && shared == 4 && longer <= 8
}

/// Words as they stand, without the signs about them.
fn raw_words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// The longest run of telling words, three at most.
fn topic(text: &str) -> String {
    let mut best: Vec<&str> = Vec::new();
    for line in text.split(['.', '!', '?', '\n', ',', ';', ':', '(', ')', '"', '{', '}', '[', ']', '<', '>']) {
        for run in raw_words(line).collect::<Vec<_>>().split(|word| is_small(&word.to_lowercase())) {
            if run.len() > best.len() && best.len() < 3 {
                best = run.iter().take(3).copied().collect();
            }
        }
    }
    let topic = best.join(" ").chars().take(60).collect::<String>();
    if topic.is_empty() { "your request".to_owned() } else { topic }
}

fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for sentence in sentences(text) {
        let mut last_was_name = false;
        for (i, word) in sentence.split_whitespace().enumerate() {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            let is_name = i > 0 && is_capital(bare);
            match names.last_mut() {
                Some(name) if is_name && last_was_name => *name = format!("{name} {bare}"),
                _ if is_name => names.push(bare.to_owned()),
                _ => {}
            }
            last_was_name = is_name && !word.ends_with([',', ';', ':']);
        }
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| name.len() > 1 && seen.insert(name.clone()));
    names.truncate(16);
    names
}

/// Begins with a capital letter, has no digit and is no everyday word.
fn is_capital(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
        && !word.bytes().any(|b| b.is_ascii_digit())
        && !is_small(&word.to_lowercase())
}

fn sentences(text: &str) -> Vec<String> {
    text.split_inclusive(['.', '!', '?', '\n'])
        .map(|sentence| sentence.trim().to_owned())
        .filter(|sentence| sentence.split_whitespace().count() >= 2)
        .take(64)
        .collect()
}

const VAGUE: &[&str] = &["other", "others", "general", "unknown", "none", "misc", "miscellaneous", "neutral", "n/a"];

const STOP: &str = "a an and any are all also about after as at be been but by can could did do does doing don for from \
get give got had has have hello help her here hey him his how i if in into is it its just know let like make may me \
might more most must my need no not now of off on one only or our out over own please put say she should so some such \
tell than thank thanks that the their them then there these they this those through to too up us use very want was we \
were what when where which while who why will with would write yes you your yours i'm it's don't i've can't there's \
what's here's show answer following using based given describe explain between each every because since still again";

/// Labels that users have, and words that speak for them.
const ASSOCIATED: &[(&str, &str)] = &[
    (
        "electronics",
        "laptop phone charger cable usb headphones camera battery bluetooth monitor keyboard tv speaker wireless",
    ),
    ("kitchen", "pan knife blender kettle oven pot spoon cook mug toaster cutlery"),
    ("garden", "plant lawn mower seed soil hose outdoor flower patio"),
    ("clothing", "shirt dress jacket shoes cotton trousers socks coat wool sleeve sneakers"),
    ("fashion", "shirt dress jacket shoes cotton trousers coat"),
    ("toys", "lego doll puzzle kids children game plush"),
    ("books", "novel paperback author hardcover chapter edition reading"),
    ("tools", "drill hammer saw screwdriver wrench cordless bit"),
    ("sports", "ball bike running fitness yoga tennis football gym"),
    ("beauty", "cream shampoo lipstick skin hair perfume"),
    ("health", "vitamin medicine bandage thermometer pain doctor"),
    ("office", "paper printer stapler desk pen notebook"),
    ("furniture", "chair table sofa bed shelf wardrobe"),
    ("home", "lamp curtain pillow towel carpet blanket vacuum"),
    ("pet", "dog cat leash aquarium puppy kitten"),
    ("grocery", "coffee tea pasta chocolate rice snack organic"),
    ("automotive", "car tyre tire oil engine brake wheel"),
    ("billing", "invoice charged payment card bill price subscription paid"),
    ("refund", "money back return charged twice"),
    ("shipping", "delivery parcel arrived tracking order courier package late"),
    ("delivery", "parcel arrived tracking shipping courier package late"),
    ("technical", "error crash bug install login update broken password"),
    ("account", "password login email sign profile locked"),
    ("complaint", "angry unacceptable terrible worst disappointed"),
    ("positive", "great love excellent happy good wonderful amazing perfect thanks"),
    ("negative", "bad terrible hate broken awful worst disappointed angry poor never"),
    ("urgent", "immediately asap now emergency outage down"),
    ("high", "urgent immediately asap outage down critical"),
    ("termination", "terminate notice end expire days"),
    ("liability", "liable damages cap indirect loss"),
    ("confidentiality", "confidential disclose secret information"),
    ("payment", "invoice fee pay days due"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_chosen_by_the_words_of_the_text() {
        let labels = ["billing", "shipping", "technical", "other"];
        for (text, wanted) in [
            ("My parcel has not arrived, the tracking page is empty", "shipping"),
            ("I was charged twice on my card", "billing"),
            ("There is a technical problem", "technical"),
            ("Purple sky", "other"),
        ] {
            assert_eq!(Facts::of(text).best(&labels, 0), wanted, "{text}");
        }
        assert_eq!(Facts::of("Cordless drill, 18 V").best(&["Home & Kitchen", "Power Tools"], 0), "Power Tools");
    }

    #[test]
    fn stems_meet_and_strangers_do_not() {
        for (a, b) in [("delivery", "delivered"), ("ship", "shipping"), ("invoices", "invoice"), ("cats", "cat")] {
            assert!(akin(a, b), "{a} {b}");
        }
        for (a, b) in [("car", "cat"), ("order", "ordinary"), ("pan", "panther")] {
            assert!(!akin(a, b), "{a} {b}");
        }
    }

    #[test]
    fn facts_find_topic_names_numbers_and_codes() {
        let facts = Facts::of("Where is my order A-4711? I live in New York, my friend in Paris. I paid 1,250 euros.");
        assert_eq!(facts.topic, "order A-4711");
        assert_eq!(facts.names, ["New York", "Paris"]);
        assert_eq!(facts.numbers, [1250.0]);
        assert_eq!(facts.codes, ["A-4711", "1,250"]);
        assert_eq!(facts.sentences.len(), 3);
        assert_eq!(Facts::of("").topic, "your request");
    }

    #[test]
    fn words_are_split_at_humps_and_signs() {
        assert_eq!(words("getWeather_now-2").collect::<Vec<_>>(), ["get", "weather", "now", "2"]);
    }
}
