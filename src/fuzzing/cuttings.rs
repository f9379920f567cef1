//! The ways in which a reader's bytes may arrive.

use bytes::Bytes;

/// How many bytes are cut into single ones; longer texts only here and there.
const BYTE_BY_BYTE: usize = 256;

/// The ways in which bytes may arrive: whole, byte by byte where they are few, and cut at places that the bytes choose.
pub(super) fn cuttings(data: &[u8]) -> Vec<Vec<Bytes>> {
    let whole = Bytes::copy_from_slice(data);
    let mut ways = vec![vec![whole.clone()]];
    if data.len() <= BYTE_BY_BYTE {
        ways.push((0..data.len()).map(|at| whole.slice(at..=at)).collect());
    }
    // A linear generator is as much chance as cutting needs, and gives the same cuts for the same bytes.
    let mut state = data.iter().fold(data.len() as u64, |state, byte| next(state ^ u64::from(*byte)));
    for pieces in [2, 5] {
        let mut cuts = vec![0, data.len()];
        for _ in 1..pieces {
            state = next(state);
            cuts.push(usize::try_from(state >> 33).unwrap_or(0) % (data.len() + 1));
        }
        cuts.sort_unstable();
        ways.push(cuts.windows(2).map(|cut| whole.slice(cut[0]..cut[1])).collect());
    }
    ways
}

fn next(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}
