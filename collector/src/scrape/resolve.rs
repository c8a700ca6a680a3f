//! From the text that names a series to its labels and its id: the target's labels are joined, rules
//! and limits applied.

use model::Labels;
use model::labels::METRIC_NAME;
use model::sample::MetricKind;
use xxhash_rust::xxh3::Xxh3;

use super::cache::Meaning;
use super::config::Job;
use super::ingest::Output;
use super::relabel::{LabelBuilder, relabel};
use super::target::Target;
use crate::exposition::{Format, base_of, read_series};

/// What a text that is not known means; nothing if the sink does not take its series. An error
/// fails the scrape.
#[cold]
pub(super) fn resolve(
    job: &Job,
    target: &Target,
    output: Output<'_>,
    raw: &str,
    format: Format,
    kind: MetricKind,
) -> Result<Option<Meaning>, String> {
    let mut pairs = Vec::new();
    read_series(raw, format, kind, &mut pairs)?;
    let name = pairs.iter().find(|(name, _)| name == METRIC_NAME).map(|(_, value)| &**value);
    let base = name.filter(|_| format == Format::OpenMetrics).and_then(|name| base_of(name, kind));
    let mut group = 0;
    if let Some((base, is_created)) = base {
        let mut own: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        own.retain(|(name, _)| ![METRIC_NAME, "le", "quantile"].contains(name));
        group = group_of(base, own);
        if is_created {
            return Ok(Some(Meaning::Created(group)));
        }
    }
    let mut labels = LabelBuilder::default();
    for (name, value) in &pairs {
        labels.set(name, value);
    }
    let exposed: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
    add_target_labels(&mut labels, &target.labels, &exposed, job.honor_labels);
    if !relabel(&job.metric_relabel, &mut labels) {
        return Ok(Some(Meaning::Dropped));
    }
    if labels.get(METRIC_NAME).is_empty() {
        return Err("a sample has no metric name after relabelling".to_owned());
    }
    check_limits(job, &labels)?;
    let sorted: Vec<(&str, &str)> = labels.iter().collect();
    match output.sink.series_of(&sorted) {
        Ok(series) => Ok(Some(Meaning::Series(series, group))),
        Err(error) => {
            output.telemetry.refused("series_not_made", 1);
            tracing::debug!(job = job.name, %error, "{} is not kept", labels.to_labels());
            Ok(None)
        }
    }
}

/// A hash of a family and labels, never 0: `_created` lines find their samples by it.
fn group_of(base: &str, mut labels: Vec<(&str, &str)>) -> u64 {
    labels.sort_unstable();
    let mut hash = Xxh3::new();
    hash.update(base.as_bytes());
    for (name, value) in labels {
        for text in [name, value] {
            hash.update(&[0xff]);
            hash.update(text.as_bytes());
        }
    }
    hash.digest().max(1)
}

/// Labels of the target win, and what the text had under their names is kept as `exported_`; with
/// `honor_labels` the text wins, also where it gives an empty value.
fn add_target_labels(
    labels: &mut LabelBuilder,
    target: &Labels,
    exposed: &[(&str, &str)],
    honor_labels: bool,
) {
    if honor_labels {
        for (name, value) in target.iter() {
            if !exposed.iter().any(|(exposed, _)| *exposed == name) {
                labels.set(name, value);
            }
        }
        return;
    }
    let mut conflicts: Vec<(&str, &str)> = Vec::new();
    for (name, value) in target.iter() {
        conflicts.extend(
            exposed.iter().filter(|(exposed, value)| *exposed == name && !value.is_empty()),
        );
        labels.set(name, value);
    }
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut free = format!("exported_{name}");
        while !labels.get(&free).is_empty() {
            free.insert_str(0, "exported_");
        }
        labels.set(&free, value);
    }
}

fn check_limits(job: &Job, labels: &LabelBuilder) -> Result<(), String> {
    let over = |count: usize, limit: usize| limit > 0 && count > limit;
    let count = labels.iter().len();
    if over(count, job.label_limit) {
        return Err(format!("label_limit exceeded: {count} labels, {} allowed", job.label_limit));
    }
    for (name, value) in labels.iter() {
        if over(name.len(), job.label_name_length_limit) {
            let limit = job.label_name_length_limit;
            return Err(format!(
                "label_name_length_limit exceeded: {name:?} is over {limit} bytes"
            ));
        }
        if over(value.len(), job.label_value_length_limit) {
            let limit = job.label_value_length_limit;
            return Err(format!(
                "label_value_length_limit exceeded: the value of {name:?} is over {limit} bytes"
            ));
        }
    }
    Ok(())
}
