//! Words that ask for hard work, in English, German, French, Spanish, Portuguese, Italian, Russian, Chinese and Japanese.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// What words say of a task beside their points.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// That it is hard, as far as their points go.
    Hard,
    /// That something is to be made.
    Makes,
    /// That something is to be mended, which is a way of making it.
    Mends,
    /// That it is code.
    Code,
    /// What is wrong with code.
    Fault,
    /// Code itself.
    Snippet,
}

/// A task: its points, what its words say, and how they begin. A word with `$` behind it is meant whole.
type Task = (usize, Role, &'static [&'static str]);

/// Points of a request to make code, or to mend it.
const CODE: usize = 4;

/// The bit of such a request, behind those of the tasks.
const KNOWN_CODE: u64 = 1 << 63;

/// What is to be made stands within so many bytes of the word that it is to be made.
const NEAR: usize = 48;

/// At most 63. Four points are the most that count. Where several fit, the longest word does, so that words of no points keep
/// others from theirs.
const TASKS: &[Task] = &[
    (
        4,
        Role::Hard,
        &[
            "prove",
            "proof",
            "beweis",
            "prouve",
            "démontre",
            "demuestr",
            "demostra",
            "demonstr",
            "dimostra",
            "доказ",
            "докаж",
            "证明",
            "証明",
        ],
    ),
    (3, Role::Hard, &["derive", "derivation", "herleit", "leite her", "déduis", "deriva", "вывед", "推导", "導出"]),
    (3, Role::Hard, &["theorem", "satz von", "théorème", "teorema", "теорем", "定理"]),
    (3, Role::Hard, &["algorithm", "algorithmus", "algorithme", "algoritm", "алгоритм", "算法", "アルゴリズム"]),
    (3, Role::Makes, &["refactor", "refaktor", "refactoris", "refatora", "рефактор", "重构", "リファクタ"]),
    (
        3,
        Role::Mends,
        &[
            "debug",
            "stack trace",
            "stacktrace",
            "traceback",
            "segfault",
            "race condition",
            "deadlock",
            "отлад",
            "调试",
            "デバッグ",
        ],
    ),
    (3, Role::Makes, &["implement", "implémente", "implementier", "реализ", "实现", "実装"]),
    (3, Role::Makes, &["optimi", "оптимиз", "优化", "最適化"]),
    (
        3,
        Role::Hard,
        &["architect", "architekt", "arquitect", "arquitet", "architett", "архитект", "架构", "アーキテクチャ"],
    ),
    (3, Role::Hard, &["integral", "intégrale", "differential equation", "eigenv", "интеграл", "积分", "積分"]),
    (3, Role::Hard, &["trade-off", "tradeoff", "abwäg", "compromis", "compromiso", "权衡", "トレードオフ"]),
    (3, Role::Hard, &["root cause", "ursache", "cause profonde", "causa raíz", "根本原因"]),
    (
        1,
        Role::Hard,
        &[
            "step by step",
            "step-by-step",
            "schritt für schritt",
            "étape par étape",
            "paso a paso",
            "passo a passo",
            "шаг за шагом",
            "逐步",
            "一歩ずつ",
        ],
    ),
    (
        1,
        Role::Hard,
        &["why", "warum", "weshalb", "pourquoi", "por qué", "por que", "perché", "почему", "为什么", "なぜ"],
    ),
    (1, Role::Hard, &["explain", "erklär", "explique", "explica", "spiega", "объясн", "解释", "説明"]),
    (
        4,
        Role::Hard,
        &[
            "compare",
            "comparing",
            "comparison of",
            "comparison between",
            "comparer",
            "compara",
            "confronta",
            "vergleich",
            "unterschied zwischen",
            "unterschiede zwischen",
            "difference between",
            "differences between",
            "differ from",
            "différence entre",
            "diferencia entre",
            "diferença entre",
            "differenza tra",
            "сравн",
            "разниц",
            "比较一下",
            "请比较",
            "对比",
            "的区别",
            "有什么不同",
            "比較",
            "違い",
        ],
    ),
    (1, Role::Hard, &["analy", "analis", "анализ", "分析"]),
    (1, Role::Hard, &["evaluat", "assess", "bewerte", "évalue", "evalúa", "avalie", "valuta", "оцен", "评估", "評価"]),
    (
        1,
        Role::Hard,
        &[
            "design",
            "entwirf",
            "entwerfe",
            "conçois",
            "concevoir",
            "diseñ",
            "projete",
            "progetta",
            "спроектир",
            "设计",
            "設計",
        ],
    ),
    (
        1,
        Role::Hard,
        &["strategy", "strategie", "stratégie", "estrategia", "estratégia", "strategia", "стратег", "战略", "戦略"],
    ),
    (1, Role::Hard, &["plan for", "plan to", "roadmap", "migrat", "plane ", "planifi", "план ", "计划", "計画"]),
    (1, Role::Hard, &["justify", "justif", "begründe", "giustifica", "обоснуй", "论证"]),
    (1, Role::Hard, &["critique", "review this", "review the", "kritik", "critica", "рецензи", "审查", "レビュー"]),
    (1, Role::Hard, &["calculate", "compute", "berechne", "calcul", "calcola", "вычисл", "рассчит", "计算", "計算"]),
    (1, Role::Hard, &["solve", "solution", "löse", "résou", "resuelv", "resolva", "risolvi", "реши", "求解", "解け"]),
    (
        1,
        Role::Hard,
        &[
            "essay",
            "in detail",
            "in depth",
            "comprehensive",
            "aufsatz",
            "ausführlich",
            "en détail",
            "en detalle",
            "em detalhe",
            "in dettaglio",
            "подробно",
            "详细",
            "詳しく",
        ],
    ),
    (
        1,
        Role::Hard,
        &[
            "pros and cons",
            "vor- und nachteile",
            "avantages et inconvénients",
            "ventajas y desventajas",
            "vantagens e desvantagens",
            "pro e contro",
            "плюсы и минусы",
            "优缺点",
        ],
    ),
    (1, Role::Hard, &["hypothes", "infer ", "counterexample", "contradiction", "гипотез", "假设", "仮説"]),
    (1, Role::Hard, &["contrast", "unterschied", "比较"]),
    (
        0,
        Role::Hard,
        &[
            "proofread",
            "proof of purchase",
            "proof of address",
            "proof of payment",
            "proof of identity",
            "proof of concept",
            "proved",
            "proven",
            "proverb",
            "provence",
            "compared",
            "compares",
            "comparable",
            "comparably",
            "comparative",
            "vergleichsweise",
            "unterschiedlich",
            "about python",
            "about a python",
            "pythons",
            "python developer",
            "python programmer",
            "python course",
            "the function of",
            "query letter",
            "a query letter",
            "dress code",
            "promo code",
            "discount code",
            "voucher code",
            "zip code",
            "door code",
            "postal code",
            "area code",
            "country code",
            "morse code",
            "qr code",
            "code of conduct",
            "bug report",
            "bugs bunny",
        ],
    ),
    (
        0,
        Role::Makes,
        &[
            "write$",
            "create",
            "build$",
            "make$",
            "generate",
            "develop$",
            "add$",
            "convert",
            "complete",
            "extend",
            "improve",
            "give me",
            "show me",
            "schreib",
            "erstell",
            "programmier",
            "écris",
            "écrire",
            "crée",
            "escrib",
            "escreva",
            "scrivi",
            "crea$",
            "напиши",
            "создай",
            "写",
            "编写",
            "创建",
            "書いて",
            "作って",
        ],
    ),
    (
        0,
        Role::Mends,
        &[
            "fix$",
            "find",
            "repair",
            "correct$",
            "beheb",
            "reparier",
            "korrigier",
            "corrige",
            "correggi",
            "исправ",
            "修复",
            "直して",
        ],
    ),
    (
        0,
        Role::Code,
        &[
            "code$",
            "source code",
            "a function",
            "function that",
            "function to",
            "function which",
            "function in",
            "this function",
            "my function",
            "sql",
            "a query",
            "query that",
            "query to",
            "query which",
            "this query",
            "a script that",
            "script that",
            "script to",
            "script which",
            "shell script",
            "a class that",
            "a class with",
            "a class which",
            "this class",
            "a program that",
            "a program to",
            "a program which",
            "c program",
            "java program",
            "python",
            "javascript",
            "typescript",
            "golang",
            "in go$",
            "in rust$",
            "in java$",
            "in kotlin$",
            "in swift$",
            "in ruby$",
            "in scala$",
            "in haskell$",
            "c++",
            "c#",
            "php$",
            "bash",
            "powershell",
            "html",
            "css$",
            "node.js",
            "regex",
            "regular expression",
            "dockerfile",
            "docker compose",
            "terraform",
            "kubernetes",
            "graphql",
            "rest api",
            "web app",
            "an api",
            "this api",
            "api endpoint",
            "api client",
            "unit test",
            "integration test",
            "linked list",
            "binary search",
            "quicksort",
            "merge sort",
            "bubble sort",
            "hash map",
            "fizzbuzz",
            "fibonacci",
            "eine funktion",
            "funktion, die",
            "diese funktion",
            "abfrage, die",
            "quellcode",
            "skript",
            "regulären ausdruck",
            "une fonction",
            "cette fonction",
            "una función",
            "esta función",
            "uma função",
            "una funzione",
            "функци",
            "код$",
            "скрипт",
            "函数",
            "代码",
            "脚本",
            "正则",
            "関数",
            "コード",
        ],
    ),
    (
        0,
        Role::Fault,
        &[
            "bug$",
            "bugs$",
            "memory leak",
            "null pointer",
            "compile error",
            "compiler error",
            "syntax error",
            "runtime error",
            "type error",
            "build error",
            "failing test",
            "fehler im code",
            "баг$",
        ],
    ),
    (
        0,
        Role::Snippet,
        &[
            "```",
            "def $",
            "fn $",
            "#include",
            "select * from",
            "console.log",
            "public static",
            "</",
            "();",
            "():",
            ") {",
        ],
    ),
];

