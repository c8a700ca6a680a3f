//! Rollups: what is left of the samples of a series when they are summed up bucket by bucket.
//!
//! A bucket of resolution `R` is labelled by its end `b`, a multiple of `R` since the epoch, and
//! covers `(b - R, b]`, like a range of PromQL. Stale markers are no samples. The columns are
//! chosen so that functions over windows of whole buckets give bit for bit what samples give:
//! what a counter lost at resets is kept instead of its increase, because only then are the
//! additions the same, and flags tell where the order of additions would matter.

use std::sync::Arc;

use crate::sample::is_stale;

/// The resolutions that stores keep, in milliseconds, finest first.
pub const RESOLUTIONS_MS: [i64; 2] = [300_000, 3_600_000];

/// The bucket has a sum that depends on the order of addition: a value is no integer, or positive
/// and negative ones are mixed, or the sum is 2^53 or more.
pub const SUM_INEXACT: u8 = 1;
/// The counter began anew once inside the bucket.
pub const ONE_RESET: u8 = 2;
/// It began anew more than once; what it lost are integers whose sum is exact.
pub const INTEGER_RESETS: u8 = 4;
/// It began anew more than once and the order of addition matters.
pub const INEXACT_RESETS: u8 = 8;
/// A sample says that it counts since before the sample before it, which says something else.
pub const STARTS_OVERLAP: u8 = 16;
/// A stale marker follows the last sample inside the bucket: the series ended there.
pub const ENDED: u8 = 32;

/// Integers below this are floats.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// What is to be computed over windows; tells which columns of a [`Rollup`] are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// Numbers of samples: `counts`.
    Count,
    /// Sums and averages: `counts`, `sums`, `flags`.
    Sum,
    /// Least values: `mins`.
    Min,
    /// Greatest values: `maxs`.
    Max,
    /// First samples: `firsts`.
    First,
    /// Last samples: `lasts`.
    Last,
    /// The samples that are current at the ends of buckets: `lasts`, and [`ENDED`] of `flags`.
    Current,
    /// Differences of the outer samples: `first_times`, `firsts`, `lasts`, `counts`.
    Delta,
    /// Increases of counters: those of [`Summary::Delta`], start times, `lost`, `flags`.
    Increase,
}

/// Asks for rollups instead of samples.
///
/// The caller promises that it evaluates only windows `(s, e]` whose ends are multiples of the
/// resolution, that are `window_ms` long, and that lie in the range of the request, which itself
/// begins one millisecond after such a multiple and ends at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupRequest {
    /// The length of a bucket, one of [`RESOLUTIONS_MS`].
    pub resolution_ms: i64,
    /// The length of the windows.
    pub window_ms: i64,
    /// What is to be computed.
    pub summary: Summary,
}

/// Buckets of one series, in order of time, those without samples left out. Columns that were not
/// asked for may be empty; `last_times_ms` is always there and tells which bucket is which.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollup {
    /// The length of a bucket.
    pub resolution_ms: i64,
    /// Times of the last samples.
    pub last_times_ms: Arc<Vec<i64>>,
    /// Values of the last samples.
    pub lasts: Vec<f64>,
    /// Start times of the last samples, or empty if none has one.
    pub last_starts_ms: Vec<i64>,
    /// Times of the first samples.
    pub first_times_ms: Arc<Vec<i64>>,
    /// Values of the first samples.
    pub firsts: Vec<f64>,
    /// Start times of the first samples, or empty if none has one.
    pub first_starts_ms: Vec<i64>,
    /// Numbers of samples.
    pub counts: Vec<f64>,
    /// Sums, compensated.
    pub sums: Vec<f64>,
    /// The least values; NaN only where all are.
    pub mins: Vec<f64>,
    /// The greatest values; NaN only where all are.
    pub maxs: Vec<f64>,
    /// Sums of the values before each reset inside the bucket.
    pub lost: Vec<f64>,
    /// [`SUM_INEXACT`] and its kin.
    pub flags: Vec<u8>,
}

/// The end of the bucket that `at` lies in.
pub fn bucket_end(at: i64, resolution_ms: i64) -> i64 {
    at.saturating_sub(1).div_euclid(resolution_ms).saturating_add(1).saturating_mul(resolution_ms)
}

/// Whether a counter began anew between two samples, by the start times that came with them (zero
/// where unknown). A start at the previous sample is a reset only for delta series, whose previous
/// start is known.
pub fn start_says_reset(previous: i64, previous_start: i64, at: i64, start: i64) -> bool {
    if start == 0 || start >= at || start < previous {
        return false;
    }
    start > previous
        || (previous_start <= previous && previous_start != 0 && previous_start != previous)
}

/// Whether a sample counts since before the one before it although their start times differ.
pub fn starts_overlap(previous: i64, previous_start: i64, start: i64) -> bool {
    start != 0 && start < previous && start != previous_start
}

