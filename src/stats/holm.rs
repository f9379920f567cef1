//! Several comparisons at once.

/// Which of `p_values` may be rejected so that any false rejection among them has at most probability `alpha`, in their order.
///
/// Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6 (1979): the smallest is
/// compared with `alpha / m`, the next with `alpha / (m - 1)`, as far as the first that does not pass.
#[must_use]
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut rejected = vec![false; p_values.len()];
    let mut left = f64::from(u32::try_from(p_values.len()).unwrap_or(u32::MAX));
    for index in order {
        let passes = p_values[index] * left <= alpha;
        if !passes {
            break;
        }
        rejected[index] = true;
        left -= 1.0;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_needs_the_most() {
        assert_eq!(holm(&[0.01, 0.04, 0.03], 0.05), [true, false, false]);
        assert_eq!(holm(&[0.01, 0.04, 0.02], 0.05), [true, true, true]);
        assert_eq!(holm(&[0.02, 0.02, 0.02], 0.05), [false, false, false]);
        assert_eq!(holm(&[0.05], 0.05), [true]);
        assert_eq!((holm(&[f64::NAN, 0.01], 0.05), holm(&[], 0.05)), (vec![false, true], vec![]));
    }

    proptest! {
        #[test]
        fn it_rejects_no_less_than_bonferroni_and_no_more_than_alone(
            p_values in prop::collection::vec(0.0f64..1.0, 1..8),
            alpha in 0.001f64..0.5,
        ) {
            let arms = f64::from(u32::try_from(p_values.len()).unwrap());
            for (p, rejected) in p_values.iter().zip(holm(&p_values, alpha)) {
                prop_assert!(rejected || p * arms > alpha);
                prop_assert!(!rejected || *p <= alpha);
            }
        }
    }
}
