//! How much there is: `index/stats`, `index/volume`, `index/volume_range`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::read::{LogColumns, LogRequest, RangeNs};
use model::{Labels, LogSource, Matcher, QueryContext, TimestampNs};
use query::logql::LogStats;
use rustc_hash::FxHashMap;

use super::range::{self, HOUR_NS};
use super::result::{Cost, write_point, write_stats};
use super::{Answer, json_response, matchers};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::App;

/// Series of a volume answer, at most.
const SERIES_MAX: usize = 5000;

/// Calls `visit` with the stream, the time and the length of each line.
fn count_lines(
    source: &dyn LogSource,
    matchers: Vec<Matcher>,
    over: RangeNs,
    context: &QueryContext,
    mut visit: impl FnMut(&Labels, TimestampNs, u64),
) -> Result<()> {
    let request = LogRequest {
        matchers,
        range: over,
        lines: Vec::new(),
        fields: Vec::new(),
        order: None,
        columns: LogColumns { line: true, metadata: false },
    };
    source.scan(&request, context, &mut |row| {
        visit(row.stream, row.at, row.line.len() as u64);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// `index/stats`: what a query would read. Chunks are Loki's and do not exist here.
pub(super) async fn stats(State(app): App, parameters: Parameters) -> Answer {
    let over = range::read(&parameters, app.state.clock.as_ref(), HOUR_NS)?;
    let matchers = matchers(parameters.get("query"))?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, _| {
        let logs = &shared.state.logs;
        let streams = logs.streams(&matchers, over, context)?.len();
        let (mut entries, mut bytes) = (0u64, 0u64);
        count_lines(&**logs, matchers, over, context, |_, _, length| {
            entries += 1;
            bytes += length;
        })?;
        Ok(format!(
            "{{\"streams\":{streams},\"chunks\":0,\"bytes\":{bytes},\"entries\":{entries}}}"
        ))
    });
    Ok(json_response(text.await?))
}

/// A series with its bytes by time slot.
type Counted = (Labels, BTreeMap<i64, u64>);

/// How lines are put together.
struct Volume {
    over: RangeNs,
    matchers: Vec<Matcher>,
    /// The labels to tell series apart by; empty for those of the selector.
    targets: Vec<String>,
    by_labels: bool,
    limit: usize,
}

impl Volume {
    fn read(parameters: &Parameters, clock: &dyn model::Clock) -> Result<Self> {
        let over = range::read_positive(parameters, clock, HOUR_NS)?;
        let by_labels = match parameters.get("aggregateBy") {
            None | Some("series") => false,
            Some("labels") => true,
            Some(other) => {
                let message = format!("{other:?} is neither \"series\" nor \"labels\"");
                return Err(Error::parameter("aggregateBy", message));
            }
        };
        let targets = parameters.get("targetLabels").unwrap_or("").split(',').map(str::trim);
        let targets = targets.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let limit = parameters.limit()?.unwrap_or(100).min(SERIES_MAX);
        Ok(Volume { over, matchers: matchers(parameters.get("query"))?, targets, by_labels, limit })
    }

    /// The series that a line of `stream` counts for.
    fn keys(&self, stream: &Labels) -> Vec<Labels> {
        if self.by_labels {
            let is_wanted = |name: &str| {
                self.targets.is_empty() || self.targets.iter().any(|target| target == name)
            };
            let names = stream.iter().map(|(name, _)| name).filter(|name| is_wanted(name));
            // A name stands for all of its values, so its value is a mere mark.
            return names.map(|name| Labels::from_pairs([(name, name)])).collect();
        }
        let names: Vec<&str> = if self.targets.is_empty() {
            self.matchers.iter().map(|matcher| matcher.name.as_str()).collect()
        } else {
            self.targets.iter().map(String::as_str).collect()
        };
        let key = if names.is_empty() { stream.clone() } else { stream.only(&names) };
        if key.is_empty() { Vec::new() } else { vec![key] }
    }

    fn write_metric(&self, json: &mut Json, key: &Labels) {
        if self.by_labels {
            json.object(key.iter().map(|(name, _)| (name, "")));
        } else {
            json.labels(key);
        }
    }

    /// Bytes by series and by time slot.
    fn count(
        &self,
        source: &dyn LogSource,
        step_ns: i64,
        context: &QueryContext,
    ) -> Result<(Vec<Counted>, LogStats)> {
        let mut keys: FxHashMap<Labels, Vec<Labels>> = FxHashMap::default();
        let mut volumes: FxHashMap<Labels, BTreeMap<i64, u64>> = FxHashMap::default();
        let mut stats = LogStats::default();
        let start = self.over.start.0;
        count_lines(source, self.matchers.clone(), self.over, context, |stream, at, length| {
            stats.lines_read += 1;
            stats.bytes_read += length;
            let keys = keys.entry(stream.clone()).or_insert_with(|| self.keys(stream));
            let slot = at.0.saturating_sub(start) / step_ns;
            for key in keys {
                *volumes.entry(key.clone()).or_default().entry(slot).or_default() += length;
            }
        })?;
        stats.lines_matched = stats.lines_read;
        let mut volumes: Vec<_> = volumes.into_iter().collect();
        let total = |slots: &BTreeMap<i64, u64>| slots.values().sum::<u64>();
        volumes.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
        volumes.truncate(self.limit);
        Ok((volumes, stats))
    }
}

/// `index/volume`: bytes by series, the largest first.
pub(super) async fn volume(State(app): App, parameters: Parameters) -> Answer {
    let volume = Volume::read(&parameters, app.state.clock.as_ref())?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, timing| {
        let (volumes, stats) = volume.count(&*shared.state.logs, i64::MAX, context)?;
        let evaluated = shared.runner.monotonic().saturating_sub(timing.began);
        let mut json = Json::new();
        json.raw(r#"{"status":"success","data":{"resultType":"vector","result":"#);
        let at_ms = volume.over.end.to_ms().0;
        json.array(&volumes, |json, (key, slots)| {
            json.raw(r#"{"metric":"#);
            volume.write_metric(json, key);
            json.raw(r#","value":"#);
            write_point(json, at_ms, slots.values().sum::<u64>() as f64);
            json.raw("}");
        });
        json.raw(r#","stats":"#);
        write_stats(&mut json, &Cost { stats, queued: timing.queued, evaluated }, volumes.len());
        json.raw("}}");
        Ok(json.finish())
    });
    Ok(json_response(text.await?))
}

/// `index/volume_range`: bytes by series and step.
pub(super) async fn volume_range(State(app): App, parameters: Parameters) -> Answer {
    let volume = Volume::read(&parameters, app.state.clock.as_ref())?;
    let points_max = app.state.options.points_per_series_max;
    let step_ns = range::step_ns(&parameters, volume.over, points_max)?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, timing| {
        let (volumes, stats) = volume.count(&*shared.state.logs, step_ns, context)?;
        let evaluated = shared.runner.monotonic().saturating_sub(timing.began);
        let mut json = Json::new();
        json.raw(r#"{"status":"success","data":{"resultType":"matrix","result":"#);
        json.array(&volumes, |json, (key, slots)| {
            json.raw(r#"{"metric":"#);
            volume.write_metric(json, key);
            json.raw(r#","values":"#);
            json.array(slots, |json, (slot, bytes)| {
                let at = volume.over.start.plus_ns(slot.saturating_mul(step_ns));
                write_point(json, at.to_ms().0, *bytes as f64);
            });
            json.raw("}");
        });
        json.raw(r#","stats":"#);
        write_stats(&mut json, &Cost { stats, queued: timing.queued, evaluated }, volumes.len());
        json.raw("}}");
        Ok(json.finish())
    });
    Ok(json_response(text.await?))
}
