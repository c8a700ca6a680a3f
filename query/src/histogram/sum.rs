//! Sums and means of many histograms, with Neumaier's compensation for each number in them.

use model::NativeHistogram;

use super::arithmetic::{MixedSchemas, combine_hints, divide};
use super::buckets::{above, coarser_index, merge, steps_between};
use super::zero::{self, Sides};
use super::{CUSTOM, custom};
use crate::vector::kahan_add;

/// A number that is added up, and what rounding took from it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Part {
    pub(super) value: f64,
    pub(super) lost: f64,
}

impl Part {
    fn add(&mut self, number: f64) {
        (self.value, self.lost) = kahan_add(number, self.value, self.lost);
    }

    fn add_part(&mut self, other: Part) {
        self.add(other.value);
        if other.lost != 0.0 {
            self.add(other.lost);
        }
    }

    fn of(value: f64) -> Self {
        Part { value, lost: 0.0 }
    }
}

/// Histograms added up.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// Without counts, sum and buckets, which are below.
    frame: NativeHistogram,
    count: Part,
    sum: Part,
    zero: Part,
    positive: Vec<(i32, Part)>,
    negative: Vec<(i32, Part)>,
}

impl Sum {
    /// The sum of one histogram.
    pub(crate) fn of(histogram: &NativeHistogram) -> Self {
        let parts = |buckets: &[(i32, f64)]| {
            buckets.iter().map(|(index, count)| (*index, Part::of(*count))).collect()
        };
        Sum {
            frame: NativeHistogram {
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                custom_bounds: histogram.custom_bounds.clone(),
                reset_hint: histogram.reset_hint,
                ..NativeHistogram::default()
            },
            count: Part::of(histogram.count),
            sum: Part::of(histogram.sum),
            zero: Part::of(histogram.zero_count),
            positive: parts(&histogram.positive),
            negative: parts(&histogram.negative),
        }
    }

    /// Adds a histogram; `true` if custom bounds were reconciled. Reset hints that contradict each
    /// other make an unknown one.
    pub(crate) fn add(&mut self, other: &NativeHistogram) -> Result<bool, MixedSchemas> {
        if (self.frame.schema == CUSTOM) != (other.schema == CUSTOM) {
            return Err(MixedSchemas);
        }
        combine_hints(&mut self.frame.reset_hint, other.reset_hint);
        let reconciled = if self.frame.schema == CUSTOM {
            self.add_custom(other)
        } else {
            self.add_exponential(other);
            false
        };
        self.count.add(other.count);
        self.sum.add(other.sum);
        Ok(reconciled)
    }

    fn add_custom(&mut self, other: &NativeHistogram) -> bool {
        if self.frame.custom_bounds == other.custom_bounds {
            merge(&mut self.positive, &other.positive, Part::add, Part::of);
            return false;
        }
        let bounds = custom::common(&self.frame.custom_bounds, &other.custom_bounds);
        let mut target = custom::Target::new(&bounds);
        target.add(&self.frame.custom_bounds, &self.positive, 1.0);
        target.add(&other.custom_bounds, &other.positive, 1.0);
        self.positive = target.filled().collect();
        self.frame.custom_bounds = bounds;
        true
    }