/// Where a pattern belongs.
#[derive(Clone, Copy)]
struct Word {
    task: usize,
    is_whole: bool,
}

static FINDER: LazyLock<Option<(AhoCorasick, Vec<Word>)>> = LazyLock::new(|| {
    let (mut stems, mut all) = (Vec::new(), Vec::new());
    for (task, (_, _, words)) in TASKS.iter().enumerate() {
        for word in *words {
            let (stem, is_whole) = word.strip_suffix('$').map_or((*word, false), |stem| (stem, true));
            stems.push(stem.to_owned());
            all.push(Word { task, is_whole });
            // The finder knows the capitals of ASCII only.
            if let Some(first) = stem.chars().next().filter(|first| !first.is_ascii() && first.is_lowercase()) {
                stems.push(first.to_uppercase().chain(stem.chars().skip(1)).collect());
                all.push(Word { task, is_whole });
            }
        }
    }
    let finder =
        AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(stems);
    finder.ok().map(|finder| (finder, all))
});

/// The points of a text's words that are not `known`, which notes them.
pub(super) fn work_of(text: &str, known: &mut u64) -> usize {
    let Some((finder, words)) = &*FINDER else { return 0 };
    let (mut points, mut making) = (0, Making::default());
    for found in finder.find_iter(text) {
        let Word { task, is_whole } = words[found.pattern().as_usize()];
        if !begins_word(text, found.start()) || (is_whole && !ends_word(text, found.end())) {
            continue;
        }
        let (of_task, role, _) = TASKS[task];
        if *known & (1 << task) == 0 {
            *known |= 1 << task;
            points += of_task;
        }
        if making.is_of_code(role, text, found.range()) && *known & KNOWN_CODE == 0 {
            *known |= KNOWN_CODE;
            points += CODE;
        }
    }
    points
}

