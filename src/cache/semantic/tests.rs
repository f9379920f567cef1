//! Questions are found by meaning, within their bucket and their bounds.

use proptest::prelude::*;

use super::super::key::{Scope, begin};
use super::*;
use crate::chat::UnitVector;

fn key(n: usize) -> CacheKey {
    CacheKey::of(&begin("test", Scope::Project("p"), [&n.to_string()]))
}

fn vector(numbers: &[f32]) -> Arc<UnitVector> {
    Arc::new(UnitVector::of(numbers).unwrap())
}

fn question(bucket: usize, texts: &[(&str, [f32; 3])]) -> Question {
    Question {
        bucket: key(1_000_000 + bucket),
        texts: texts.iter().map(|(text, _)| (*text).into()).collect(),
        vectors: texts.iter().map(|(_, numbers)| vector(numbers)).collect(),
    }
}

fn find<T>(
    semantic: &Semantic,
    question: &Question,
    threshold: f64,
    usable: impl FnMut(CacheKey) -> Option<T>,
) -> Similar<T> {
    semantic.pick(question, &semantic.scan(question, threshold), usable)
}

fn found(semantic: &Semantic, question: &Question) -> Similar<CacheKey> {
    find(semantic, question, 0.9, Some)
}

#[test]
fn the_most_similar_question_of_the_bucket_is_found() {
    let semantic = Semantic::default();
    semantic.put(key(1), &question(1, &[("good", [1.0, 0.1, 0.0])]));
    semantic.put(key(2), &question(1, &[("better", [1.0, 0.01, 0.0])]));
    semantic.put(key(3), &question(2, &[("elsewhere", [1.0, 0.0, 0.0])]));
    let asked = question(1, &[("asked", [1.0, 0.0, 0.0])]);
    let Similar::Hit(hit, similarity) = found(&semantic, &asked) else { panic!("no hit") };
    assert_eq!(hit, key(2));
    assert!((similarity - 0.999_95).abs() < 1e-4);
    let Similar::Hit(hit, _) = find(&semantic, &asked, 0.9, |key| (key != self::key(2)).then_some(key)) else {
        panic!()
    };
    assert_eq!(hit, key(1), "where one's answer is gone, the next serves");
    assert_eq!(found(&semantic, &question(1, &[("far", [0.0, 1.0, 0.0])])), Similar::None);
    assert_eq!(found(&semantic, &question(3, &[("asked", [1.0, 0.0, 0.0])])), Similar::None);
    assert_eq!(semantic.size(&asked.bucket), 2);
}

#[test]
fn the_nearest_question_is_shown_however_far_it_is_and_with_what_differs() {
    let semantic = Semantic::default();
    let asked = question(1, &[("pay 10", [1.0, 0.0, 0.0])]);
    assert_eq!(semantic.nearest(&asked, |_| true), None);
    for n in 0..40_u8 {
        let far = [0.1, f32::from(n) + 1.0, 3.0];
        semantic.put(key(100 + usize::from(n)), &question(1, &[("far", far)]));
    }
    semantic.put(key(1), &question(1, &[("pay 10 soon", [0.5, 0.5, 0.0])]));
    semantic.put(key(2), &question(1, &[("pay 20", [1.0, 0.1, 0.0])]));
    let nearest = |usable: &dyn Fn(&CacheKey) -> bool| {
        let Nearest { similarity, differs } = semantic.nearest(&asked, usable).unwrap();
        ((similarity * 1e3).round() / 1e3, differs)
    };
    assert_eq!(nearest(&|_| true), (0.995, Some(Difference::Number)));
    assert_eq!(nearest(&|key| *key != self::key(2)), (0.707, None), "where one's answer is gone, the next is shown");
}

#[test]
fn a_question_that_is_stored_again_takes_the_room_of_one() {
    let semantic = Semantic::default();
    let asked = question(1, &[("asked", [1.0, 0.0, 0.0])]);
    semantic.put(key(1), &asked);
    let once = semantic.stored();
    semantic.put(key(1), &asked);
    assert_eq!((semantic.stored(), semantic.size(&asked.bucket)), (once, 1));
}

#[test]
fn every_text_of_a_conversation_must_be_similar() {
    let semantic = Semantic::default();
    let talk = |first: [f32; 3], last: [f32; 3]| question(1, &[("one", first), ("two", last)]);
    semantic.put(key(1), &talk([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]));
    assert!(matches!(found(&semantic, &talk([1.0, 0.1, 0.0], [0.0, 1.0, 0.0])), Similar::Hit(..)));
    assert_eq!(found(&semantic, &talk([0.0, 0.0, 1.0], [0.0, 1.0, 0.0])), Similar::None);
    assert_eq!(found(&semantic, &talk([1.0, 0.0, 0.0], [0.0, 0.0, 1.0])), Similar::None);
}