/// Whether adding such values up is exact as long as the sum is small. Not so for -0.0, which an
/// average keeps.
fn is_plain(value: f64) -> bool {
    value.fract() == 0.0 && value.to_bits() != (-0.0f64).to_bits()
}

/// The bucket that samples are being put into.
struct Open {
    end: i64,
    last: (i64, f64, i64),
    sum: f64,
    compensation: f64,
    is_plain: bool,
    resets: u32,
    lost_is_plain: bool,
}

impl Rollup {
    /// Sums samples up. `starts_ms` is empty or as long as the others.
    pub fn of(times_ms: &[i64], values: &[f64], starts_ms: &[i64], resolution_ms: i64) -> Rollup {
        let mut rollup = Rollup { resolution_ms, ..Rollup::default() };
        let (mut first_times, mut last_times) = (Vec::new(), Vec::new());
        let (mut first_starts, mut last_starts) = (Vec::new(), Vec::new());
        let mut open: Option<Open> = None;
        for (i, (at, value)) in times_ms.iter().copied().zip(values.iter().copied()).enumerate() {
            if is_stale(value) {
                if open.as_ref().is_some_and(|bucket| at <= bucket.end)
                    && let Some(flags) = rollup.flags.last_mut()
                {
                    *flags |= ENDED;
                }
                continue;
            }
            let start = starts_ms.get(i).copied().unwrap_or(0);
            match &mut open {
                Some(bucket) if at <= bucket.end => rollup.go_on(bucket, at, value, start),
                _ => {
                    if let Some(bucket) = open.take() {
                        last_times.push(bucket.last.0);
                        last_starts.push(bucket.last.2);
                        rollup.close(&bucket);
                    }
                    first_times.push(at);
                    first_starts.push(start);
                    open = Some(rollup.begin(at, value, start));
                }
            }
        }
        if let Some(bucket) = open {
            last_times.push(bucket.last.0);
            last_starts.push(bucket.last.2);
            rollup.close(&bucket);
        }
        if first_starts.iter().chain(&last_starts).any(|start| *start != 0) {
            (rollup.first_starts_ms, rollup.last_starts_ms) = (first_starts, last_starts);
        }
        rollup.last_times_ms = Arc::new(last_times);
        rollup.first_times_ms = Arc::new(first_times);
        rollup
    }

    fn begin(&mut self, at: i64, value: f64, start: i64) -> Open {
        self.firsts.push(value);
        self.counts.push(1.0);
        self.mins.push(value);
        self.maxs.push(value);
        self.lost.push(0.0);
        self.flags.push(0);
        Open {
            end: bucket_end(at, self.resolution_ms),
            last: (at, value, start),
            sum: value,
            compensation: 0.0,
            is_plain: is_plain(value),
            resets: 0,
            lost_is_plain: true,
        }
    }

    fn go_on(&mut self, bucket: &mut Open, at: i64, value: f64, start: i64) {
        let (before_at, before, before_start) = bucket.last;
        bucket.last = (at, value, start);
        bucket.is_plain &= is_plain(value);
        (bucket.sum, bucket.compensation) = add(value, bucket.sum, bucket.compensation);
        let (Some(count), Some(min), Some(max), Some(lost), Some(flags)) = (
            self.counts.last_mut(),
            self.mins.last_mut(),
            self.maxs.last_mut(),
            self.lost.last_mut(),
            self.flags.last_mut(),
        ) else {
            return;
        };
        *count += 1.0;
        *flags &= !ENDED;
        if value < *min || min.is_nan() {
            *min = value;
        }
        if value > *max || max.is_nan() {
            *max = value;
        }
        if starts_overlap(before_at, before_start, start) {
            *flags |= STARTS_OVERLAP;
        }
        if value < before || start_says_reset(before_at, before_start, at, start) {
            bucket.resets += 1;
            bucket.lost_is_plain &= is_plain(before) && before >= 0.0;
            *lost += before;
        }
    }

    fn close(&mut self, bucket: &Open) {
        let sum =
            if bucket.sum.is_infinite() { bucket.sum } else { bucket.sum + bucket.compensation };
        self.lasts.push(bucket.last.1);
        self.sums.push(sum);
        let (Some(min), Some(max)) = (self.mins.last(), self.maxs.last()) else { return };
        let (Some(lost), Some(flags)) = (self.lost.last(), self.flags.last_mut()) else { return };
        let has_one_sign = *min >= 0.0 || *max <= 0.0;
        if !(bucket.is_plain && has_one_sign && sum.abs() < INTEGER_MAX) {
            *flags |= SUM_INEXACT;
        }
        *flags |= match bucket.resets {
            0 => 0,
            1 => ONE_RESET,
            _ if bucket.lost_is_plain && *lost < INTEGER_MAX => INTEGER_RESETS,
            _ => INEXACT_RESETS,
        };
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.last_times_ms.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.last_times_ms.is_empty()
    }

