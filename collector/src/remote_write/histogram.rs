//! Native histograms of the wire to ours: spans and deltas become indexes and absolute counts. What
//! Prometheus refuses (`model/histogram`, `Validate`) is refused here too.

use model::sample::{NativeHistogram, ResetHint, is_stale};
use proto::DecodeError;
use proto::remote_write::{CountRef, HistogramRef, SideRef};

/// The schema of custom bounds.
const CUSTOM: i32 = -53;
/// The finest schema that is kept; finer ones are merged down to it.
const SCHEMA_MAX: i32 = 8;
/// The finest schema there is.
const SCHEMA_MAX_RESERVED: i32 = 52;
/// The coarsest schema.
const SCHEMA_MIN: i32 = -4;
/// `ResetHint` of a sample that follows a counter reset.
const RESET: i32 = 1;
/// `ResetHint` of a gauge.
const GAUGE: i32 = 3;

/// Why a histogram is refused, in words.
type Bad = String;

/// The histogram, or what is wrong with it; a decode error says that the request is malformed.
pub(super) fn to_native(
    wire: &HistogramRef<'_>,
) -> Result<Result<NativeHistogram, Bad>, DecodeError> {
    let is_custom = wire.schema == CUSTOM;
    if !is_custom && !(SCHEMA_MIN..=SCHEMA_MAX_RESERVED).contains(&wire.schema) {
        return Ok(Err(format!(
            "schema {} is unknown; {SCHEMA_MIN} to {SCHEMA_MAX} and {CUSTOM} are accepted",
            wire.schema
        )));
    }
    let shift = if is_custom { 0 } else { (wire.schema - SCHEMA_MAX).max(0) };
    let is_float = matches!(wire.count, Some(CountRef::Float(_)));
    let positive = match buckets(&wire.positive, is_float, shift)? {
        Ok(buckets) => buckets,
        Err(bad) => return Ok(Err(format!("positive buckets: {bad}"))),
    };
    let negative = match buckets(&wire.negative, is_float, shift)? {
        Ok(buckets) => buckets,
        Err(bad) => return Ok(Err(format!("negative buckets: {bad}"))),
    };
    let histogram = NativeHistogram {
        schema: if is_custom { CUSTOM } else { wire.schema.min(SCHEMA_MAX) },
        zero_threshold: wire.zero_threshold,
        zero_count: wire.zero_count.map_or(0.0, CountRef::to_f64),
        count: wire.count.map_or(0.0, CountRef::to_f64),
        sum: wire.sum,
        positive,
        negative,
        custom_bounds: wire.custom_values().collect(),
        reset_hint: reset_hint(wire.reset_hint),
    };
    Ok(match wrong(&histogram, is_float) {
        Some(bad) => Err(bad),
        None => Ok(histogram),
    })
}

/// That there was no reset is not believed: it is about the sample before at the sender, which may
/// never have come here.
fn reset_hint(wire: i32) -> ResetHint {
    match wire {
        RESET => ResetHint::Reset,
        GAUGE => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn wrong(histogram: &NativeHistogram, is_float: bool) -> Option<Bad> {
    // A marker that the series ended has nothing else to say.
    if is_stale(histogram.sum) {
        return None;
    }
    let NativeHistogram { count, zero_count, custom_bounds, .. } = histogram;
    if histogram.schema == CUSTOM {
        if histogram.zero_threshold != 0.0 || *zero_count != 0.0 || !histogram.negative.is_empty() {
            return Some("custom buckets have neither a zero bucket nor negative ones".to_owned());
        }
        if let Some(bad) = wrong_bounds(custom_bounds) {
            return Some(bad);
        }
        let last = histogram.positive.last().map_or(0, |(index, _)| *index);
        let first = histogram.positive.first().map_or(0, |(index, _)| *index);
        if first < 0 || last as usize > custom_bounds.len() {
            let bounds = custom_bounds.len();
            return Some(format!("buckets {first} to {last} do not fit {bounds} custom bounds"));
        }
    } else if !custom_bounds.is_empty() {
        return Some(format!("custom bounds need schema {CUSTOM}"));
    }
    let sides = || histogram.positive.iter().chain(&histogram.negative);
    if *count < 0.0 || *zero_count < 0.0 || sides().any(|(_, count)| *count < 0.0) {
        return Some("a count is negative".to_owned());
    }
    if is_float {
        return None;
    }
    let in_buckets = zero_count + sides().map(|(_, count)| count).sum::<f64>();
    // Observations of NaN are in no bucket, and make the sum NaN. Counts over 2^53 are not exact.
    let is_right = if histogram.sum.is_nan() {
        in_buckets <= *count
    } else {
        (in_buckets - count).abs() <= count * f64::EPSILON
    };
    (!is_right).then(|| format!("the buckets hold {in_buckets} observations, the count is {count}"))
}

/// What is wrong with the bounds of custom buckets.
pub(crate) fn wrong_bounds(bounds: &[f64]) -> Option<Bad> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return Some("a custom bound is NaN".to_owned());
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Some("the last custom bound is infinite, which goes without saying".to_owned());
    }
    let unsorted = bounds.windows(2).find(|pair| pair[0] >= pair[1])?;
    Some(format!("custom bounds must grow, {} comes before {}", unsorted[0], unsorted[1]))
}

/// The buckets of one side. Empty ones are left out.
fn buckets(
    side: &SideRef<'_>,
    is_float: bool,
    shift: i32,
) -> Result<Result<Vec<(i32, f64)>, Bad>, DecodeError> {
    let (mut deltas, mut floats) = (side.deltas(), side.counts());
    let wanted = if is_float { floats.len() } else { deltas.len() };
    let (mut index, mut seen, mut running) = (0_i64, 0_usize, 0_i64);
    let mut found: Vec<(i32, f64)> = Vec::with_capacity(wanted);
    for (number, span) in side.spans().enumerate() {
        let span = span?;
        if number > 0 && span.offset < 0 {
            return Ok(Err(format!("a span has the negative offset {}", span.offset)));
        }
        index += i64::from(span.offset);
        if (span.length as usize) > wanted - seen {
            return Ok(Err(format!("spans are of more buckets than the {wanted} counts")));
        }
        for _ in 0..span.length {
            let count = if is_float {
                floats.next().unwrap_or_default()
            } else {
                running = running.wrapping_add(deltas.next().unwrap_or_default());
                running as f64
            };
            if count != 0.0 {
                let merged = if shift == 0 { index } else { ((index - 1) >> shift) + 1 };
                let Ok(merged) = i32::try_from(merged) else {
                    return Ok(Err(format!("the bucket index {merged} is out of range")));
                };
                match found.last_mut() {
                    Some((last, total)) if *last == merged => *total += count,
                    _ => found.push((merged, count)),
                }
            }
            index += 1;
        }
        seen += span.length as usize;
    }
    if seen != wanted {
        return Ok(Err(format!("spans are of {seen} buckets, there are {wanted} counts")));
    }
    Ok(Ok(found))
}
