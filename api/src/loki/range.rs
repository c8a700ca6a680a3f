//! Time parameters of Loki: ranges, steps, limits and directions.

use model::read::{Direction, RangeNs};
use model::{Clock, TimestampNs};

use crate::error::{Error, Result};
use crate::parameters::{Parameters, bad_duration, parse_duration_ms};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const HOUR_NS: i64 = 3600 * SECOND_NS;

/// `start` and `end`, or `since` before the end, or the last `default_ns`.
pub(crate) fn read(parameters: &Parameters, clock: &dyn Clock, default_ns: i64) -> Result<RangeNs> {
    let end = parameters.time_ns("end")?.unwrap_or_else(|| clock.now());
    let since = match parameters.get("since") {
        None => default_ns,
        Some(text) => parse_duration_ns(text).ok_or_else(|| bad_duration("since", text))?,
    };
    let start = parameters.time_ns("start")?;
    // An end that lies ahead does not shorten what is seen of the past.
    let start = start.unwrap_or_else(|| end.min(clock.now()).plus_ns(since.saturating_neg()));
    Ok(RangeNs { start, end })
}

/// As [`read`], but not empty.
pub(crate) fn read_positive(
    parameters: &Parameters,
    clock: &dyn Clock,
    default_ns: i64,
) -> Result<RangeNs> {
    let range = read(parameters, clock, default_ns)?;
    if range.end <= range.start {
        return Err(Error::BadRequest(
            "end timestamp must not be before or equal to start time".into(),
        ));
    }
    Ok(range)
}

/// A duration with units, or seconds.
pub(crate) fn parse_duration_ns(text: &str) -> Option<i64> {
    match parse_duration_ms(text) {
        // A number of seconds can be finer than a millisecond.
        Some(ms) => Some(ms.saturating_mul(1_000_000)),
        None => query::text::parse_go_duration_ns(text),
    }
}

/// `step`, or Loki's choice of about 250 steps.
pub(crate) fn step_ns(parameters: &Parameters, range: RangeNs, points_max: i64) -> Result<i64> {
    let length = range.end.0.saturating_sub(range.start.0);
    let step = match parameters.get("step") {
        None => (length / (250 * SECOND_NS)).max(1) * SECOND_NS,
        Some(text) => parse_duration_ns(text).ok_or_else(|| bad_duration("step", text))?,
    };
    if step <= 0 {
        return Err(Error::BadRequest(
            "zero or negative query resolution step widths are not accepted. Try a positive \
             integer"
                .into(),
        ));
    }
    if length / step > points_max {
        return Err(Error::BadRequest(format!(
            "exceeded maximum resolution of {points_max} points per time series. Try increasing \
             the value of the step parameter"
        )));
    }
    Ok(step)
}

/// `interval`: the time between two lines of a stream; zero shows all lines.
pub(crate) fn interval_ns(parameters: &Parameters) -> Result<i64> {
    let Some(text) = parameters.get("interval") else { return Ok(0) };
    let interval = parse_duration_ns(text).ok_or_else(|| bad_duration("interval", text))?;
    if interval < 0 {
        return Err(Error::BadRequest("interval must be >= 0".into()));
    }
    Ok(interval)
}

/// `limit` of lines.
pub(crate) fn lines(parameters: &Parameters, max: usize) -> Result<usize> {
    let Some(text) = parameters.get("limit") else { return Ok(100.min(max)) };
    let limit: i64 = text
        .parse()
        .map_err(|_| Error::parameter("limit", format!("cannot parse {text:?} as a number")))?;
    let limit = usize::try_from(limit).unwrap_or(0);
    if limit == 0 {
        return Err(Error::BadRequest("limit must be a positive value".into()));
    }
    if limit > max {
        return Err(Error::BadRequest(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {max})"
        )));
    }
    Ok(limit)
}

/// `direction`.
pub(crate) fn direction(parameters: &Parameters) -> Result<Direction> {
    match parameters.get("direction").map(str::to_ascii_lowercase).as_deref() {
        None | Some("backward") => Ok(Direction::Backward),
        Some("forward") => Ok(Direction::Forward),
        Some(other) => Err(Error::BadRequest(format!(
            "invalid direction {other:?}, it is \"forward\" or \"backward\""
        ))),
    }
}

/// A range with its last instant included, for questions about names.
pub(crate) fn including_end(range: RangeNs) -> RangeNs {
    RangeNs { start: range.start, end: TimestampNs(range.end.0.saturating_add(1)) }
}
