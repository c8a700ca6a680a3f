//! `info`: adds the labels of info metrics (`target_info` unless told otherwise) to the series that
//! they describe, which have the same `instance` and `job`.
//!
//! Behaviour is that of Prometheus 3.14 (`promql/info.go`): of several info series for one target
//! the one with the newest sample counts.

use model::labels::METRIC_NAME;
use model::{Labels, MatchOp, Matcher};
use rustc_hash::{FxHashMap, FxHashSet};

use super::ast::{AtModifier, Call, Expr, ExprKind, Selector};
use super::eval::{Evaluator, Wanted, latest};
use crate::errors::EvalError;
use crate::vector::{Column, Grid, absent, is_absent};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// The labels that tell targets apart.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Evaluates a call.
pub(super) fn call(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let Some(described) = call.arguments.first() else { return Ok(Vec::new()) };
    let base = evaluator.vector(described, grid)?;
    let given = match call.arguments.get(1).map(|labels| &labels.kind) {
        Some(ExprKind::Selector(selector)) => selector.all_matchers(),
        _ => Vec::new(),
    };
    let (names, data): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|matcher| matcher.name == METRIC_NAME);
    let names = effective_names(names);
    let is_info =
        |column: &Column| names.iter().all(|matcher| matcher.matches(column.labels.metric_name()));
    let (untouched, base): (Vec<_>, Vec<_>) = base.into_iter().partition(is_info);
    let infos = fetch(evaluator, described, &base, &data, &names, grid)?;
    let mut results = Results { columns: Vec::new(), places: FxHashMap::default() };
    for column in untouched {
        let labels = column.labels.clone();
        results.add(&column, labels, 0..grid.count)?;
    }
    let groups = group(&infos, &base, grid)?;
    for column in &base {
        evaluator.context.charge(0, (grid.count as u64).saturating_mul(8))?;
        enrich(column, &infos, &groups, &data, grid, &mut results)?;
    }
    Ok(results.columns.into_iter().filter(Column::has_any).collect())
}

/// The matchers of the names of info metrics: with negative ones alone, all that end in `_info`.
fn effective_names(matchers: Vec<Matcher>) -> Vec<Matcher> {
    if matchers.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    if matchers.iter().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Matches)) {
        return matchers;
    }
    let any = Matcher::new(METRIC_NAME, MatchOp::Matches, ".+_info").ok();
    any.into_iter().chain(matchers).collect()
}

/// The times of the samples of info series, in seconds, as columns.
fn fetch(
    evaluator: &mut Evaluator<'_>,
    described: &Expr,
    base: &[Column],
    data: &[Matcher],
    names: &[Matcher],
    grid: &Grid,
) -> Result<Vec<Column>> {
    let mut matchers: Vec<Matcher> = Vec::new();
    for label in IDENTIFYING {
        let values: FxHashSet<&str> =
            base.iter().map(|column| column.labels.get_or_empty(label)).collect();
        let mut values: Vec<String> =
            values.into_iter().filter(|v| !v.is_empty()).map(regex::escape).collect();
        if values.is_empty() {
            continue;
        }
        values.sort();
        let matcher = Matcher::new(label, MatchOp::Matches, values.join("|"));
        matchers.push(matcher.map_err(EvalError::Source)?);
    }
    if matchers.is_empty() {
        return Ok(Vec::new());
    }
    matchers.extend(data.iter().chain(names).cloned());
    let (at, offset_ms) = reference_time(evaluator, described);
    let at = at.map(AtModifier::Time);
    let selector = Selector { matchers, offset_ms, at, ..Selector::default() };
    let lookback = evaluator.options.lookback_ms;
    let fixed = evaluator.resolve_at(selector.at);
    let mut columns = Vec::new();
    for series in evaluator.select(&selector, grid, (lookback, 0))? {
        if !series.histograms.is_empty() {
            return Err(EvalError::BadArgument(format!(
                "this should be an info metric, with float samples: {}",
                series.labels
            )));
        }
        let cells = grid.count as u64;
        evaluator.context.charge(cells, cells.saturating_mul(8))?;
        let (values, _) = latest(&series, &selector, grid, fixed, lookback, Wanted::Times);
        columns.push(Column::floats(series.labels, false, values));
    }
    Ok(columns)
}

/// The time at which info series are looked at: that of the first selector in the argument, which
/// an `@` of the selector or of a subquery around it fixes, and offsets up to that `@` move.
fn reference_time(evaluator: &Evaluator<'_>, expr: &Expr) -> (Option<i64>, i64) {
    fn find(evaluator: &Evaluator<'_>, expr: &Expr) -> Option<(Option<i64>, i64)> {
        let selector = match &expr.kind {
            ExprKind::Selector(selector) => selector,
            ExprKind::Range(range) => &range.selector,
            ExprKind::Subquery(subquery) => {
                let (fixed, offset_ms) = find(evaluator, &subquery.expr)?;
                if fixed.is_some() {
                    return Some((fixed, offset_ms));
                }
                let offset_ms = offset_ms.saturating_add(subquery.offset_ms);
                return Some((evaluator.resolve_at(subquery.at), offset_ms));
            }
            _ => {
                let mut found = None;
                expr.for_each_child(&mut |child| found = found.or_else(|| find(evaluator, child)));
                return found;
            }
        };
        Some((evaluator.resolve_at(selector.at), selector.offset_ms))
    }
    find(evaluator, expr).unwrap_or((None, 0))
}

