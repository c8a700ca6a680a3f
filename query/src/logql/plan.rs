//! Which metric queries a store answers by counting, without showing a line.

use model::Matcher;
use model::log::{LineCondition, LogCountRequest};

use super::ast::{LogExpr, RangeAggregation, RangeOp, Stage};
use super::request::{exact_condition, exact_matchers, is_stored};
use crate::vector::{Grid, Grouping};

/// No more buckets are asked for: a window that hardly fits its step would need more of them than
/// there are lines.
const BUCKETS_MAX: i128 = 200_000;

/// A count that takes the place of reading rows.
#[derive(Debug)]
pub(super) struct Count {
    /// What the store is asked.
    pub(super) request: LogCountRequest,
    /// The label of each of the fields that are told apart.
    pub(super) labels: Vec<String>,
}

/// What a pipeline leaves of the labels that a query groups by.
#[derive(Debug, Default)]
struct Reduced {
    lines: Vec<LineCondition>,
    fields: Vec<Matcher>,
    dropped: Vec<String>,
    kept: Option<Vec<String>>,
}

impl Reduced {
    /// `None` if the pipeline does what a store can not.
    fn of(log: &LogExpr) -> Option<Reduced> {
        let mut reduced = Reduced::default();
        for stage in &log.stages {
            match stage {
                Stage::Line(filter) => reduced.lines.push(exact_condition(filter)?),
                Stage::Label(filter) => {
                    let matchers = exact_matchers(filter)?;
                    if matchers.iter().any(|matcher| !reduced.has(&matcher.name)) {
                        return None;
                    }
                    reduced.fields.extend(matchers);
                }
                Stage::Drop(picks) if picks.iter().all(|pick| pick.matcher.is_none()) => {
                    reduced.dropped.extend(picks.iter().map(|pick| pick.name.clone()));
                }
                Stage::Keep(picks) if picks.iter().all(|pick| pick.matcher.is_none()) => {
                    let mut names: Vec<String> =
                        picks.iter().map(|pick| pick.name.clone()).collect();
                    names.retain(|name| reduced.has(name));
                    reduced.kept = Some(names);
                }
                _ => return None,
            }
        }
        Some(reduced)
    }

    /// Whether a label is still there.
    fn has(&self, name: &str) -> bool {
        let is_kept = self.kept.as_ref().is_none_or(|kept| kept.iter().any(|k| k == name));
        is_kept && !self.dropped.iter().any(|dropped| dropped == name)
    }
}

/// The count that answers `range` for the series that `grouping` tells apart, if the store can give
/// it. Without a grouping only a `keep` says which labels there are.
pub(super) fn count(
    range: &RangeAggregation,
    grouping: Option<&Grouping>,
    grid: &Grid,
) -> Option<Count> {
    if !range.op.allows_lines() || range.unwrap.is_some() || range.range_ns <= 0 {
        return None;
    }
    let reduced = Reduced::of(&range.log)?;
    let mut labels = match grouping {
        // Whether there is any line says nothing of its labels.
        _ if range.op == RangeOp::AbsentOverTime => Vec::new(),
        Some(Grouping { without: true, .. }) => return None,
        Some(Grouping { labels, .. }) => labels.clone(),
        None => reduced.kept.clone()?,
    };
    labels.sort();
    labels.dedup();
    labels.retain(|name| reduced.has(name));
    // Labels that a query makes: a name that clashed, or an error, which nothing here can cause.
    if labels.iter().any(|name| name.ends_with(super::labels::EXTRACTED)) {
        return None;
    }
    labels.retain(|name| is_stored(name));
    let (start, width_ns, buckets) = buckets(range, grid)?;
    let request = LogCountRequest {
        matchers: range.log.matchers.clone(),
        lines: reduced.lines,
        fields: reduced.fields,
        start: model::TimestampNs(start),
        width_ns,
        buckets,
        by_fields: labels.clone(),
        by_pattern: false,
    };
    request.range().is_ok().then_some(Count { request, labels })
}

/// The start, width and number of buckets of which all windows of a grid consist.
fn buckets(range: &RangeAggregation, grid: &Grid) -> Option<(i64, i64, usize)> {
    let first = grid.start.checked_sub(range.offset_ns)?.checked_sub(range.range_ns)?;
    if grid.count == 1 {
        return Some((first, range.range_ns, 1));
    }
    let width = gcd(range.range_ns, grid.step);
    let last = i128::from(grid.last()) - i128::from(range.offset_ns);
    let count = (last - i128::from(first)) / i128::from(width.max(1));
    let fits = width > 0 && (1..=BUCKETS_MAX).contains(&count);
    fits.then(|| usize::try_from(count).ok()).flatten().map(|count| (first, width, count))
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::ast::{Expr, MetricKind};
    use crate::logql::parse;

    #[test]
    fn only_what_a_store_keeps_is_counted() {
        let grid = Grid { start: 0, step: 60_000_000_000, count: 3 };
        let by = |names: &[&str]| Grouping {
            without: false,
            labels: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (query, grouping, labels) in [
            ("count_over_time({a=\"b\"}[5m])", Some(by(&["x", "a"])), Some(vec!["a", "x"])),
            ("rate({a=\"b\"} | drop __error__ [5m])", Some(by(&["x"])), Some(vec!["x"])),
            ("rate({a=\"b\"} | drop x [5m])", Some(by(&["x"])), Some(vec![])),
            ("rate({a=\"b\"} |= \"y\" | x=\"1\", z!=\"\" [5m])", Some(by(&[])), Some(vec![])),
            ("rate({a=\"b\"} | keep a, x [5m])", None, Some(vec!["a", "x"])),
            ("rate({a=\"b\"} | keep a | x=\"1\" [5m])", None, None),
            ("rate({a=\"b\"}[5m])", None, None),
            ("rate({a=\"b\"} | json [5m])", Some(by(&["x"])), None),
            ("rate({a=\"b\"} |> \"<_>x\" [5m])", Some(by(&["x"])), None),
            ("rate({a=\"b\"} | x=\"1\" or y=\"2\" [5m])", Some(by(&["x"])), None),
            ("rate({a=\"b\"} | x > 5 [5m])", Some(by(&["x"])), None),
            ("rate({a=\"b\"}[5m])", Some(by(&["x_extracted"])), None),
        ] {
            let Ok(Expr::Metric(metric)) = parse(query) else { panic!("{query}") };
            let MetricKind::Range(range) = &metric.kind else { panic!("{query}") };
            let found = count(range, grouping.as_ref(), &grid).map(|count| count.labels);
            let labels = labels.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
            assert_eq!(found, labels, "{query}");
        }
    }

    #[test]
    fn buckets_divide_windows_and_steps() {
        let Ok(Expr::Metric(metric)) = parse("rate({a=\"b\"}[50s] offset 10s)") else { panic!() };
        let MetricKind::Range(range) = &metric.kind else { panic!() };
        const SECOND: i64 = 1_000_000_000;
        let grid = Grid { start: 100 * SECOND, step: 30 * SECOND, count: 3 };
        assert_eq!(buckets(range, &grid), Some((40 * SECOND, 10 * SECOND, 11)));
        let instant = Grid::instant(100 * SECOND);
        assert_eq!(buckets(range, &instant), Some((40 * SECOND, 50 * SECOND, 1)));
        let odd = Grid { start: 0, step: 7, count: 100_000_000 };
        assert_eq!(buckets(range, &odd), None);
    }
}
