//! Words that the guard knows: numbers, units, negations, words of time, opposites, and words with which sentences begin.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

mod endings;
mod openers;
mod opposites;

use self::endings::stems;
use self::openers::OPENERS;
use self::opposites::OPPOSITES;

/// Numbers in words, English, German, French, Spanish, Italian, Portuguese and Russian; none that is another word in one of them.
const NUMBERS: &[(&str, &[&str])] = &[
    ("2", &["two", "zwei", "deux", "dos", "dois", "duas", "two's", "два", "две", "двух"]),
    ("3", &["three", "drei", "trois", "tres", "três", "три", "трёх", "трех"]),
    ("4", &["four", "vier", "quatre", "cuatro", "quattro", "quatro", "четыре", "четырёх", "четырех"]),
    ("5", &["five", "fünf", "cinq", "cinco", "cinque", "пять", "пяти"]),
    ("6", &["six", "sechs", "seis", "шесть", "шести"]),
    ("7", &["seven", "sieben", "sept", "siete", "sette", "sete", "семь", "семи"]),
    ("8", &["eight", "acht", "huit", "ocho", "otto", "oito", "восемь", "восьми"]),
    ("9", &["nine", "neun", "neuf", "nueve", "nove", "девять", "девяти"]),
    ("10", &["ten", "zehn", "diez", "dieci", "dez", "dix", "десять", "десяти"]),
    ("11", &["eleven", "elf", "onze", "undici", "одиннадцать"]),
    ("12", &["twelve", "zwölf", "douze", "doce", "dodici", "doze", "двенадцать"]),
    ("15", &["fifteen", "fünfzehn", "quinze", "quindici", "пятнадцать"]),
    ("20", &["twenty", "zwanzig", "vingt", "veinte", "venti", "vinte", "двадцать"]),
    ("30", &["thirty", "dreißig", "trente", "treinta", "trenta", "trinta", "тридцать"]),
    ("40", &["forty", "vierzig", "quarante", "cuarenta", "quaranta", "quarenta", "сорок"]),
    ("50", &["fifty", "fünfzig", "cinquante", "cincuenta", "cinquanta", "cinquenta", "пятьдесят"]),
    ("60", &["sixty", "sechzig", "soixante", "sesenta", "sessanta", "sessenta", "шестьдесят"]),
    ("70", &["seventy", "siebzig", "setenta", "settanta", "семьдесят"]),
    ("80", &["eighty", "achtzig", "ochenta", "ottanta", "oitenta", "восемьдесят"]),
    ("90", &["ninety", "neunzig", "noventa", "novanta", "девяносто"]),
    ("100", &["hundred", "hundert", "cien", "ciento", "cento", "cem", "cent", "cents", "hundreds", "сто"]),
    ("1000", &["thousand", "tausend", "mille", "mil", "thousands", "тысяча", "тысячи", "тысяч"]),
    (
        "1000000",
        &[
            "million",
            "millionen",
            "millón",
            "millones",
            "milione",
            "milhão",
            "milhões",
            "millions",
            "миллион",
            "миллиона",
            "миллионов",
        ],
    ),
    (
        "half",
        &[
            "half",
            "halb",
            "halbe",
            "moitié",
            "mitad",
            "metà",
            "metade",
            "halves",
            "hälfte",
            "demi",
            "половина",
            "половину",
        ],
    ),
    ("double", &["double", "twice", "doppelt", "doble", "doppio", "dobro"]),
    ("triple", &["triple", "thrice", "dreifach"]),
    ("1st", &["first", "erste", "ersten", "erster", "premier", "première", "primero", "primera"]),
    (
        "3rd",
        &[
            "third",
            "dritte",
            "dritten",
            "troisième",
            "tercero",
            "tercera",
            "thirds",
            "drittel",
            "tiers",
            "tercio",
            "tercios",
            "terzo",
            "terzi",
            "terço",
            "terços",
            "треть",
            "трети",
            "третий",
        ],
    ),
    (
        "4th",
        &[
            "fourth",
            "fourths",
            "vierte",
            "vierten",
            "quatrième",
            "cuarto",
            "cuartos",
            "четвёртый",
            "четверть",
            "четверти",
        ],
    ),
    ("quarter", &["quarter", "quarters", "viertel", "quart", "quarts"]),
    (
        "5th",
        &[
            "fifth",
            "fifths",
            "fünfte",
            "fünften",
            "fünftel",
            "cinquième",
            "cinquièmes",
            "quinto",
            "quintos",
            "пятый",
            "пятая",
            "пятых",
        ],
    ),
    ("6th", &["sixth", "sixths", "sechstel", "sixième", "sixièmes", "sexto", "sextos", "шестых"]),
    ("7th", &["seventh", "sevenths", "siebtel", "septième", "septièmes", "séptimo", "séptimos"]),
    ("8th", &["eighth", "eighths", "achtel", "huitième", "huitièmes", "octavo", "octavos", "восьмых"]),
    ("9th", &["ninth", "ninths", "neuntel", "neuvième", "neuvièmes", "noveno", "novenos"]),
    ("10th", &["tenth", "tenths", "zehntel", "dixième", "dixièmes", "décimo", "décimos", "десятых"]),
    ("13", &["thirteen", "dreizehn", "treize", "trece", "тринадцать"]),
    ("14", &["fourteen", "vierzehn", "quatorze", "catorce", "четырнадцать"]),
    ("16", &["sixteen", "sechzehn", "seize", "dieciséis", "шестнадцать"]),
    ("17", &["seventeen", "siebzehn", "diecisiete", "семнадцать"]),
    ("18", &["eighteen", "achtzehn", "dieciocho", "восемнадцать"]),
    ("19", &["nineteen", "neunzehn", "diecinueve", "девятнадцать"]),
    ("200", &["двести", "doscientos"]),
    ("dozen", &["dozen", "dozens", "dutzend", "douzaine", "docena", "дюжина"]),
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
    "aint",
    "havent",
    "hasnt",
    "hadnt",
    "wouldnt",
    "werent",
    "mustnt",
    "neednt",
    "hardly",
    "scarcely",
    "barely",
    "rarely",
    "seldom",
    "kaum",
    "selten",
    "guère",
    "apenas",
    "нельзя",
    "едва",
    "לא",
    "אין",
    "בלי",
    "안",
    "못",
    "không",
    "chưa",
    "tidak",
    "bukan",
    "jangan",
    "tanpa",
    "δεν",
    "δε",
    "μη",
    "μην",
    "όχι",
    "χωρίς",
    "मत",
    "nem",
    "nincs",
    "ei",
    "eivät",
    "نیست",
];

