//! Counts of durations in logarithmic buckets: they can be added up, and give percentiles within 2 percent.

/// Each doubling has this many buckets: half a bucket's width is 1/64 of its value.
const STEPS: u64 = 32;
const STEP_BITS: u32 = 5;

/// How often which size was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket and count, by bucket.
    buckets: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.add(bucket(value), 1);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add(*bucket, *count);
        }
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The value that `percent` of the values do not exceed, at most 1/64 off. `None` where there is none.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<u64> {
        let count = u128::from(self.count());
        let rank = (count * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += u128::from(*count);
            if seen >= rank {
                return Some(middle(*bucket));
            }
        }
        None
    }

    /// Appends the histogram's bytes: for each bucket the distance from the one before and its count, as varints.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let mut last = 0;
        for (bucket, count) in &self.buckets {
            varint(u64::from(*bucket - last), bytes);
            varint(*count, bytes);
            last = *bucket;
        }
    }

    /// Adds what [`Histogram::write`] wrote. Bytes that it did not write are left out from where they stop making sense.
    pub fn merge_bytes(&mut self, mut bytes: &[u8]) {
        let mut last = 0u64;
        while let (Some(step), Some(count)) = (read_varint(&mut bytes), read_varint(&mut bytes)) {
            last = last.saturating_add(step);
            let Ok(bucket) = u16::try_from(last) else { return };
            self.add(bucket, count);
        }
    }

    fn add(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }
}

/// Values below 64 have a bucket each; above, the leading six bits decide.
fn bucket(value: u64) -> u16 {
    if value < STEPS {
        return u16::try_from(value).unwrap_or(0);
    }
    let shift = value.ilog2() - STEP_BITS;
    let index = u64::from(shift) * STEPS + (value >> shift);
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = (bucket / STEPS - 1).min(63);
    let low = u128::from(bucket % STEPS + STEPS) << shift;
    u64::try_from(low + (1 << (shift - 1))).unwrap_or(u64::MAX)
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
        assert_eq!(of(&[0]).percentile(99), Some(0));
        assert_eq!(of(&[u64::MAX]).count(), 1);
        assert!(of(&[u64::MAX]).percentile(50).unwrap() > u64::MAX / 64 * 62);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_two_percent(mut values in prop::collection::vec(0u64..1_000_000_000_000, 1..200), percent in 1u32..100) {
            let near = of(&values).percentile(percent).unwrap();
            values.sort_unstable();
            let rank = (values.len() * percent as usize).div_ceil(100).max(1);
            let exact = values[rank - 1];
            prop_assert!(near.abs_diff(exact) * 50 <= exact, "{near} for {exact}");
        }

        #[test]
        fn adding_up_equals_counting_all(a in prop::collection::vec(any::<u64>(), 0..80), b in prop::collection::vec(0u64..5_000, 0..80)) {
            let mut bytes = Vec::new();
            of(&b).write(&mut bytes);
            let (mut merged, mut read) = (of(&a), of(&a));
            merged.merge(&of(&b));
            read.merge_bytes(&bytes);
            let all: Vec<u64> = a.into_iter().chain(b).collect();
            prop_assert_eq!(&merged, &of(&all));
            prop_assert_eq!(&read, &merged);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut histogram = Histogram::default();
            histogram.merge_bytes(&bytes);
            let _ = histogram.percentile(50);
        }
    }
}
