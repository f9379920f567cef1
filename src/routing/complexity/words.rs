//! Words that ask for hard work, in English, German, French, Spanish, Portuguese, Italian, Russian, Chinese and Japanese.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// A task: how words for it begin, and how many points it has.
type Task = (usize, &'static [&'static str]);

/// At most 64. Four points are the most that count.
const TASKS: &[Task] = &[
    (
        3,
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
    (3, &["derive", "derivation", "herleit", "leite her", "déduis", "deriva", "вывед", "推导", "導出"]),
    (3, &["theorem", "satz von", "théorème", "teorema", "теорем", "定理"]),
    (3, &["algorithm", "algorithmus", "algorithme", "algoritm", "алгоритм", "算法", "アルゴリズム"]),
    (3, &["refactor", "refaktor", "refactoris", "refatora", "рефактор", "重构", "リファクタ"]),
    (
        3,
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
    (3, &["implement", "implémente", "implementier", "реализ", "实现", "実装"]),
    (3, &["optimi", "оптимиз", "优化", "最適化"]),
    (3, &["architect", "architekt", "arquitect", "arquitet", "architett", "архитект", "架构", "アーキテクチャ"]),
    (3, &["integral", "intégrale", "differential equation", "eigenv", "интеграл", "积分", "積分"]),
    (3, &["trade-off", "tradeoff", "abwäg", "compromis", "compromiso", "权衡", "トレードオフ"]),
    (3, &["root cause", "ursache", "cause profonde", "causa raíz", "根本原因"]),
    (
        1,
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
    (1, &["why", "warum", "weshalb", "pourquoi", "por qué", "por que", "perché", "почему", "为什么", "なぜ"]),
    (1, &["explain", "erklär", "explique", "explica", "spiega", "объясн", "解释", "説明"]),
    (
        1,
        &[
            "compare",
            "contrast",
            "difference between",
            "vergleich",
            "unterschied",
            "comparer",
            "compara",
            "confronta",
            "сравн",
            "比较",
            "比較",
        ],
    ),
    (1, &["analy", "analis", "анализ", "分析"]),
    (1, &["evaluat", "assess", "bewerte", "évalue", "evalúa", "avalie", "valuta", "оцен", "评估", "評価"]),
    (
        1,
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
    (1, &["strategy", "strategie", "stratégie", "estrategia", "estratégia", "strategia", "стратег", "战略", "戦略"]),
    (1, &["plan for", "plan to", "roadmap", "migrat", "plane ", "planifi", "план ", "计划", "計画"]),
    (1, &["justify", "justif", "begründe", "giustifica", "обоснуй", "论证"]),
    (1, &["critique", "review this", "review the", "kritik", "critica", "рецензи", "审查", "レビュー"]),
    (1, &["calculate", "compute", "berechne", "calcul", "calcola", "вычисл", "рассчит", "计算", "計算"]),
    (1, &["solve", "solution", "löse", "résou", "resuelv", "resolva", "risolvi", "реши", "求解", "解け"]),
    (
        1,
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
    (1, &["hypothes", "infer ", "counterexample", "contradiction", "гипотез", "假设", "仮説"]),
];

static FINDER: LazyLock<Option<(AhoCorasick, Vec<usize>)>> = LazyLock::new(|| {
    let (mut stems, mut tasks) = (Vec::new(), Vec::new());
    for (task, (_, words)) in TASKS.iter().enumerate() {
        for word in *words {
            stems.push((*word).to_owned());
            tasks.push(task);
            // The finder knows the capitals of ASCII only.
            if let Some(first) = word.chars().next().filter(|first| !first.is_ascii() && first.is_lowercase()) {
                stems.push(first.to_uppercase().chain(word.chars().skip(1)).collect());
                tasks.push(task);
            }
        }
    }
    let finder =
        AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(stems);
    finder.ok().map(|finder| (finder, tasks))
});

/// The points of a text's words that are not `known`, which notes them.
pub(super) fn work_of(text: &str, known: &mut u64) -> usize {
    let Some((finder, tasks)) = &*FINDER else { return 0 };
    let mut points = 0;
    for found in finder.find_iter(text) {
        let task = tasks[found.pattern().as_usize()];
        if *known & (1 << task) != 0 || !begins_word(text, found.start()) {
            continue;
        }
        *known |= 1 << task;
        points += TASKS[task].0;
    }
    points
}

/// Whether a word begins at this byte. Chinese and Japanese have no spaces between words.
fn begins_word(text: &str, at: usize) -> bool {
    let is_ideograph = text[at..].chars().next().is_some_and(|first| ('\u{3040}'..='\u{9FFF}').contains(&first));
    is_ideograph || !text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_bit_and_words_of_its_own() {
        assert!(TASKS.len() <= 64 && FINDER.is_some());
        let mut all: Vec<&str> = TASKS.iter().flat_map(|(_, words)| *words).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_word_counts_once_and_where_it_begins() {
        let points = |text: &str| work_of(text, &mut 0);
        assert_eq!(points("Prove it, and prove it again. PROOF!"), 3);
        assert_eq!(points("improve the approval"), 0);
        assert_eq!(points("Докажи это. Warum? 请证明"), 4);
        assert_eq!(points("Weshalb, warum"), 1);
    }
}
