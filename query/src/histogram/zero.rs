//! Zero buckets of different widths: the narrower one grows until both are the same, and takes in
//! the buckets it comes to cover.

use model::NativeHistogram;

use super::bounds::exponential_bound;
use super::sum::Part;
use crate::vector::kahan_add;

/// The count of a bucket, perhaps with what was lost in adding it up.
pub(super) trait Count: Copy {
    fn part(self) -> Part;
}

impl Count for f64 {
    fn part(self) -> Part {
        Part { value: self, lost: 0.0 }
    }
}

impl Count for Part {
    fn part(self) -> Part {
        self
    }
}

/// The buckets of a histogram of a standard schema.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a, C> {
    pub(super) schema: i32,
    pub(super) threshold: f64,
    pub(super) zero: Part,
    pub(super) positive: &'a [(i32, C)],
    pub(super) negative: &'a [(i32, C)],
}

impl<C: Count> Sides<'_, C> {
    /// The zero bucket at a threshold of at least `threshold`, and that threshold: it is no bound
    /// within a bucket that holds something.
    fn widened(&self, threshold: f64) -> (Part, f64) {
        if threshold == self.threshold {
            return (self.zero, threshold);
        }
        let mut threshold = threshold;
        // Where a side moves the threshold, what was found of the other one is no longer right.
        loop {
            let mut zero = self.zero;
            if let Some(end) = self.take(self.positive, threshold, &mut zero) {
                threshold = end;
            }
            match self.take(self.negative, threshold, &mut zero) {
                Some(end) => threshold = end,
                None => return (zero, threshold),
            }
        }
    }

    /// Adds the buckets of a side that begin below `threshold` to `zero`. Answers where the last
    /// one ends if that is beyond and the bucket holds something.
    fn take(&self, side: &[(i32, C)], threshold: f64, zero: &mut Part) -> Option<f64> {
        for (index, count) in side {
            let end = exponential_bound(*index, self.schema);
            if exponential_bound(index.saturating_sub(1), self.schema) >= threshold {
                break;
            }
            let part = count.part();
            (zero.value, zero.lost) = kahan_add(part.value, zero.value, zero.lost);
            (zero.value, zero.lost) = kahan_add(part.lost, zero.value, zero.lost);
            if end > threshold {
                return (part.value != 0.0).then_some(end);
            }
        }
        None
    }
}

/// Widens the zero bucket of `mine` until it fits that of `other`. Answers the zero bucket and the
/// threshold of `mine` if they changed, and what the zero bucket of `other` is then. Buckets of
/// `mine` that begin below the new threshold are to be removed.
pub(super) fn reconcile<C: Count>(
    mine: Sides<'_, C>,
    other: &NativeHistogram,
) -> (Option<(Part, f64)>, Part) {
    let theirs = Sides {
        schema: other.schema,
        threshold: other.zero_threshold,
        zero: other.zero_count.part(),
        positive: &other.positive,
        negative: &other.negative,
    };
    let (mut zero, mut threshold) = (mine.zero, mine.threshold);
    let (mut other_zero, mut other_threshold) = (theirs.zero, theirs.threshold);
    loop {
        if threshold > other_threshold {
            (other_zero, other_threshold) = theirs.widened(threshold);
        }
        if other_threshold > threshold {
            (zero, threshold) = mine.widened(other_threshold);
        } else {
            // They are equal, or no numbers.
            break;
        }
    }
    let changed = threshold > mine.threshold;
    (changed.then_some((zero, threshold)), other_zero)
}

/// Removes the buckets that begin below `threshold`, and empty ones.
pub(super) fn remove_within<C: Count>(side: &mut Vec<(i32, C)>, schema: i32, threshold: f64) {
    side.retain(|(index, count)| {
        let Part { value, lost } = count.part();
        let begin = exponential_bound(index.saturating_sub(1), schema);
        begin >= threshold && !(value == 0.0 && lost == 0.0)
    });
}
