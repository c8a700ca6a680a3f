//! Deltas added up: a running sum per series, bounded and forgotten when nothing comes.
//!
//! The sums live in memory only: after a restart they start from zero with the start time of the
//! first delta that comes, which reads as a counter reset. A delta at the time of the one before is
//! the same request sent again if it says the same, and answered with the sum as it stands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::TimestampMs;
use model::sample::{NativeHistogram, SeriesId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

const SHARDS: usize = 16;

/// Something that can be summed up.
trait Sum: Clone + PartialEq {
    /// Adds `delta`; `false` if the two do not fit and the sum must start anew.
    fn add(&mut self, delta: &Self) -> bool;
}

impl Sum for f64 {
    fn add(&mut self, delta: &f64) -> bool {
        *self += delta;
        true
    }
}

struct Running<T> {
    start: TimestampMs,
    at: TimestampMs,
    last: T,
    total: T,
    /// When something last came, by our clock.
    seen_ms: i64,
}

#[derive(Default)]
struct Shard {
    floats: FxHashMap<SeriesId, Running<f64>>,
    histograms: FxHashMap<SeriesId, Box<Running<NativeHistogram>>>,
    swept_ms: i64,
}

/// The sums of all series.
pub(crate) struct DeltaSums {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    count_max: usize,
    stale_ms: i64,
}

/// One delta: of which series, from when to when, how much.
pub(crate) struct Delta<'a, T> {
    pub(crate) series: SeriesId,
    pub(crate) start: TimestampMs,
    pub(crate) at: TimestampMs,
    pub(crate) value: &'a T,
}

impl<T> Clone for Delta<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Delta<'_, T> {}

