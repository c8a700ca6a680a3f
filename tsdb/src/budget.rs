//! Budgets of series: what happens to a series that is one too many.
//!
//! It is not dropped. The label with the most values among the series of its metric is hot; the
//! series' value of that label is replaced by [`OVERFLOW`], and all series that become equal by that
//! are folded into one whose value is right for sums: for counters the sum of what each grew, for
//! gauges the sum of what each is. To know that, the last value of each folded series is kept, about
//! sixty bytes each, which has a bound too.
//!
//! While a start loads, nobody knows how many series there are. What comes then is kept, since its
//! samples are acknowledged under their own labels. What of it is over a budget is counted when all
//! is there, and told; it goes when it is no longer written.
//!
//! After a restart the last values are not known: a folded counter counts on from its first sample
//! after the restart (from its start, if it began later), a folded gauge from when it is told again.

use std::collections::BTreeMap;

use model::TimestampMs;
use model::admin::Overflow;
use model::labels::METRIC_NAME;
use model::sample::{SeriesId, is_stale};
use model::write::{FloatPoint, NO_START};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::head::catalogue::Catalogue;
use crate::options::Options;

/// The value of a folded label (as Tempo's metrics generator calls it).
pub(crate) const OVERFLOW: &str = "__cardinality_overflow__";

/// Ids of folded series have this bit; no slot's epoch comes that far.
const FOLDED: u64 = 1 << 63;

/// A folded series is written at most this often.
const WRITE_EVERY_MS: i64 = 1000;

/// Whether an id names a folded series.
pub(crate) fn is_folded(id: SeriesId) -> bool {
    id.0 & FOLDED != 0
}

/// What was decided about a metric.
#[derive(Debug, Clone)]
struct Rule {
    budget: &'static str,
    /// In order of decision; all of them are folded.
    labels: Vec<String>,
    values: u64,
    since: i64,
    folded_series: u64,
    /// Series that the folding itself has made.
    targets: u64,
    /// Series over the budget that were not folded.
    kept_series: u64,
}

impl Rule {
    fn new(budget: &'static str, since: i64) -> Self {
        Rule {
            budget,
            labels: Vec::new(),
            values: 0,
            since,
            folded_series: 0,
            targets: 0,
            kept_series: 0,
        }
    }
}

/// A series that was folded into another.
#[derive(Debug, Clone, Copy)]
struct Member {
    target: u32,
    last: f64,
    has_last: bool,
}

/// A series that others are folded into.
#[derive(Debug, Clone, Copy)]
struct Target {
    series: SeriesId,
    is_counter: bool,
    total: f64,
    newest: i64,
    written: i64,
}

#[derive(Default)]
pub(crate) struct Folds {
    rules: BTreeMap<String, Rule>,
    /// By hash of the labels as they came.
    member_numbers: FxHashMap<u128, u32>,
    members: Vec<Member>,
    target_numbers: FxHashMap<SeriesId, u32>,
    targets: Vec<Target>,
    /// Samples that were folded since the start.
    pub(crate) samples: u64,
    began: i64,
}

/// Series that the folding of one metric may make before another label is folded as well.
const TARGETS_MAX: u64 = 10_000;

impl Folds {
    pub(crate) fn new(now: i64) -> Self {
        Folds { began: now, ..Folds::default() }
    }

    /// The id of a folded series that is known.
    pub(crate) fn find(&self, labels: &[(&str, &str)]) -> Option<SeriesId> {
        if self.members.is_empty() {
            return None;
        }
        let number = self.member_numbers.get(&hash(labels))?;
        Some(SeriesId(FOLDED | u64::from(*number)))
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.members.len() * (size_of::<Member>() + 40) + self.targets.len() * 80
    }

    /// The labels to fold of a metric that is over a budget, decided now if they are not. `hottest`
    /// answers the label with the most values that is not in a list.
    pub(crate) fn labels_to_fold(
        &mut self,
        metric: &str,
        budget: &'static str,
        now: i64,
        hottest: impl Fn(&[String]) -> Option<(String, u64)>,
    ) -> Option<Vec<String>> {
        let rule = self.rules.entry(metric.to_owned()).or_insert_with(|| Rule::new(budget, now));
        let takes_more =
            rule.labels.is_empty() || rule.targets > TARGETS_MAX * rule.labels.len() as u64;
        if takes_more && let Some((label, values)) = hottest(&rule.labels) {
            rule.labels.push(label);
            rule.values = rule.values.max(values);
        }
        (!rule.labels.is_empty()).then(|| rule.labels.clone())
    }

    /// Tells apart a series with these labels that is folded into `series`.
    pub(crate) fn add(
        &mut self,
        labels: &[(&str, &str)],
        series: SeriesId,
        is_counter: bool,
        stored: Option<f64>,
        is_new_target: bool,
    ) -> SeriesId {
        let targets = &mut self.targets;
        let target = *self.target_numbers.entry(series).or_insert_with(|| {
            // A counter goes on from what was stored before a restart; a gauge is summed anew.
            let total = stored.filter(|value| is_counter && value.is_finite()).unwrap_or(0.0);
            let (newest, written) = (i64::MIN, i64::MIN);
            targets.push(Target { series, is_counter, total, newest, written });
            targets.len() as u32 - 1
        });
        let number = self.members.len() as u32;
        self.members.push(Member { target, last: 0.0, has_last: false });
        self.member_numbers.insert(hash(labels), number);
        if let Some(rule) = self.rules.get_mut(metric_of(labels)) {
            rule.folded_series += 1;
            rule.targets += u64::from(is_new_target);
        }
        SeriesId(FOLDED | u64::from(number))
    }