#[test]
fn the_guard_is_asked_for_every_text() {
    let semantic = Semantic::default();
    let (same, talk) =
        ([1.0, 0.0, 0.0], |first, last| question(1, &[(first, [1.0, 0.0, 0.0]), (last, [1.0, 0.0, 0.0])]));
    semantic.put(key(1), &talk("I have 3 dogs", "And now?"));
    assert_eq!(found(&semantic, &talk("I have 4 dogs", "And now?")), Similar::Refused(Difference::Number));
    assert_eq!(found(&semantic, &talk("I have 3 dogs", "And not now?")), Similar::Refused(Difference::Negation));
    assert_eq!(found(&semantic, &talk("I own 3 dogs", "And now")), Similar::Hit(key(1), 1.0));
    semantic.put(key(2), &question(2, &[("10", same)]));
    semantic.put(key(3), &question(2, &[("20", same)]));
    assert_eq!(
        found(&semantic, &question(2, &[("20 ", same)])),
        Similar::Hit(key(3), 1.0),
        "another one is not in the way"
    );
}

#[test]
fn the_least_recently_used_make_room() {
    let semantic = Semantic::default();
    semantic.set_bounds(SemanticBounds { entries: 2, ..SemanticBounds::default() });
    let of = |n: usize| {
        let numbers = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]][n];
        question(1, &[("text", numbers)])
    };
    semantic.put(key(0), &of(0));
    semantic.put(key(1), &of(1));
    assert!(matches!(found(&semantic, &of(0)), Similar::Hit(..)));
    semantic.put(key(2), &of(2));
    assert_eq!(found(&semantic, &of(1)), Similar::None);
    assert!(
        matches!(found(&semantic, &of(0)), Similar::Hit(..)) && matches!(found(&semantic, &of(2)), Similar::Hit(..))
    );
    semantic.put(key(2), &of(2));
    assert_eq!(semantic.stored().0, 2, "the same question is stored once");
    semantic.forget(&[key(0), key(2), key(9)].into_iter().collect());
    assert_eq!(semantic.stored(), (0, 0));
    assert!(semantic.state().buckets.is_empty());
    semantic.set_bounds(SemanticBounds { bytes: 100, ..SemanticBounds::default() });
    semantic.put(key(0), &of(0));
    assert_eq!(semantic.stored(), (0, 0), "one that is larger than all room is not stored");
}

#[test]
fn vectors_of_another_length_replace_those_of_the_model_before() {
    let semantic = Semantic::default();
    semantic.put(key(1), &question(1, &[("a", [1.0, 0.0, 0.0])]));
    let other = Question { vectors: vec![vector(&[1.0, 0.0])], ..question(1, &[("a", [1.0, 0.0, 0.0])]) };
    assert_eq!(found(&semantic, &other), Similar::None);
    semantic.put(key(2), &other);
    assert_eq!((found(&semantic, &other), semantic.stored().0), (Similar::Hit(key(2), 1.0), 1));
}

/// A vector at a cosine to `base`, in a direction by chance.
fn near(base: &[f32], cosine: f32, noise: &[f32]) -> Vec<f32> {
    let base = UnitVector::of(base).unwrap();
    let noise = UnitVector::of(noise).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "of a test")]
    let along = base.cosine(&noise) as f32;
    let across: Vec<f32> = noise.numbers().iter().zip(base.numbers()).map(|(n, b)| n - along * b).collect();
    let across = UnitVector::of(&across).unwrap();
    let sine = (1.0 - cosine * cosine).sqrt();
    base.numbers().iter().zip(across.numbers()).map(|(b, a)| cosine * b + sine * a).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_similar_enough_is_found_and_nothing_else(
        base in prop::collection::vec(-1.0f32..1.0, 384), noise in prop::collection::vec(-1.0f32..1.0, 384),
        cosine in 0.5f32..0.999, threshold in 0.6f64..0.98,
    ) {
        let semantic = Semantic::default();
        let asked = |numbers: &[f32]| Question { vectors: vec![vector(numbers)], ..question(1, &[("a", [1.0, 0.0, 0.0])]) };
        semantic.put(key(1), &asked(&near(&base, cosine, &noise)));
        let exact = vector(&base).cosine(&vector(&near(&base, cosine, &noise)));
        let found = find(&semantic, &asked(&base), threshold, Some);
        prop_assert_eq!(matches!(found, Similar::Hit(..)), exact >= threshold, "{} {}", exact, threshold);
    }
}