    fn add_exponential(&mut self, other: &NativeHistogram) {
        let other_zero = self.reconcile_zero(other);
        self.zero.add_part(other_zero);
        let schema = self.frame.schema.min(other.schema);
        let by = steps_between(self.frame.schema, schema);
        if by > 0 {
            self.positive = coarser_parts(self.positive.iter().copied(), by);
            self.negative = coarser_parts(self.negative.iter().copied(), by);
            self.frame.schema = schema;
        }
        let by = steps_between(other.schema, schema);
        let threshold = self.frame.zero_threshold;
        for (mine, theirs) in
            [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)]
        {
            if by == 0 {
                merge(mine, above(theirs, schema, threshold), Part::add, Part::of);
            } else {
                let parts = theirs.iter().map(|(index, count)| (*index, Part::of(*count)));
                let theirs = coarser_parts(parts, by);
                merge(mine, above(&theirs, schema, threshold), Part::add_part, |part| part);
            }
        }
    }

    /// Gives both one zero threshold, and answers the zero bucket of `other` at it.
    fn reconcile_zero(&mut self, other: &NativeHistogram) -> Part {
        let schema = self.frame.schema;
        if self.frame.zero_threshold == other.zero_threshold {
            return Part::of(other.zero_count);
        }
        let sides = Sides {
            schema,
            threshold: self.frame.zero_threshold,
            zero: self.zero,
            positive: &self.positive,
            negative: &self.negative,
        };
        let (changed, theirs) = zero::reconcile(sides, other);
        if let Some((zero, threshold)) = changed {
            self.zero = zero;
            self.frame.zero_threshold = threshold;
            zero::remove_within(&mut self.positive, schema, threshold);
            zero::remove_within(&mut self.negative, schema, threshold);
        }
        theirs
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        let buckets = self.positive.iter_mut().chain(&mut self.negative);
        [&mut self.count, &mut self.sum, &mut self.zero]
            .into_iter()
            .chain(buckets.map(|(_, part)| part))
    }

    fn all(&self, mut is: impl FnMut(f64) -> bool) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, part)| part.value);
        [self.count, self.sum, self.zero].iter().map(|p| p.value).chain(buckets).all(&mut is)
    }

    /// The sum, divided.
    pub(crate) fn divided_by(mut self, divisor: f64) -> NativeHistogram {
        if divisor != 1.0 {
            self.parts_mut().for_each(|part| {
                part.value /= divisor;
                part.lost /= divisor;
            });
        }
        let plain = |buckets: Vec<(i32, Part)>| {
            buckets.into_iter().map(|(index, part)| (index, part.value + part.lost)).collect()
        };
        NativeHistogram {
            zero_count: self.zero.value + self.zero.lost,
            count: self.count.value + self.count.lost,
            sum: self.sum.value + self.sum.lost,
            positive: plain(self.positive),
            negative: plain(self.negative),
            ..self.frame
        }
    }

    /// The sum.
    pub(crate) fn total(self) -> NativeHistogram {
        self.divided_by(1.0)
    }
}

fn coarser_parts(buckets: impl Iterator<Item = (i32, Part)>, by: u32) -> Vec<(i32, Part)> {
    let mut merged: Vec<(i32, Part)> = Vec::new();
    for (index, part) in buckets {
        let index = coarser_index(index, by);
        match merged.last_mut() {
            Some((last, total)) if *last == index => {
                total.add(part.value);
                total.add(part.lost);
            }
            _ => merged.push((index, part)),
        }
    }
    merged
}

/// The mean of histograms: their sum divided at the end, or where that would overflow, a mean that
/// is carried along.
#[derive(Debug, Clone)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    /// The mean of one histogram.
    pub(crate) fn of(histogram: &NativeHistogram) -> Self {
        Mean { sum: Sum::of(histogram), count: 1.0, is_incremental: false }
    }

    /// Adds a histogram; `true` if custom bounds were reconciled.
    pub(crate) fn add(&mut self, other: &NativeHistogram) -> Result<bool, MixedSchemas> {
        self.count += 1.0;
        if !self.is_incremental {
            // Numbers far from overflow need no copy to go back to.
            let small = |number: f64| number.abs() < 1e300;
            let others = other.positive.iter().chain(&other.negative).map(|(_, count)| *count);
            let mut others = others.chain([other.count, other.sum, other.zero_count]);
            if self.count < 1e6 && others.all(small) && self.sum.all(small) {
                return self.sum.add(other);
            }
            let mut next = self.sum.clone();
            let reconciled = next.add(other)?;
            if next.all(|number| !number.is_infinite()) {
                self.sum = next;
                return Ok(reconciled);
            }
            self.is_incremental = true;
            let before = self.count - 1.0;
            self.sum.parts_mut().for_each(|part| {
                part.value /= before;
                part.lost /= before;
            });
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.parts_mut().for_each(|part| {
            part.value *= weight;
            part.lost *= weight;
        });
        let mut share = other.clone();
        divide(&mut share, self.count);
        self.sum.add(&share)
    }

    /// The mean.
    pub(crate) fn mean(self) -> NativeHistogram {
        if self.is_incremental { self.sum.total() } else { self.sum.divided_by(self.count) }
    }
}
