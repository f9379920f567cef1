//! A text's vector of length 1, as the similarity of texts is worked out with.

/// How many products are added at once: the compiler makes vector instructions of them.
const LANES: usize = 16;

/// The most numbers of a vector.
const MOST: usize = 16_384;

/// An embedding of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitVector(Box<[f32]>);

impl UnitVector {
    /// The vector of this direction; `None` where the numbers have none: no numbers, too many, all 0, or one that is not finite.
    #[must_use]
    pub fn of(numbers: &[f32]) -> Option<Self> {
        let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        if numbers.is_empty() || numbers.len() > MOST || !length.is_finite() || length < f64::from(f32::MIN_POSITIVE) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "an embedding has 32 bits a number")]
        let scaled = numbers.iter().map(|number| (f64::from(*number) / length) as f32).collect();
        Some(Self(scaled))
    }

    /// The numbers.
    #[must_use]
    pub fn numbers(&self) -> &[f32] {
        &self.0
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.0)
    }

    /// How similar two texts are, -1 to 1; 0 where the vectors are of different models.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f64 {
        if self.0.len() != other.0.len() {
            return 0.0;
        }
        dot(&self.0, &other.0)
    }
}

/// The sum of the products of two equally long lists, within -1 and 1.
#[must_use]
pub fn dot(left: &[f32], right: &[f32]) -> f64 {
    let (mut sums, mut rest) = ([0.0f32; LANES], 0.0f32);
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    for (left, right) in left_rest.iter().zip(right_rest) {
        rest += left * right;
    }
    f64::from(sums.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_vector_has_a_direction() {
        for bad in [&[][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &vec![1.0; MOST + 1]] {
            assert_eq!(UnitVector::of(bad), None);
        }
        let unit = |numbers: &[f32]| UnitVector::of(numbers).unwrap();
        assert!((unit(&[3.0, 4.0]).cosine(&unit(&[4.0, 3.0])) - 0.96).abs() < 1e-6);
        assert!((unit(&[f32::MAX, f32::MAX]).cosine(&unit(&[1.0, 1.0])) - 1.0).abs() < 1e-6);
        assert!((unit(&[1.0, 0.0]).cosine(&unit(&[-2.0, 0.0])) + 1.0).abs() < 1e-6);
        assert!(unit(&[1.0]).cosine(&unit(&[1.0, 0.0])).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_vector_is_most_similar_to_itself(
            numbers in prop::collection::vec(-1.0f32..1.0, 1..70), other in prop::collection::vec(-1.0f32..1.0, 70),
        ) {
            let (Some(vector), Some(other)) = (UnitVector::of(&numbers), UnitVector::of(&other[..numbers.len()])) else {
                return Ok(());
            };
            prop_assert!((vector.cosine(&vector) - 1.0).abs() < 1e-5);
            prop_assert!((vector.cosine(&other) - other.cosine(&vector)).abs() < 1e-6);
            prop_assert!((-1.0..=1.0).contains(&vector.cosine(&other)));
        }
    }
}
