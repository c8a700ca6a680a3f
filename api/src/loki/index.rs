//! How much there is: `index/stats`, `index/volume`, `index/volume_range`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::log::LogCountRequest;
use model::read::RangeNs;
use model::{Labels, LogSource, Matcher, QueryContext};
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

/// Counts by stream and step of `(start, end]`: the store has such counts, and reads no line for
/// them.
pub(crate) fn counts(matchers: Vec<Matcher>, over: RangeNs, step_ns: i64) -> LogCountRequest {
    // A range that is longer than 63 bits has more buckets than fit, and is refused for it.
    let length = (i128::from(over.end.0) - i128::from(over.start.0)).max(1);
    let step_ns = i64::try_from(length).map_or(step_ns, |length| step_ns.min(length));
    LogCountRequest {
        matchers,
        lines: Vec::new(),
        fields: Vec::new(),
        start: over.start,
        width_ns: step_ns,
        // The last step may end behind the range.
        buckets: usize::try_from((length - 1) / i128::from(step_ns) + 1).unwrap_or(usize::MAX),
        by_fields: Vec::new(),
        by_pattern: false,
    }
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
        logs.count(&counts(matchers, over, i64::MAX), context, &mut |count| {
            entries += count.records;
            bytes += count.bytes;
            ControlFlow::Continue(())
        })?;
        Ok(format!(
            "{{\"streams\":{streams},\"chunks\":0,\"bytes\":{bytes},\"entries\":{entries}}}"
        ))
    });
    Ok(json_response(text.await?))
}

/// A series with its bytes by time slot.
type Counted = (Labels, BTreeMap<usize, u64>);

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
    ) -> Result<Vec<Counted>> {
        let mut keys: FxHashMap<Labels, Vec<Labels>> = FxHashMap::default();
        let mut volumes: FxHashMap<Labels, BTreeMap<usize, u64>> = FxHashMap::default();
        let request = counts(self.matchers.clone(), self.over, step_ns);
        source.count(&request, context, &mut |count| {
            let keys = keys.entry(count.stream.clone()).or_insert_with(|| self.keys(count.stream));
            for key in keys {
                let slots = volumes.entry(key.clone()).or_default();
                *slots.entry(count.bucket).or_default() += count.bytes;
            }
            ControlFlow::Continue(())
        })?;
        let mut volumes: Vec<_> = volumes.into_iter().collect();
        let total = |slots: &BTreeMap<usize, u64>| slots.values().sum::<u64>();
        volumes.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
        volumes.truncate(self.limit);
        Ok(volumes)
    }
}

/// What the store had to read; nothing where it has the counts.
fn cost(context: &QueryContext) -> LogStats {
    let (lines_read, bytes_read) = (context.items_used(), context.bytes_used());
    LogStats { lines_read, bytes_read, lines_matched: lines_read }
}

/// `index/volume`: bytes by series, the largest first.
pub(super) async fn volume(State(app): App, parameters: Parameters) -> Answer {
    let volume = Volume::read(&parameters, app.state.clock.as_ref())?;
    let shared = app.clone();
    let text = app.runner.run(None, move |context, timing| {
        let volumes = volume.count(&*shared.state.logs, i64::MAX, context)?;
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
        let stats = cost(context);
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
        let volumes = volume.count(&*shared.state.logs, step_ns, context)?;
        let evaluated = shared.runner.monotonic().saturating_sub(timing.began);
        let mut json = Json::new();
        json.raw(r#"{"status":"success","data":{"resultType":"matrix","result":"#);
        json.array(&volumes, |json, (key, slots)| {
            json.raw(r#"{"metric":"#);
            volume.write_metric(json, key);
            json.raw(r#","values":"#);
            json.array(slots, |json, (slot, bytes)| {
                let offset = (*slot as i64).saturating_mul(step_ns);
                let at = volume.over.start.plus_ns(offset);
                write_point(json, at.to_ms().0, *bytes as f64);
            });
            json.raw("}");
        });
        json.raw(r#","stats":"#);
        let stats = cost(context);
        write_stats(&mut json, &Cost { stats, queued: timing.queued, evaluated }, volumes.len());
        json.raw("}}");
        Ok(json.finish())
    });
    Ok(json_response(text.await?))
}
