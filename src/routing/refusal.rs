//! Answers that refuse in words: the beginnings by which they are known, in a few languages.

/// How many characters of an answer are looked at.
const LOOKED_AT: usize = 160;

/// How refusals begin, in lower case and with straight apostrophes. The guide to routing lists the languages.
const BEGINNINGS: [&str; 54] = [
    // English
    "i can't assist",
    "i can't help",
    "i can't provide",
    "i can't do that",
    "i can't comply",
    "i can't fulfill",
    "i cannot assist",
    "i cannot help",
    "i cannot provide",
    "i cannot comply",
    "i cannot fulfill",
    "i can not assist",
    "i can not help",
    "i'm not able to",
    "i am not able to",
    "i'm unable to",
    "i am unable to",
    "i won't be able to",
    "i must decline",
    "i have to decline",
    "as an ai language model",
    "as a language model",
    "sorry, but i can't",
    "sorry, but i cannot",
    "sorry, i can't",
    "sorry, i cannot",
    // German
    "ich kann dabei nicht",
    "ich kann dir dabei nicht",
    "ich kann ihnen dabei nicht",
    "dabei kann ich nicht",
    "dabei kann ich dir nicht",
    "dabei kann ich ihnen nicht",
    "ich bin nicht in der lage",
    "es tut mir leid, aber ich kann",
    "tut mir leid, aber ich kann",
    "tut mir leid, dabei kann ich",
    "als ki-sprachmodell",
    // French
    "je ne peux pas",
    "je ne suis pas en mesure",
    "désolé, mais je ne peux",
    "désolée, mais je ne peux",
    "en tant que modèle de langage",
    // Spanish
    "no puedo ayudar",
    "no puedo proporcionar",
    "lo siento, pero no puedo",
    "lo siento, no puedo",
    "como modelo de lenguaje",
    // Italian
    "mi dispiace, ma non posso",
    "non posso aiutar",
    "come modello linguistico",
    // Portuguese
    "desculpe, mas não posso",
    "sinto muito, mas não posso",
    "não posso ajudar",
    "como modelo de linguagem",
];

/// What may stand before such a beginning.
const BEFORE: [&str; 8] = [
    "i'm sorry, but ",
    "i am sorry, but ",
    "i'm sorry. ",
    "i'm sorry, ",
    "i apologize, but ",
    "unfortunately, ",
    "leider ",
    "es tut mir leid. ",
];

/// Whether a text begins as a refusal does.
pub(super) fn begins_as_refusal(text: &str) -> bool {
    let begins: String = text.trim_start().chars().take(LOOKED_AT).collect();
    let begins = begins.to_lowercase().replace(['\u{2019}', '\u{2018}'], "'");
    let is_refusal = |text: &str| BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    is_refusal(&begins) || BEFORE.iter().filter_map(|before| begins.strip_prefix(before)).any(is_refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_known_by_their_beginnings() {
        for text in [
            "I'm sorry, but I can't assist with that request.",
            "I\u{2019}m sorry, but I can\u{2019}t help with that.",
            "  I cannot help you build this.",
            "Unfortunately, I am unable to look that up.",
            "Es tut mir leid, aber ich kann das nicht beantworten.",
            "Je ne peux pas répondre à cette question.",
            "Lo siento, pero no puedo ayudar con eso.",
            "Mi dispiace, ma non posso farlo.",
            "Desculpe, mas não posso fazer isso.",
        ] {
            assert!(begins_as_refusal(text), "{text}");
        }
    }

    #[test]
    fn other_answers_are_none() {
        for text in [
            "",
            "Sorry for the delay! Your parcel is on its way.",
            "I can help with that.",
            "The law says: I cannot help being late.",
            "Es tut mir leid, dass das Paket zu spät kam.",
            "electronics",
        ] {
            assert!(!begins_as_refusal(text), "{text}");
        }
    }
}
