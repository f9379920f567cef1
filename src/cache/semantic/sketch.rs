//! A few bits of a vector by which most of those that are not similar are passed over.
//!
//! Each bit is the side of a random plane on which the vector lies. Two vectors at the angle *a* differ in each bit with the
//! probability *a* / π (Charikar, 2002), so that in 512 bits those beyond a threshold differ in many more than those within.
//! The planes are the rows of a fast random rotation: random signs and a Walsh-Hadamard transform, twice.

use std::ops::Range;

/// The bits of a sketch.
pub(super) const BITS: usize = 512;
const WORDS: usize = BITS / 64;

/// So many standard deviations more than expected may differ. Bits of one vector are nearly independent, so that of 100,000
/// vectors at the threshold itself about three are missed, and none of those that are a little more similar. Each deviation more
/// would let ten times as many unrelated vectors through, where a model keeps all texts close together.
const DEVIATIONS: f64 = 4.0;

/// The sketch of a vector.
pub(super) type Sketch = [u64; WORDS];

/// The sketch of a vector.
pub(super) fn sketch(numbers: &[f32]) -> Sketch {
    let mut rotated = numbers.to_vec();
    rotated.resize(numbers.len().next_power_of_two().max(BITS), 0.0);
    for round in 0..2 {
        flip(&mut rotated, round);
        transform(&mut rotated);
    }
    let mut sketch = Sketch::default();
    for (at, number) in rotated.iter().take(BITS).enumerate() {
        sketch[at / 64] |= u64::from(*number > 0.0) << (at % 64);
    }
    sketch
}

/// Turns signs by chance, always the same.
fn flip(numbers: &mut [f32], round: u64) {
    for (at, number) in numbers.iter_mut().enumerate() {
        // The finaliser of SplitMix64 (Steele and others, 2014).
        let mut mixed = (at as u64 + 1 + (round << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        if (mixed ^ (mixed >> 31)) & 1 == 1 {
            *number = -*number;
        }
    }
}

/// The Walsh-Hadamard transform of a list whose length is a power of two.
fn transform(numbers: &mut [f32]) {
    let mut half = 1;
    while half < numbers.len() {
        for block in numbers.chunks_exact_mut(2 * half) {
            let (left, right) = block.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
}

/// How many bits may differ between vectors whose cosine is at least `threshold`.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 512")]
pub(super) fn most_different(threshold: f64) -> u32 {
    let share = threshold.clamp(-1.0, 1.0).acos() / std::f64::consts::PI;
    let bits = BITS as f64;
    (bits * share + DEVIATIONS * (bits * share * (1.0 - share)).sqrt()).ceil().min(bits) as u32
}

/// Whether at most so many bits differ.
pub(super) fn is_near(one: &Sketch, other: &Sketch, most: u32) -> bool {
    // Most vectors are far, as half of the bits show.
    let first = differing(one, other, 0..WORDS / 2);
    first <= most && first + differing(one, other, WORDS / 2..WORDS) <= most
}

/// How many bits differ.
pub(super) fn difference(one: &Sketch, other: &Sketch) -> u32 {
    differing(one, other, 0..WORDS)
}

fn differing(one: &Sketch, other: &Sketch, words: Range<usize>) -> u32 {
    words.map(|word| (one[word] ^ other[word]).count_ones()).sum()
}
