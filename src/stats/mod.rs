//! Statistics of comparisons: intervals, tests that hold at any look, sizes of samples. Pure functions of counts and sums.

mod agreement;
mod chi_squared;
mod holm;
mod interval;
mod normal;
mod paired;
mod proportion;
mod sequence;
mod size;
mod sums;

pub use agreement::{Judge, corrected, kappa};
pub use chi_squared::{ratio_e_value, sample_ratio, survival as chi_squared_survival};
pub use holm::holm;
pub use interval::Interval;
pub use normal::{quantile as normal_quantile, survival as normal_survival};
pub use paired::{e_value as paired_e_value, mcnemar};
pub use proportion::wilson;
pub use sequence::{Estimate, Sequence};
pub use size::{paired as paired_size, sequential as sequential_size, two_arms as two_arms_size};
pub use sums::Sums;

/// A count as a number to reckon with; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53, where a float is exact")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// The whole number that holds `size`, at most 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to what both hold exactly")]
fn whole(size: f64) -> u64 {
    size.ceil().clamp(0.0, 9_007_199_254_740_992.0) as u64
}