/// What denies inside words of Chinese, Japanese, Korean and Thai, and `w/o`.
const DENYING: [&str; 16] =
    ["不", "没", "無", "无", "别", "非", "未", "ない", "ません", "なし", "勿", "않", "없", "아니", "ไม่", "w/o"];

/// Opposites that stand inside words of Chinese, Japanese and Korean: which of them a text has is compared.
const WITHIN: [&str; 49] = [
    "买",
    "卖",
    "昨天",
    "今天",
    "明天",
    "后天",
    "前天",
    "昨日",
    "今日",
    "明日",
    "上午",
    "下午",
    "午前",
    "午後",
    "之前",
    "之后",
    "以前",
    "以后",
    "打开",
    "关闭",
    "开启",
    "左",
    "右",
    "最大",
    "最小",
    "增加",
    "减少",
    "上升",
    "下降",
    "今年",
    "去年",
    "明年",
    "上周",
    "下周",
    "本周",
    "这周",
    "男",
    "女",
    "어제",
    "오늘",
    "내일",
    "오전",
    "오후",
    "왼쪽",
    "오른쪽",
    "東",
    "西",
    "南",
    "北",
];

/// Pronouns that are joined to a verb by a hyphen, in French and Portuguese.
const ATTACHED: [&str; 26] = [
    "je", "tu", "il", "elle", "on", "nous", "vous", "ils", "elles", "ce", "moi", "toi", "le", "la", "les", "lui",
    "leur", "y", "en", "là", "ci", "t", "me", "se", "te", "lhe",
];

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
    ("noon", &["noon", "midday", "mittag", "mittags", "midi", "mediodía", "полдень"]),
    ("midnight", &["midnight", "mitternacht", "minuit", "medianoche", "полночь"]),
    ("morning", &["morning", "mornings", "morgens", "vormittag", "matin", "утро", "утром"]),
    ("afternoon", &["afternoon", "afternoons", "nachmittag"]),
    ("evening", &["evening", "evenings", "abend", "abends", "soir", "вечер", "вечером"]),
    ("night", &["night", "nights", "nacht", "nachts", "nuit", "noche", "notte", "noite", "ночь", "ночью"]),
    ("spring", &["spring", "frühling", "frühjahr", "printemps", "primavera", "весна", "весной"]),
    ("summer", &["summer", "sommer", "verano", "verão", "лето", "летом"]),
    ("autumn", &["autumn", "herbst", "automne", "otoño", "autunno", "outono", "осень", "осенью"]),
    ("winter", &["winter", "hiver", "invierno", "inverno", "зима", "зимой"]),
    ("hourly", &["hourly", "stündlich"]),
    ("daily", &["daily", "täglich", "quotidien", "diario", "ежедневно"]),
    ("weekly", &["weekly", "wöchentlich", "hebdomadaire", "semanal", "еженедельно"]),
    ("monthly", &["monthly", "monatlich", "mensuel", "mensual", "mensal", "ежемесячно"]),
    ("quarterly", &["quarterly", "trimestriel", "trimestral"]),
    ("yearly", &["yearly", "annual", "annually", "jährlich", "annuel", "anual", "ежегодно"]),
    ("weekend", &["weekend", "weekends", "wochenende", "выходные"]),
    ("weekday", &["weekday", "weekdays", "werktag", "werktags", "будни"]),
];