    /// The end of a bucket.
    pub fn end_of(&self, bucket: usize) -> Option<i64> {
        self.last_times_ms.get(bucket).map(|at| bucket_end(*at, self.resolution_ms))
    }

    /// Whether the last sample of one bucket and the first of the next have a reset between them.
    pub fn resets_before(&self, bucket: usize) -> bool {
        let Some(before) = bucket.checked_sub(1) else { return false };
        let (Some(last), Some(first)) = (self.lasts.get(before), self.firsts.get(bucket)) else {
            return false;
        };
        first < last
            || self.starts_before(bucket).is_some_and(|(previous, previous_start, at, start)| {
                start_says_reset(previous, previous_start, at, start)
            })
    }

    /// Whether the start times of two samples of neighbouring buckets overlap.
    pub fn overlaps_before(&self, bucket: usize) -> bool {
        self.starts_before(bucket).is_some_and(|(previous, previous_start, _, start)| {
            starts_overlap(previous, previous_start, start)
        })
    }

    /// Time and start of the last sample before a bucket and of its first.
    fn starts_before(&self, bucket: usize) -> Option<(i64, i64, i64, i64)> {
        let before = bucket.checked_sub(1)?;
        Some((
            *self.last_times_ms.get(before)?,
            *self.last_starts_ms.get(before)?,
            *self.first_times_ms.get(bucket)?,
            *self.first_starts_ms.get(bucket)?,
        ))
    }

    /// Whether windows of whole buckets give bit for bit what their samples give.
    pub fn is_exact(&self, request: &RollupRequest) -> bool {
        match request.summary {
            Summary::Sum => self.has_exact_sums(request.window_ms),
            Summary::Increase => self.has_exact_increases(),
            _ => true,
        }
    }

    fn has_exact_sums(&self, window_ms: i64) -> bool {
        if self.flags.iter().any(|flags| flags & SUM_INEXACT != 0) {
            return false;
        }
        let greatest = self.sums.iter().fold(0.0f64, |greatest, sum| greatest.max(sum.abs()));
        let buckets = window_ms / self.resolution_ms.max(1);
        greatest * (buckets as f64) < INTEGER_MAX
    }

    fn has_exact_increases(&self) -> bool {
        let all = self.flags.iter().fold(0, |all, flags| all | flags);
        if all & (INEXACT_RESETS | STARTS_OVERLAP) != 0 {
            return false;
        }
        if all & INTEGER_RESETS == 0 {
            // One addition for each reset, in order: the same as over samples.
            return true;
        }
        let numbers = self.firsts.iter().chain(&self.lasts).chain(&self.lost);
        let between = (1..self.len()).filter(|bucket| self.resets_before(*bucket));
        let lost_between: f64 = between.filter_map(|bucket| self.lasts.get(bucket - 1)).sum();
        let total = self.lost.iter().sum::<f64>() + lost_between;
        let mut greatest = 0.0f64;
        for number in numbers {
            if !is_plain(*number) || *number < 0.0 {
                return false;
            }
            greatest = greatest.max(*number);
        }
        total + 2.0 * greatest < INTEGER_MAX
    }

    /// Puts buckets of later samples behind these. The last bucket here and the first one there may
    /// be parts of one.
    pub fn append(&mut self, mut later: Rollup) {
        if self.is_empty() {
            *self = later;
            return;
        }
        let seam = self.len();
        let is_split = self.end_of(seam - 1) == later.end_of(0);
        self.append_columns(&mut later);
        if is_split {
            self.join_at(seam);
        }
    }

    fn append_columns(&mut self, later: &mut Rollup) {
        let (count, more) = (self.len(), later.len());
        if !(self.last_starts_ms.is_empty() && later.last_starts_ms.is_empty()) {
            for (starts, later, times) in [
                (&mut self.last_starts_ms, &mut later.last_starts_ms, &later.last_times_ms),
                (&mut self.first_starts_ms, &mut later.first_starts_ms, &later.first_times_ms),
            ] {
                // Columns that were not asked for stay empty.
                if !times.is_empty() {
                    starts.resize(count, 0);
                    later.resize(more, 0);
                    starts.append(later);
                }
            }
        }
        Arc::make_mut(&mut self.last_times_ms).extend_from_slice(&later.last_times_ms);
        Arc::make_mut(&mut self.first_times_ms).extend_from_slice(&later.first_times_ms);
        self.lasts.append(&mut later.lasts);
        self.firsts.append(&mut later.firsts);
        self.counts.append(&mut later.counts);
        self.sums.append(&mut later.sums);
        self.mins.append(&mut later.mins);
        self.maxs.append(&mut later.maxs);
        self.lost.append(&mut later.lost);
        self.flags.append(&mut later.flags);
    }

