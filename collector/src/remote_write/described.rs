//! What metrics were last said to be, so that a store is told only what it does not know: 2.0
//! repeats the metadata with every series of every request.

use model::SeriesSink;
use model::sample::{MetricKind, MetricMetadata};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Metric families remembered; over it, all are forgotten and told again.
const FAMILIES_MAX: usize = 100_000;

/// For each family a hash of its metadata. Two different metadata with one hash cost one
/// description that comes late, nothing else.
#[derive(Default)]
pub(crate) struct Described(Mutex<Told>);

#[derive(Default)]
struct Told {
    /// The store's generation: a store that forgets series may forget what their metrics are.
    generation: u64,
    families: FxHashMap<Box<str>, u64>,
}

impl Described {
    /// Tells the store what `family` is, if that is news.
    pub(crate) fn describe(
        &self,
        sink: &dyn SeriesSink,
        family: &str,
        kind: MetricKind,
        help: &str,
        unit: &str,
    ) {
        let hash = xxh3_64_with_seed(help.as_bytes(), kind as u64);
        let hash = xxh3_64_with_seed(unit.as_bytes(), hash);
        {
            let mut told = self.0.lock();
            let generation = sink.generation();
            if told.generation != generation {
                *told = Told { generation, ..Told::default() };
            }
            let known = &mut told.families;
            match known.get_mut(family) {
                Some(told) if *told == hash => return,
                Some(told) => *told = hash,
                None => {
                    if known.len() >= FAMILIES_MAX {
                        known.clear();
                    }
                    known.insert(family.into(), hash);
                }
            }
        }
        let metadata = MetricMetadata { kind, help: help.to_owned(), unit: unit.to_owned() };
        sink.describe(family, &metadata);
    }
}

/// The kind that both versions number alike.
pub(super) fn to_kind(number: i32) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

/// The family of a series' metric name: a histogram's buckets, sum and count are one.
pub(super) fn family_of(name: &str, kind: MetricKind) -> &str {
    let suffixes: &[&str] = match kind {
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricKind::Summary => &["_sum", "_count"],
        _ => &[],
    };
    let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    family.filter(|family| !family.is_empty()).unwrap_or(name)
}
