//! Histograms of different custom bounds: both are brought to the bounds they have in common.

use super::sum::Part;
use super::zero::Count;
use crate::vector::kahan_add;

/// The bounds that both have.
pub(super) fn common(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut found = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        if left == right {
            found.push(*left);
            (i, j) = (i + 1, j + 1);
        } else if left < right {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// Buckets between common bounds while they are filled.
pub(super) struct Target<'a> {
    bounds: &'a [f64],
    parts: Vec<Part>,
}

impl<'a> Target<'a> {
    pub(super) fn new(bounds: &'a [f64]) -> Self {
        Target { bounds, parts: vec![Part::default(); bounds.len() + 1] }
    }

    /// Adds buckets of other bounds, multiplied with `sign`.
    pub(super) fn add<C: Count>(&mut self, bounds: &[f64], buckets: &[(i32, C)], sign: f64) {
        let mut at = 0;
        for (index, count) in buckets {
            let upper = usize::try_from(*index).ok().and_then(|index| bounds.get(index));
            let place = match upper {
                Some(upper) => {
                    while self.bounds.get(at).is_some_and(|bound| bound < upper) {
                        at += 1;
                    }
                    at
                }
                None => self.bounds.len(),
            };
            let (added, part) = (count.part(), &mut self.parts[place]);
            (part.value, part.lost) = kahan_add(sign * added.value, part.value, part.lost);
            (part.value, part.lost) = kahan_add(sign * added.lost, part.value, part.lost);
        }
    }

    /// The buckets that are not empty.
    pub(super) fn filled(self) -> impl Iterator<Item = (i32, Part)> {
        let indexed = (0..).zip(self.parts);
        indexed.filter(|(_, part)| part.value != 0.0 || part.lost != 0.0)
    }
}
