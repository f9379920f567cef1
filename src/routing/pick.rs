//! The order of a route's targets: by weight and chance, or by a caller's own bucket.

use std::sync::Arc;

use super::target::Target;

/// A target and its share.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    pub(super) target: Arc<Target>,
    pub(super) weight: u32,
}

/// Draws targets one after the other, each by its weight among the remaining ones, from a single random number: the place
/// of the number inside the drawn target's share, scaled to 0..1, is as evenly spread as a new number. Targets of weight 0
/// are left out.
pub(super) fn draw(targets: &[Weighted], dice: f64, take: &mut impl FnMut(&Arc<Target>)) {
    if let [only] = targets {
        return take(&only.target);
    }
    let mut left: Vec<&Weighted> = targets.iter().filter(|target| target.weight > 0).collect();
    let mut dice = dice.clamp(0.0, 1.0);
    while !left.is_empty() {
        let total: f64 = left.iter().map(|target| f64::from(target.weight)).sum();
        let (index, rest) = share(&left, dice * total);
        dice = rest;
        take(&left.remove(index).target);
    }
}

/// The target whose share `point` falls into, and how far into it, 0 to 1.
fn share(targets: &[&Weighted], mut point: f64) -> (usize, f64) {
    for (index, target) in targets.iter().enumerate() {
        let weight = f64::from(target.weight);
        if point < weight || index + 1 == targets.len() {
            return (index, (point / weight).clamp(0.0, 1.0));
        }
        point -= weight;
    }
    (0, 0.0)
}

/// A number in 0..1 that `who` always gets on `route`, whatever the process, the day and the weights.
pub(super) fn bucket(route: &str, who: &str) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(route.as_bytes()).update(&[0]).update(who.as_bytes());
    let hash = hasher.finalize();
    let mut first = [0u8; 4];
    first.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}
