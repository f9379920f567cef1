//! What routing and caching by meaning take of the CPU: the complexity of a conversation, and looking for a similar question among
//! 100,000 of one bucket, with the share of those that an exact comparison finds too.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures")]
#![expect(clippy::panic, reason = "a bench whose material is wrong measures nothing")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fulcrum::cache::{Cache, CacheKey, Keyer, Question, Scope, SemanticBounds};
use fulcrum::chat::{Emulated, Request, UnitVector};
use fulcrum::routing::Complexity;
use fulcrum::wire::DialectId;
use fulcrum::wire::dialect::Addressed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENTRIES: usize = 100_000;
const WIDTH: usize = 384;
const LOOK_UPS: usize = 300;

fn main() {
    complexity();
    println!(
        "\n{:>10} {:>10} {:>12} {:>12} {:>12} {:>8}",
        "unrelated", "threshold", "us median", "us p99", "us a put", "recall"
    );
    // Some models spread texts over all directions, others keep them close together.
    for (common, threshold) in [(0.0, 0.92), (0.5, 0.92), (0.75, 0.92), (0.75, 0.95)] {
        look_ups(common, threshold);
    }
}

fn complexity() {
    println!("{:>24} {:>12} {:>16}", "conversation", "us a score", "us with reading");
    let code = "```rust\nfn main() {\n    let x = 1 + 2;\n}\n```\n";
    let hard =
        "Prove the theorem step by step, compare both algorithms, and explain why 12 + 30 = 42. What about Oslo? ";
    for (name, text) in [
        ("4 KB of words", "The quick brown fox jumps over the lazy dog. ".repeat(90)),
        ("4 KB, hard", hard.repeat(39)),
        ("4 KB of code", code.repeat(83)),
        ("4 KB of Chinese", "请证明根号二是无理数并解释为什么。".repeat(80)),
        ("10 MB of words", "The quick brown fox jumps over the lazy dog. ".repeat(230_000)),
    ] {
        let body = json!({"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]});
        let body = Bytes::from(body.to_string());
        let (rounds, request) = (if text.len() > 100_000 { 20 } else { 2_000 }, read(&body));
        let alone = best(rounds, || {
            black_box(Complexity::of(black_box(&request)));
        });
        let reading = best(rounds, || {
            black_box(Complexity::of(&read(black_box(&body))));
        });
        println!("{name:>24} {alone:>12.2} {reading:>16.2}");
    }
}

fn read(body: &Bytes) -> Request {
    let codec = DialectId::OpenAiChat.codec();
    let asked = codec.read(body.clone(), &Addressed::default()).unwrap_or_else(|error| panic!("{error:?}"));
    codec.read_request(&asked, &mut Emulated::default()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Microseconds a round, in the fastest of five parts.
fn best(rounds: u32, mut run: impl FnMut()) -> f64 {
    let part = |_| {
        let began = Instant::now();
        (0..rounds).for_each(|_| run());
        began.elapsed() / rounds
    };
    let fastest = (0..5).map(part).min().unwrap_or(Duration::ZERO);
    fastest.as_secs_f64() * 1e6
}

/// Looks for questions among many of one bucket, whose vectors have `common` of their length in one direction.
fn look_ups(common: f32, threshold: f64) {
    let mut dice = StdRng::seed_from_u64(7);
    let cache: Cache = Cache::new(1 << 20);
    cache.set_semantic(SemanticBounds { entries: ENTRIES, bytes: 4 << 30 });
    let vectors: Vec<Arc<UnitVector>> = (0..ENTRIES).map(|_| Arc::new(around(&mut dice, common))).collect();
    let began = Instant::now();
    for (n, vector) in vectors.iter().enumerate() {
        cache.put_similar(key("answer", n), &question(vector.clone()));
    }
    let put = began.elapsed().as_secs_f64() * 1e6 / ENTRIES as f64;
    let (mut times, mut wanted, mut found) = (Vec::with_capacity(LOOK_UPS), 0usize, 0usize);
    for n in 0..LOOK_UPS {
        // From the threshold itself to nearly the same.
        let cosine = threshold as f32 + (0.999 - threshold as f32) * (n as f32 / LOOK_UPS as f32);
        let place = dice.random_range(0..ENTRIES);
        let asked = question(Arc::new(near(&mut dice, &vectors[place], cosine)));
        let exact = vectors.iter().filter(|vector| vector.cosine(&asked.vectors[0]) >= threshold).count();
        let began = Instant::now();
        let scanned = black_box(cache.scan(&asked, threshold));
        times.push(began.elapsed());
        wanted += exact.min(32);
        found += scanned.len().min(exact);
    }
    times.sort_unstable();
    let at = |share: f64| times[((LOOK_UPS - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let (median, most, recall) = (at(0.5), at(0.99), found as f64 / wanted.max(1) as f64);
    println!("{:>10.2} {threshold:>10.2} {median:>12.0} {most:>12.0} {put:>12.1} {recall:>8.4}", common * common);
}

fn question(vector: Arc<UnitVector>) -> Question {
    Question { bucket: key("bucket", 0), texts: vec!["the same words".into()], vectors: vec![vector] }
}

fn key(kind: &str, n: usize) -> CacheKey {
    Keyer::new(Scope::Project("bench"), kind, &n.to_string(), "bench").finish()
}

/// A number of the normal distribution, nearly.
fn normal(dice: &mut StdRng) -> f32 {
    (0..12).map(|_| dice.random::<f32>()).sum::<f32>() - 6.0
}

fn unit(numbers: &[f32]) -> UnitVector {
    UnitVector::of(numbers).unwrap_or_else(|| panic!("a vector without a direction"))
}

fn around(dice: &mut StdRng, common: f32) -> UnitVector {
    let own: Vec<f32> = (0..WIDTH).map(|_| normal(dice)).collect();
    let own = unit(&own);
    let rest = (1.0 - common * common).sqrt();
    let shared = 1.0 / (WIDTH as f32).sqrt();
    unit(&own.numbers().iter().map(|number| common * shared + rest * number).collect::<Vec<_>>())
}

/// A vector at this cosine to another, in a direction by chance.
fn near(dice: &mut StdRng, base: &UnitVector, cosine: f32) -> UnitVector {
    let noise: Vec<f32> = (0..WIDTH).map(|_| normal(dice)).collect();
    let noise = unit(&noise);
    let along = base.cosine(&noise) as f32;
    let across: Vec<f32> =
        noise.numbers().iter().zip(base.numbers()).map(|(noise, base)| noise - along * base).collect();
    let (across, sine) = (unit(&across), (1.0 - cosine * cosine).sqrt());
    unit(
        &base
            .numbers()
            .iter()
            .zip(across.numbers())
            .map(|(base, across)| cosine * base + sine * across)
            .collect::<Vec<_>>(),
    )
}
