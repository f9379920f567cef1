//! Words that the guard knows: numbers, units, negations, words of time, opposites, and words with which sentences begin.

mod openers;
mod opposites;

use self::openers::OPENERS;
use self::opposites::OPPOSITES;

/// Numbers in words, English, German, French, Spanish, Italian and Portuguese; none that is another word in one of them.
const NUMBERS: &[(&str, &[&str])] = &[
    ("2", &["two", "zwei", "deux", "dos", "dois", "duas", "two's"]),
    ("3", &["three", "drei", "trois", "tres", "três"]),
    ("4", &["four", "vier", "quatre", "cuatro", "quattro", "quatro"]),
    ("5", &["five", "fünf", "cinq", "cinco", "cinque"]),
    ("6", &["six", "sechs", "seis"]),
    ("7", &["seven", "sieben", "sept", "siete", "sette", "sete"]),
    ("8", &["eight", "acht", "huit", "ocho", "otto", "oito"]),
    ("9", &["nine", "neun", "neuf", "nueve", "nove"]),
    ("10", &["ten", "zehn", "diez", "dieci", "dez"]),
    ("11", &["eleven", "elf", "onze", "undici"]),
    ("12", &["twelve", "zwölf", "douze", "doce", "dodici", "doze"]),
    ("15", &["fifteen", "fünfzehn", "quinze", "quindici"]),
    ("20", &["twenty", "zwanzig", "vingt", "veinte", "venti", "vinte"]),
    ("30", &["thirty", "dreißig", "trente", "treinta", "trenta", "trinta"]),
    ("40", &["forty", "vierzig", "quarante", "cuarenta", "quaranta", "quarenta"]),
    ("50", &["fifty", "fünfzig", "cinquante", "cincuenta", "cinquanta", "cinquenta"]),
    ("60", &["sixty", "sechzig", "soixante", "sesenta", "sessanta", "sessenta"]),
    ("70", &["seventy", "siebzig", "setenta", "settanta"]),
    ("80", &["eighty", "achtzig", "ochenta", "ottanta", "oitenta"]),
    ("90", &["ninety", "neunzig", "noventa", "novanta"]),
    ("100", &["hundred", "hundert", "cien", "ciento", "cento", "cem"]),
    ("1000", &["thousand", "tausend", "mille", "mil"]),
    ("1000000", &["million", "millionen", "millón", "millones", "milione", "milhão", "milhões"]),
    ("half", &["half", "halb", "halbe", "moitié", "mitad", "metà", "metade"]),
    ("double", &["double", "twice", "doppelt", "doble", "doppio", "dobro"]),
    ("triple", &["triple", "thrice", "dreifach"]),
    ("1st", &["first", "erste", "ersten", "erster", "premier", "première", "primero", "primera"]),
    ("3rd", &["third", "dritte", "dritten", "troisième", "tercero", "tercera"]),
];

/// Numerals that stand inside words of Chinese and Japanese; not 一, which stands in many.
const NUMERALS: &str = "二三四五六七八九十百千万两半";