/// The info series of one name that describe one target, and which of them counts at each step.
struct Group {
    /// By step; `None` where there is no sample.
    newest: Vec<Option<usize>>,
}

/// By identifying labels; several groups where there are several names.
type Groups = FxHashMap<Labels, Vec<Group>>;

fn group(infos: &[Column], base: &[Column], grid: &Grid) -> Result<Groups> {
    let mut members: FxHashMap<Labels, FxHashMap<&str, Vec<usize>>> = FxHashMap::default();
    for (index, info) in infos.iter().enumerate() {
        let target = members.entry(info.labels.only(&IDENTIFYING)).or_default();
        target.entry(info.labels.metric_name()).or_default().push(index);
    }
    let mut groups = Groups::default();
    for (target, names) in members {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        for (_, indexes) in names {
            let newest = newest(infos, base, &indexes, grid)?;
            groups.entry(target.clone()).or_default().push(Group { newest });
        }
    }
    Ok(groups)
}

fn newest(
    infos: &[Column],
    base: &[Column],
    indexes: &[usize],
    grid: &Grid,
) -> Result<Vec<Option<usize>>> {
    let mut newest: Vec<Option<usize>> = vec![None; grid.count];
    for index in indexes {
        for (step, at) in infos[*index].values.iter().enumerate() {
            if is_absent(*at) {
                continue;
            }
            let Some(other) = newest[step] else {
                newest[step] = Some(*index);
                continue;
            };
            let other_at = infos[other].values[step];
            if other_at < *at {
                newest[step] = Some(*index);
            } else if other_at == *at && base.iter().any(|column| column.has(step)) {
                let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
                return Err(EvalError::BadArgument(format!(
                    "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                    infos[other].labels,
                    ms(other_at),
                    infos[*index].labels,
                    ms(*at)
                )));
            }
        }
    }
    Ok(newest)
}

/// Adds labels to one series: a column for each combination of info series that describes it.
fn enrich(
    column: &Column,
    infos: &[Column],
    groups: &Groups,
    data: &[Matcher],
    grid: &Grid,
    results: &mut Results,
) -> Result<()> {
    let groups = groups.get(&column.labels.only(&IDENTIFYING)).map_or(&[][..], Vec::as_slice);
    let found_at = |step: usize| groups.iter().map(move |group| group.newest[step]);
    let mut start = 0;
    while start < grid.count {
        if !column.has(start) {
            start += 1;
            continue;
        }
        // Info series seldom change: a run of steps with the same ones is handled at once.
        let same = |step: &usize| found_at(*step).eq(found_at(start));
        let end = (start + 1..grid.count).find(|step| !same(step)).unwrap_or(grid.count);
        let found = found_at(start).flatten().map(|index| &infos[index].labels);
        if let Some(labels) = enriched(&column.labels, found, data)? {
            results.add(column, labels, start..end)?;
        }
        start = end;
    }
    Ok(())
}

/// The labels with those of info series; `None` if a wanted label must be there and no info series
/// is.
fn enriched<'a>(
    base: &Labels,
    infos: impl Iterator<Item = &'a Labels>,
    data: &[Matcher],
) -> Result<Option<Labels>> {
    let mut added: Vec<(&str, &str)> = Vec::new();
    let mut is_described = false;
    for info in infos {
        is_described = true;
        for (name, value) in info.iter().filter(|(name, _)| *name != METRIC_NAME) {
            let is_wanted = data.is_empty() || data.iter().any(|matcher| matcher.name == name);
            if !is_wanted {
                continue;
            }
            match added.iter().find(|(other, _)| *other == name) {
                Some((_, other)) if *other != value => {
                    return Err(EvalError::BadArgument(format!("conflicting label: {name}")));
                }
                Some(_) => {}
                None if base.get(name).is_some() => {}
                None => added.push((name, value)),
            }
        }
    }
    if !is_described && !data.iter().all(Matcher::matches_empty) {
        return Ok(None);
    }
    if added.is_empty() {
        return Ok(Some(base.clone()));
    }
    Ok(Some(Labels::from_pairs(base.iter().chain(added))))
}

struct Results {
    columns: Vec<Column>,
    places: FxHashMap<Labels, usize>,
}

impl Results {
    /// Copies a run of cells; fails where there is a sample already.
    fn add(
        &mut self,
        column: &Column,
        labels: Labels,
        steps: std::ops::Range<usize>,
    ) -> Result<()> {
        let place = *self.places.entry(labels).or_insert_with_key(|labels| {
            let values = vec![absent(); column.values.len()];
            self.columns.push(Column::floats(labels.clone(), column.drop_name, values));
            self.columns.len() - 1
        });
        let target = &mut self.columns[place];
        target.drop_name |= column.drop_name;
        for step in steps {
            if !column.has(step) {
                continue;
            }
            if target.has(step) {
                return Err(EvalError::SameLabelset);
            }
            target.values[step] = column.values[step];
            if let Some(histogram) = column.histogram(step) {
                target.histograms.resize(column.values.len(), None);
                target.histograms[step] = Some(histogram.clone());
            }
        }
        Ok(())
    }
}