    /// Takes a sample of a folded series. `false` if the id is unknown.
    pub(crate) fn take(&mut self, point: &FloatPoint) -> bool {
        let Some(member) = self.members.get_mut((point.series.0 & !FOLDED) as usize) else {
            return false;
        };
        let Some(target) = self.targets.get_mut(member.target as usize) else { return false };
        self.samples += 1;
        target.newest = target.newest.max(point.at.0);
        if is_stale(point.value) || !point.value.is_finite() {
            if !target.is_counter && member.has_last {
                target.total -= member.last;
            }
            member.has_last = false;
            return true;
        }
        let grown = match (member.has_last, target.is_counter) {
            (true, true) if point.value >= member.last => point.value - member.last,
            (true, true) => point.value,
            (true, false) => point.value - member.last,
            (false, false) => point.value,
            // All of it was counted since its start, if that was while we looked.
            (false, true) if point.start != NO_START && point.start.0 >= self.began => point.value,
            (false, true) => 0.0,
        };
        target.total += grown;
        (member.last, member.has_last) = (point.value, true);
        true
    }

    /// The samples of folded series that are due after a batch whose points were taken.
    pub(crate) fn due(&mut self, taken: impl Iterator<Item = SeriesId>) -> Vec<FloatPoint> {
        let mut due = Vec::new();
        for id in taken {
            let Some(member) = self.members.get((id.0 & !FOLDED) as usize) else { continue };
            let Some(target) = self.targets.get_mut(member.target as usize) else { continue };
            if target.newest < target.written.saturating_add(WRITE_EVERY_MS) {
                continue;
            }
            target.written = target.newest;
            let (series, at, value) = (target.series, TimestampMs(target.newest), target.total);
            due.push(FloatPoint { series, at, start: NO_START, value });
        }
        due
    }

    /// A series goes. If others were folded into it, all that was folded is told apart anew.
    pub(crate) fn forget(&mut self, series: SeriesId) {
        if !self.target_numbers.contains_key(&series) {
            return;
        }
        self.member_numbers.clear();
        self.members.clear();
        self.target_numbers.clear();
        self.targets.clear();
    }

    /// Notes series of a metric that are over a budget and not folded.
    pub(crate) fn note_kept(&mut self, metric: &str, budget: &'static str, count: u64, now: i64) {
        let rule = self.rules.entry(metric.to_owned()).or_insert_with(|| Rule::new(budget, now));
        rule.kept_series += count;
    }

    pub(crate) fn overflows(&self) -> Vec<Overflow> {
        let overflow = |(metric, rule): (&String, &Rule)| Overflow {
            budget: rule.budget,
            metric: metric.clone(),
            label: rule.labels.join(","),
            values: rule.values,
            since: TimestampMs(rule.since),
            folded_series: rule.folded_series,
            kept_series: rule.kept_series,
        };
        self.rules.iter().map(overflow).collect()
    }
}

/// The budget that one more series of these labels would go over.
pub(crate) fn reached(
    options: &Options,
    catalogue: &Catalogue,
    labels: &[(&str, &str)],
) -> Option<&'static str> {
    let Options { series_max, series_per_metric_max, values_per_label_max, .. } = *options;
    // Nothing can have more than there is.
    let least = [series_max, series_per_metric_max, values_per_label_max];
    if least.iter().all(|budget| *budget == 0 || catalogue.len() < *budget) {
        return None;
    }
    if catalogue.len() >= series_max {
        return Some("total");
    }
    let of_metric = catalogue.series_with(METRIC_NAME, metric_of(labels));
    if series_per_metric_max > 0 && of_metric >= series_per_metric_max as u64 {
        return Some("metric");
    }
    let is_over = |(name, value): &(&str, &str)| {
        !is_structural(name)
            && catalogue.value_count(name) as usize >= values_per_label_max
            && catalogue.series_with(name, value) == 0
    };
    (values_per_label_max > 0 && labels.iter().any(is_over)).then_some("label")
}

/// The name of the metric.
pub(crate) fn metric_of<'a>(labels: &[(&str, &'a str)]) -> &'a str {
    labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, metric)| metric)
}

fn hash(labels: &[(&str, &str)]) -> u128 {
    let mut bytes = Vec::with_capacity(256);
    for (name, value) in labels {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0xff);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0xff);
    }
    xxh3_128(&bytes)
}

/// Whether a metric counts, by its name: the store knows kinds only where the sender told them.
pub(crate) fn looks_like_counter(metric: &str) -> bool {
    ["_total", "_bucket", "_count", "_sum"].iter().any(|end| metric.ends_with(end))
}

/// Labels that are never folded: without them a series means something else.
pub(crate) fn is_structural(name: &str) -> bool {
    name == METRIC_NAME || name == "le" || name == "quantile"
}