/// Units, with their ways of spelling.
const UNITS: &[(&str, &[&str])] = &[
    ("km", &["km", "kilometer", "kilometers", "kilometre", "kilometres", "kilomètres"]),
    ("m", &["meter", "meters", "metre", "metres", "mètres", "metros"]),
    ("cm", &["cm", "centimeter", "centimeters", "centimetre", "centimetres"]),
    ("mm", &["mm", "millimeter", "millimeters", "millimetre", "millimetres"]),
    ("mi", &["mile", "miles", "meile", "meilen"]),
    ("ft", &["ft", "foot", "feet"]),
    ("inch", &["inch", "inches", "zoll"]),
    ("yd", &["yard", "yards"]),
    ("kg", &["kg", "kilo", "kilos", "kilogram", "kilograms", "kilogramm"]),
    ("g", &["gram", "grams", "gramm", "gramme", "grammes", "gramos"]),
    ("lb", &["lb", "lbs", "pound", "pounds", "pfund"]),
    ("oz", &["oz", "ounce", "ounces", "unze", "unzen"]),
    ("l", &["liter", "liters", "litre", "litres", "litros"]),
    ("ml", &["ml", "milliliter", "milliliters", "millilitre", "millilitres"]),
    ("gal", &["gallon", "gallons"]),
    ("cup", &["cup", "cups"]),
    ("c", &["celsius"]),
    ("f", &["fahrenheit"]),
    ("k", &["kelvin"]),
    ("s", &["second", "seconds", "sekunde", "sekunden", "seconde", "secondes", "segundos"]),
    ("min", &["minute", "minutes", "minuten", "minutos"]),
    ("h", &["hour", "hours", "stunde", "stunden", "heure", "heures", "hora", "horas"]),
    ("day", &["day", "days", "tag", "tage", "tagen", "jour", "jours", "día", "días", "dias"]),
    ("week", &["week", "weeks", "woche", "wochen", "semaine", "semaines", "semana", "semanas"]),
    ("month", &["month", "months", "monat", "monate", "monaten", "mois", "mes", "meses"]),
    ("year", &["year", "years", "jahr", "jahre", "jahren", "année", "années", "año", "años"]),
    ("%", &["percent", "prozent", "pourcent"]),
    ("$", &["dollar", "dollars", "usd"]),
    ("€", &["euro", "euros", "eur"]),
    ("£", &["gbp", "sterling"]),
    ("¥", &["yen", "jpy", "yuan", "cny"]),
    ("₹", &["rupee", "rupees", "inr"]),
    ("kb", &["kb", "kilobyte", "kilobytes"]),
    ("mb", &["mb", "megabyte", "megabytes"]),
    ("gb", &["gb", "gigabyte", "gigabytes"]),
    ("tb", &["tb", "terabyte", "terabytes"]),
    ("binary", &["binary", "binär"]),
    ("hex", &["hex", "hexadecimal"]),
    ("decimal", &["decimal"]),
];

/// Words that deny, in the languages that a provider's models read most.
const NEGATIONS: &[&str] = &[
    "not",
    "no",
    "never",
    "none",
    "nor",
    "neither",
    "nobody",
    "nothing",
    "nowhere",
    "without",
    "cannot",
    "cant",
    "dont",
    "doesnt",
    "didnt",
    "isnt",
    "arent",
    "wasnt",
    "wont",
    "shouldnt",
    "couldnt",
    "except",
    "unless",
    "excluding",
    "nicht",
    "kein",
    "keine",
    "keinen",
    "keiner",
    "keinem",
    "keines",
    "nie",
    "niemals",
    "niemand",
    "nichts",
    "ohne",
    "weder",
    "noch",
    "außer",
    "ne",
    "pas",
    "jamais",
    "sans",
    "aucun",
    "aucune",
    "rien",
    "ni",
    "sauf",
    "nunca",
    "sin",
    "ningún",
    "ninguna",
    "ninguno",
    "jamás",
    "nada",
    "nadie",
    "tampoco",
    "excepto",
    "não",
    "sem",
    "nenhum",
    "nenhuma",
    "jamais",
    "exceto",
    "non",
    "mai",
    "senza",
    "nessun",
    "nessuno",
    "nessuna",
    "né",
    "tranne",
    "niet",
    "geen",
    "nooit",
    "zonder",
    "не",
    "нет",
    "без",
    "никогда",
    "ни",
    "кроме",
    "nigdy",
    "bez",
    "żaden",
    "inte",
    "ikke",
    "aldrig",
    "ingen",
    "utan",
    "uden",
    "değil",
    "yok",
    "hiç",
    "لا",
    "ليس",
    "لم",
    "لن",
    "بدون",
    "नहीं",
    "ना",
    "बिना",
];

/// What denies inside words of Chinese and Japanese.
const DENYING: [&str; 11] = ["不", "没", "無", "无", "别", "非", "未", "ない", "ません", "なし", "勿"];