/// Why a delta is refused: the reason's word and a sentence.
type Refused = (&'static str, String);

impl DeltaSums {
    pub(crate) fn new(count_max: usize, max_stale: Duration) -> Self {
        DeltaSums {
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            count_max,
            stale_ms: i64::try_from(max_stale.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn shard(&self, series: SeriesId, now: TimestampMs) -> parking_lot::MutexGuard<'_, Shard> {
        let mut shard = self.shards[series.0 as usize % SHARDS].lock();
        if now.0.saturating_sub(shard.swept_ms) > self.stale_ms / 2 {
            shard.swept_ms = now.0;
            let is_alive = |seen_ms: i64| now.0.saturating_sub(seen_ms) <= self.stale_ms;
            let before = shard.floats.len() + shard.histograms.len();
            shard.floats.retain(|_, running| is_alive(running.seen_ms));
            shard.histograms.retain(|_, running| is_alive(running.seen_ms));
            let after = shard.floats.len() + shard.histograms.len();
            self.count.fetch_sub(before - after, Ordering::Relaxed);
        }
        shard
    }

    /// Adds a delta: the start and the value of the sum.
    pub(crate) fn add(
        &self,
        delta: Delta<'_, f64>,
        now: TimestampMs,
    ) -> Result<(TimestampMs, f64), Refused> {
        let mut shard = self.shard(delta.series, now);
        if let Some(running) = shard.floats.get_mut(&delta.series) {
            return add_to(running, delta, now);
        }
        self.take_place()?;
        let running = first(delta, now);
        let answer = (running.start, running.total);
        shard.floats.insert(delta.series, running);
        Ok(answer)
    }

    /// Adds a histogram of deltas: the start and the value of the sum.
    pub(crate) fn add_histogram(
        &self,
        delta: Delta<'_, NativeHistogram>,
        now: TimestampMs,
    ) -> Result<(TimestampMs, NativeHistogram), Refused> {
        let mut shard = self.shard(delta.series, now);
        if let Some(running) = shard.histograms.get_mut(&delta.series) {
            return add_to(running, delta, now);
        }
        self.take_place()?;
        let running = first(delta, now);
        let answer = (running.start, running.total.clone());
        shard.histograms.insert(delta.series, Box::new(running));
        Ok(answer)
    }

    fn take_place(&self) -> Result<(), Refused> {
        if self.count.fetch_add(1, Ordering::Relaxed) < self.count_max {
            return Ok(());
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        let example = format!(
            "sums of {} delta series are kept, which is the limit (otlp.delta_max_streams)",
            self.count_max
        );
        Err(("delta_stream_limit", example))
    }
}

fn first<T: Clone>(delta: Delta<'_, T>, now: TimestampMs) -> Running<T> {
    let value = delta.value.clone();
    Running { start: delta.start, at: delta.at, last: value.clone(), total: value, seen_ms: now.0 }
}

fn add_to<T: Sum>(
    running: &mut Running<T>,
    delta: Delta<'_, T>,
    now: TimestampMs,
) -> Result<(TimestampMs, T), Refused> {
    if delta.at <= running.at {
        if delta.at == running.at && *delta.value == running.last {
            return Ok((running.start, running.total.clone()));
        }
        let example = format!(
            "a delta at {} came after the one at {}, to which it can not be added",
            delta.at, running.at
        );
        return Err(("out_of_order_delta", example));
    }
    if !running.total.add(delta.value) {
        *running = first(delta, now);
    }
    (running.at, running.seen_ms) = (delta.at, now.0);
    running.last = delta.value.clone();
    Ok((running.start, running.total.clone()))
}

impl Sum for NativeHistogram {
    fn add(&mut self, delta: &NativeHistogram) -> bool {
        let is_custom = |histogram: &NativeHistogram| histogram.schema < -4;
        let fits = is_custom(self) == is_custom(delta)
            && self.custom_bounds == delta.custom_bounds
            && self.zero_threshold == delta.zero_threshold;
        if !fits {
            return false;
        }
        let schema = self.schema.min(delta.schema);
        let merge = |mine: &mut Vec<(i32, f64)>, own: i32, theirs: &[(i32, f64)]| {
            let mine_shifted = std::mem::take(mine).into_iter().map(|b| shift(b, own - schema));
            let theirs = theirs.iter().map(|b| shift(*b, delta.schema - schema));
            let mut all: Vec<(i32, f64)> = mine_shifted.chain(theirs).collect();
            all.sort_by_key(|(index, _)| *index);
            for (index, count) in all {
                match mine.last_mut() {
                    Some((last, total)) if *last == index => *total += count,
                    _ => mine.push((index, count)),
                }
            }
        };
        merge(&mut self.positive, self.schema, &delta.positive);
        merge(&mut self.negative, self.schema, &delta.negative);
        self.schema = schema;
        self.zero_count += delta.zero_count;
        self.count += delta.count;
        self.sum += delta.sum;
        true
    }
}

/// A bucket where the schema is coarser by so much.
fn shift((index, count): (i32, f64), by: i32) -> (i32, f64) {
    if by == 0 { (index, count) } else { (((index - 1) >> by.clamp(0, 31)) + 1, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn delta(value: &f64, start: i64, at: i64) -> Delta<'_, f64> {
        let (start, at) = (TimestampMs(start), TimestampMs(at));
        Delta { series: SeriesId(1), start, at, value }
    }

    fn sums() -> DeltaSums {
        DeltaSums::new(2, Duration::from_secs(60))
    }

    #[test]
    fn deltas_add_up_since_the_first_start() {
        let sums = sums();
        assert_eq!(sums.add(delta(&2.0, 100, 200), NOW), Ok((TimestampMs(100), 2.0)));
        assert_eq!(sums.add(delta(&3.0, 200, 300), NOW), Ok((TimestampMs(100), 5.0)));
        // A gap is no reason to start anew.
        assert_eq!(sums.add(delta(&1.0, 900, 990), NOW), Ok((TimestampMs(100), 6.0)));
    }

    #[test]
    fn late_deltas_are_refused_and_repeated_ones_are_not_counted_twice() {
        let sums = sums();
        sums.add(delta(&2.0, 100, 200), NOW).unwrap();
        sums.add(delta(&3.0, 200, 300), NOW).unwrap();
        assert_eq!(sums.add(delta(&3.0, 200, 300), NOW), Ok((TimestampMs(100), 5.0)));
        assert_eq!(sums.add(delta(&4.0, 200, 300), NOW).unwrap_err().0, "out_of_order_delta");
        assert_eq!(sums.add(delta(&2.0, 100, 200), NOW).unwrap_err().0, "out_of_order_delta");
        assert_eq!(sums.add(delta(&1.0, 300, 400), NOW), Ok((TimestampMs(100), 6.0)));
    }

    #[test]
    fn sums_are_bounded_and_forgotten_when_nothing_comes() {
        let sums = sums();
        let of = |series, value| Delta { series: SeriesId(series), ..delta(value, 0, 200) };
        sums.add(of(1, &1.0), NOW).unwrap();
        sums.add(of(17, &1.0), NOW).unwrap();
        assert_eq!(sums.add(of(33, &1.0), NOW).unwrap_err().0, "delta_stream_limit");
        let later = NOW.plus_ms(61_000);
        assert_eq!(sums.add(of(33, &7.0), later), Ok((TimestampMs(0), 7.0)));
        // An older time is fine: the sum it would have been late for is gone.
        assert_eq!(sums.add(of(1, &2.0), later), Ok((TimestampMs(0), 2.0)));
    }

    #[test]
    fn histograms_add_up_at_the_coarser_schema_or_start_anew() {
        let sums = sums();
        let fine = NativeHistogram {
            schema: 1,
            count: 3.0,
            sum: 2.0,
            positive: vec![(1, 1.0), (2, 2.0)],
            ..Default::default()
        };
        let coarse = NativeHistogram {
            schema: 0,
            count: 4.0,
            sum: 1.0,
            positive: vec![(1, 3.0), (5, 1.0)],
            ..Default::default()
        };
        let add = |value: &NativeHistogram, at| {
            let (start, at) = (TimestampMs(100), TimestampMs(at));
            let delta = Delta { series: SeriesId(1), start, at, value };
            sums.add_histogram(delta, NOW).unwrap().1
        };
        add(&fine, 200);
        let sum = add(&coarse, 300);
        assert_eq!((sum.schema, sum.count, sum.sum), (0, 7.0, 3.0));
        assert_eq!(sum.positive, [(1, 6.0), (5, 1.0)]);
        let other = NativeHistogram { zero_threshold: 1.0, ..coarse };
        assert_eq!(add(&other, 400), other);
    }
}