/// Where words of each kind ended last.
#[derive(Default)]
struct Making {
    makes: Option<usize>,
    mends: Option<usize>,
    code: Option<usize>,
    fault: Option<usize>,
}

impl Making {
    /// Whether words at `range` show, with those before, that code is to be made or mended.
    fn is_of_code(&mut self, role: Role, text: &str, range: Range<usize>) -> bool {
        let is_near = |other: Option<usize>| {
            let between = other.and_then(|end| text.get(end..range.start));
            between.is_some_and(|between| between.len() <= NEAR && !has_end(between))
        };
        let end = Some(range.end);
        match role {
            Role::Hard => false,
            Role::Makes => {
                self.makes = end;
                is_near(self.code)
            }
            Role::Mends => {
                (self.makes, self.mends) = (end, end);
                is_near(self.code) || is_near(self.fault)
            }
            Role::Code => {
                self.code = end;
                is_near(self.makes)
            }
            Role::Fault => {
                self.fault = end;
                is_near(self.mends)
            }
            Role::Snippet => self.makes.is_some(),
        }
    }
}

/// Whether a sentence or a line ends in these words.
fn has_end(words: &str) -> bool {
    words.contains(['\n', '!', '?', ';', '。', '！', '？']) || words.contains(". ")
}

/// Whether a word begins at this byte. Chinese and Japanese have no spaces between words.
fn begins_word(text: &str, at: usize) -> bool {
    let is_inner = |character: char| character.is_alphanumeric() && !is_ideograph(character);
    !text[at..].starts_with(is_inner) || !text[..at].ends_with(is_inner)
}

/// Whether a word ends at this byte.
fn ends_word(text: &str, at: usize) -> bool {
    !text[at..].starts_with(|character: char| character.is_alphanumeric() && !is_ideograph(character))
}

fn is_ideograph(character: char) -> bool {
    ('\u{3040}'..='\u{9FFF}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_bit_and_words_of_its_own() {
        assert!(TASKS.len() < 64 && FINDER.is_some());
        let mut all: Vec<&str> = TASKS.iter().flat_map(|(_, _, words)| *words).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_word_counts_once_and_where_it_begins() {
        let points = |text: &str| work_of(text, &mut 0);
        assert_eq!(points("Prove it, and prove it again. PROOF!"), 4);
        assert_eq!(points("improve the approval"), 0);
        assert_eq!(points("Докажи это. Warum? 请证明"), 5);
        assert_eq!(points("Weshalb, warum"), 1);
        assert_eq!(points("an old proverb, proofread"), 0, "longer words have no points");
    }

    #[test]
    fn code_is_asked_for_by_a_verb_near_its_noun() {
        let points = |text: &str| work_of(text, &mut 0);
        assert_eq!(points("Write code, and write more code"), 4);
        assert_eq!(points("写一个函数"), 4);
        assert_eq!(points("関数を書いて"), 4);
        assert_eq!(points("code"), 0);
        assert_eq!(points("write"), 0);
        assert_eq!(points("Write a card. The code is 12."), 0, "another sentence");
        assert_eq!(points(&format!("Write {} code", "a card ".repeat(10))), 0, "too far");
        assert_eq!(points("Write about a bug"), 0, "a fault is mended");
        assert_eq!(points("Fix this:\n\n```\nx\n```"), 4, "code itself may stand anywhere behind");
        assert_eq!(points("rewriter's codex"), 0);
    }
}