/// Words of time, by what they mean.
const TIMES: &[(&str, &[&str])] = &[
    ("today", &["today", "tonight", "heute", "aujourd", "hoy", "oggi", "hoje", "сегодня", "vandaag"]),
    ("tomorrow", &["tomorrow", "morgen", "demain", "mañana", "domani", "amanhã", "завтра"]),
    ("yesterday", &["yesterday", "gestern", "hier", "ayer", "ieri", "ontem", "вчера", "gisteren"]),
    ("monday", &["monday", "montag", "lundi", "lunes", "lunedì", "понедельник"]),
    ("tuesday", &["tuesday", "dienstag", "mardi", "martes", "martedì", "вторник"]),
    ("wednesday", &["wednesday", "mittwoch", "mercredi", "miércoles", "mercoledì", "среда", "среду"]),
    ("thursday", &["thursday", "donnerstag", "jeudi", "jueves", "giovedì", "четверг"]),
    ("friday", &["friday", "freitag", "vendredi", "viernes", "venerdì", "пятница", "пятницу"]),
    ("saturday", &["saturday", "samstag", "sonnabend", "samedi", "sábado", "sabato", "суббота", "субботу"]),
    ("sunday", &["sunday", "sonntag", "dimanche", "domingo", "domenica", "воскресенье"]),
    ("january", &["january", "januar", "janvier", "enero", "gennaio", "janeiro"]),
    ("february", &["february", "februar", "février", "febrero", "febbraio", "fevereiro"]),
    ("march", &["märz", "mars", "marzo", "março"]),
    ("april", &["april", "avril", "abril", "aprile"]),
    ("may", &["mayo", "maggio", "maio"]),
    ("june", &["june", "juni", "juin", "junio", "giugno", "junho"]),
    ("july", &["july", "juli", "juillet", "julio", "luglio", "julho"]),
    ("august", &["august", "août", "agosto"]),
    ("september", &["september", "septembre", "septiembre", "settembre", "setembro"]),
    ("october", &["october", "oktober", "octobre", "octubre", "ottobre", "outubro"]),
    ("november", &["november", "novembre", "noviembre", "novembro"]),
    ("december", &["december", "dezember", "décembre", "diciembre", "dicembre", "dezembro"]),
];

fn found<T: Copy>(table: &[(T, &[&str])], word: &str) -> Option<T> {
    table.iter().find(|(_, words)| words.contains(&word)).map(|(meaning, _)| *meaning)
}

/// The number that a word means.
pub(super) fn number_of(word: &str) -> Option<&str> {
    if word.contains(|c| NUMERALS.contains(c)) {
        return Some(word);
    }
    found(NUMBERS, word)
}

/// The unit that a word means.
pub(super) fn unit_of(word: &str) -> Option<&'static str> {
    found(UNITS, word)
}

/// The time that a word means.
pub(super) fn is_time(word: &str) -> Option<&'static str> {
    found(TIMES, word)
}

/// The pair of opposites that a word belongs to, and whether to its left side.
pub(super) fn opposite_of(word: &str) -> Option<(usize, bool)> {
    let within = |(_, (left, right)): &(usize, &(&[&str], &[&str]))| left.contains(&word) || right.contains(&word);
    OPPOSITES.iter().enumerate().find(within).map(|(pair, (left, _))| (pair, left.contains(&word)))
}

/// Whether a word denies.
pub(super) fn is_negation(word: &str) -> bool {
    NEGATIONS.contains(&word)
}

/// Whether sentences often begin with the word.
pub(super) fn is_opener(word: &str) -> bool {
    OPENERS.contains(&word)
}

/// How often a text denies.
pub(super) fn negations_in(text: &str) -> usize {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| is_negation(word)).count();
    let short = lower.matches("n't").count() + lower.matches("n’t").count();
    let within: usize = DENYING.iter().map(|denying| lower.matches(denying).count()).sum();
    words + short + within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_bit() {
        assert!(OPPOSITES.len() <= 64);
    }

    #[test]
    fn negations_are_counted_in_several_languages() {
        for (text, count) in [
            ("This is it.", 0),
            ("It is not, and can't be, nor will it", 3),
            ("Das ist kein Fehler und nicht neu", 2),
            ("Ce n’est pas vrai", 1),
            ("No es nunca", 2),
            ("Это не так", 1),
            ("这不是问题", 1),
            ("分かりません", 1),
            ("Knot, note, nothingness", 0),
        ] {
            assert_eq!(negations_in(text), count, "{text}");
        }
    }
}