type Meanings = HashMap<&'static str, &'static str>;

/// The first meaning of each word of a table.
fn meanings(table: &'static [(&'static str, &'static [&'static str])]) -> Meanings {
    let mut meanings = Meanings::new();
    for (meaning, words) in table {
        for word in *words {
            meanings.entry(word).or_insert(meaning);
        }
    }
    meanings
}

/// The number that a word means.
pub(super) fn number_of(word: &str) -> Option<&str> {
    if word.contains(|c| NUMERALS.contains(c)) {
        return Some(word);
    }
    static MEANINGS: LazyLock<Meanings> = LazyLock::new(|| meanings(NUMBERS));
    MEANINGS.get(word).copied()
}

/// The unit that a word means.
pub(super) fn unit_of(word: &str) -> Option<&'static str> {
    static MEANINGS: LazyLock<Meanings> = LazyLock::new(|| meanings(UNITS));
    MEANINGS.get(word).copied()
}

/// The time that a word means.
pub(super) fn is_time(word: &str) -> Option<&'static str> {
    static MEANINGS: LazyLock<Meanings> = LazyLock::new(|| meanings(TIMES));
    MEANINGS.get(word).copied()
}

/// The pairs of opposites to whose left and to whose right side a word belongs, a bit a pair; a word with an ending such as `-ed`
/// belongs where the word without it does.
pub(super) fn sides_of(word: &str) -> (u128, u128) {
    static SIDES: LazyLock<HashMap<&str, (u128, u128)>> = LazyLock::new(|| {
        let mut sides: HashMap<&str, (u128, u128)> = HashMap::new();
        for (pair, (left, right)) in OPPOSITES.iter().enumerate() {
            left.iter().for_each(|word| sides.entry(word).or_default().0 |= 1 << pair);
            right.iter().for_each(|word| sides.entry(word).or_default().1 |= 1 << pair);
        }
        sides
    });
    let of = |word: &str| SIDES.get(word).copied().unwrap_or_default();
    stems(word)
        .iter()
        .map(|stem| of(stem))
        .fold(of(word), |(lefts, rights), (left, right)| (lefts | left, rights | right))
}

/// The opposites inside words of scripts that do not part words by spaces.
pub(super) fn opposites_in(text: &str) -> Vec<&'static str> {
    if text.is_ascii() {
        return Vec::new();
    }
    WITHIN.into_iter().filter(|word| text.contains(word)).collect()
}

/// Whether a word is joined to the one before by a hyphen without a meaning of its own.
pub(super) fn is_attached(word: &str) -> bool {
    ATTACHED.contains(&word)
}

/// Whether a word denies.
pub(super) fn is_negation(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| NEGATIONS.iter().copied().collect());
    WORDS.contains(word)
}

/// Whether sentences often begin with the word.
pub(super) fn is_opener(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| OPENERS.iter().copied().collect());
    WORDS.contains(word)
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
        assert!(OPPOSITES.len() <= 128);
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
