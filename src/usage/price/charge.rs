//! What the tokens of one call cost at given rates: exact integers, one rounding.

use super::rates::Rates;
use crate::chat::Usage;

/// The cost in millionths of a nano-dollar.
///
/// A part that is larger than the whole it belongs to counts as the whole: no provider's mistake makes tokens free. Sound
/// without a rate of its own costs what words cost.
pub(super) fn sum(rates: &Rates, usage: &Usage) -> i128 {
    let cached = usage.cached_input.min(usage.input);
    let written = usage.cache_write.min(usage.input - cached);
    let hour = usage.cache_write_1h.min(written);
    let reasoning = usage.reasoning.min(usage.output);
    let heard = usage.service.audio_input.min(usage.input - cached - written);
    let spoken = usage.service.audio_output.min(usage.output - reasoning);
    let write = rates.cache_write.unwrap_or(rates.input);
    let parts = [
        rates.input.times(usage.input - cached - written - heard),
        rates.input_audio.unwrap_or(rates.input).times(heard),
        rates.cache_read.unwrap_or(rates.input).times(cached),
        write.times(written - hour),
        rates.cache_write_1h.unwrap_or(write).times(hour),
        rates.output.times(usage.output - reasoning - spoken),
        rates.output_audio.unwrap_or(rates.output).times(spoken),
        rates.reasoning.unwrap_or(rates.output).times(reasoning),
    ];
    parts.into_iter().fold(0, i128::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Nanos, Rate};
    use proptest::prelude::*;

    /// Micro-cents of our own: everything as a fraction over 10^15 dollars, summed by long addition token kind by kind.
    fn model(rates: [u64; 6], counts: [u64; 6]) -> u128 {
        let total: u128 = rates.iter().zip(counts).map(|(rate, count)| u128::from(*rate) * u128::from(count)).sum();
        let (whole, rest) = (total / 1_000_000, total % 1_000_000);
        if rest >= 500_000 { whole + 1 } else { whole }
    }

    fn rate(nanos: u64) -> Rate {
        Nanos(i64::try_from(nanos).unwrap()).to_string().parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_cost_equals_the_integer_models(rates in any::<[u32; 6]>(), counts in prop::array::uniform6(0u64..3_000_000)) {
            let rates = rates.map(|rate| u64::from(rate) * 10);
            let [plain, read, five, hour, text, thought] = counts;
            let table = Rates {
                input: rate(rates[0]),
                cache_read: Some(rate(rates[1])),
                cache_write: Some(rate(rates[2])),
                cache_write_1h: Some(rate(rates[3])),
                output: rate(rates[4]),
                reasoning: Some(rate(rates[5])),
                ..Rates::default()
            };
            let usage = Usage {
                input: plain + read + five + hour,
                cached_input: read,
                cache_write: five + hour,
                cache_write_1h: hour,
                output: text + thought,
                reasoning: thought,
                ..Usage::default()
            };
            let cost = Rate::round(sum(&table, &usage));
            prop_assert_eq!(u128::try_from(cost.0).unwrap(), model(rates, counts));
        }

        #[test]
        fn no_count_of_a_provider_overflows(input: u64, cached_input: u64, cache_write: u64, output: u64, reasoning: u64) {
            let usage = Usage { input, cached_input, cache_write, cache_write_1h: u64::MAX, output, reasoning, ..Usage::default() };
            let rates = Rates { input: rate(1), output: rate(1), ..Rates::default() };
            let least = Rate::round(rates.input.times(input) + rates.output.times(output));
            prop_assert_eq!(Rate::round(sum(&rates, &usage)), least);
        }
    }
}