    /// Makes one bucket of the one at `seam` and the one before it, which has earlier samples.
    fn join_at(&mut self, seam: usize) {
        let before = seam - 1;
        let lost_between =
            if self.resets_before(seam) { self.lasts.get(before).copied() } else { None };
        let overlaps = self.overlaps_before(seam);
        let pair = |column: &[f64]| Some((*column.get(before)?, *column.get(seam)?));
        let (losts, sums) = (pair(&self.lost), pair(&self.sums));
        if let (Some(a), Some(b)) = (self.flags.get(before).copied(), self.flags.get(seam)) {
            let mut flags = (a | b) & (SUM_INEXACT | STARTS_OVERLAP | INEXACT_RESETS);
            flags |= b & ENDED;
            if overlaps {
                flags |= STARTS_OVERLAP;
            }
            if sums.is_some_and(|(a, b)| a * b < 0.0 || (a + b).abs() >= INTEGER_MAX) {
                flags |= SUM_INEXACT;
            }
            let several = (a | b) & (INTEGER_RESETS | INEXACT_RESETS) != 0;
            let single = usize::from(a & ONE_RESET != 0) + usize::from(b & ONE_RESET != 0);
            let resets = single + usize::from(lost_between.is_some());
            if !several && resets == 1 {
                flags |= ONE_RESET;
            } else if several || resets > 1 {
                let (a, b) = losts.unwrap_or_default();
                let parts = [a, b, lost_between.unwrap_or(0.0)];
                let is_exact = parts.iter().all(|part| is_plain(*part) && *part >= 0.0)
                    && parts.iter().sum::<f64>() < INTEGER_MAX;
                flags |= if is_exact { INTEGER_RESETS } else { INEXACT_RESETS };
            }
            self.flags[before] = flags;
        }
        if let Some((a, b)) = losts {
            self.lost[before] = a + lost_between.unwrap_or(0.0) + b;
        }
        if let Some((a, b)) = sums {
            self.sums[before] = a + b;
        }
        if let Some((a, b)) = pair(&self.counts) {
            self.counts[before] = a + b;
        }
        if let Some((a, b)) = pair(&self.mins)
            && (b < a || a.is_nan())
        {
            self.mins[before] = b;
        }
        if let Some((a, b)) = pair(&self.maxs)
            && (b > a || a.is_nan())
        {
            self.maxs[before] = b;
        }
        // The later part has the last sample, the earlier one the first.
        remove(&mut self.lasts, before);
        remove(&mut self.last_starts_ms, before);
        remove(Arc::make_mut(&mut self.last_times_ms), before);
        remove(&mut self.firsts, seam);
        remove(&mut self.first_starts_ms, seam);
        remove(Arc::make_mut(&mut self.first_times_ms), seam);
        remove(&mut self.flags, seam);
        for column in
            [&mut self.counts, &mut self.sums, &mut self.mins, &mut self.maxs, &mut self.lost]
        {
            remove(column, seam);
        }
    }

    /// Leaves only the columns that a summary needs.
    pub fn narrow(&mut self, summary: Summary) {
        use Summary::{Count, Current, Delta, First, Increase, Last, Max, Min, Sum};
        let needs = |by: &[Summary]| by.contains(&summary);
        let keep = |column: &mut Vec<f64>, by: &[Summary]| {
            if !needs(by) {
                column.clear();
            }
        };
        keep(&mut self.lasts, &[Last, Current, Delta, Increase]);
        keep(&mut self.firsts, &[First, Delta, Increase]);
        keep(&mut self.counts, &[Count, Sum, Delta, Increase]);
        keep(&mut self.sums, &[Sum]);
        keep(&mut self.mins, &[Min]);
        keep(&mut self.maxs, &[Max]);
        keep(&mut self.lost, &[Increase]);
        match summary {
            Sum => self.flags.iter_mut().for_each(|flags| *flags &= SUM_INEXACT),
            Increase => self.flags.iter_mut().for_each(|flags| *flags &= !(SUM_INEXACT | ENDED)),
            Current => self.flags.iter_mut().for_each(|flags| *flags &= ENDED),
            _ => self.flags.clear(),
        }
        if !needs(&[Delta, Increase]) {
            self.first_times_ms = Arc::default();
        }
        if !needs(&[Increase]) {
            self.first_starts_ms.clear();
            self.last_starts_ms.clear();
        }
    }
}

fn remove<T>(column: &mut Vec<T>, index: usize) {
    if index < column.len() {
        column.remove(index);
    }
}

/// Compensated addition (Neumaier).
fn add(value: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + value;
    if total.is_infinite() {
        return (total, 0.0);
    }
    let lost = if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum };
    (total, compensation + lost)
}
