//! Counting the series of the catalogue from its pairs, without making any labels.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::cardinality::Counted;
use model::labels::METRIC_NAME;
use roaring::RoaringBitmap;

use super::Catalogue;

/// Tables of the largest counts, those first; equal ones in order of name.
pub(crate) struct Tables {
    pub(crate) pairs: u64,
    pub(crate) series_by_metric: Vec<Counted>,
    pub(crate) values_by_label: Vec<Counted>,
    pub(crate) bytes_by_label: Vec<Counted>,
    pub(crate) series_by_pair: Vec<Counted>,
}

/// Keeps the largest entries of those that come.
struct Top<T> {
    rows: usize,
    /// The smallest on top.
    heap: BinaryHeap<Reverse<(u64, Reverse<T>)>>,
}

impl<T: Ord> Top<T> {
    fn new(rows: usize) -> Self {
        Top { rows, heap: BinaryHeap::new() }
    }

    fn push(&mut self, count: u64, what: T) {
        let entry = Reverse((count, Reverse(what)));
        if self.heap.len() < self.rows {
            self.heap.push(entry);
        } else if let Some(mut smallest) = self.heap.peek_mut()
            && entry.0 > smallest.0
        {
            *smallest = entry;
        }
    }

    fn finish(self, name: impl Fn(T) -> String) -> Vec<Counted> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse((count, Reverse(what)))| Counted { name: name(what), count }).collect()
    }
}

/// Bytes of one label as Prometheus keeps it: two texts behind their lengths
/// (`model/labels/labels_stringlabels.go`, `SizeOfLabels`).
fn label_bytes(name: &str, value: &str) -> u64 {
    let text = |text: &str| text.len() + if text.len() < 255 { 1 } else { 4 };
    (text(name) + text(value)) as u64
}

impl Catalogue {
    /// Counts everything; each table has `rows` at most.
    pub(crate) fn tables(&self, rows: usize) -> Tables {
        let mut pairs = 0;
        let (mut by_metric, mut by_pair) = (Top::new(rows), Top::new(rows));
        let (mut values, mut bytes) = (Top::new(rows), Top::new(rows));
        for name in self.names.iter().filter(|name| name.live > 0) {
            let mut name_bytes = 0;
            for pair in &name.pairs {
                let pair = &self.pairs[*pair as usize];
                let series = pair.postings.len();
                if series == 0 {
                    continue;
                }
                let value = self.value(pair);
                pairs += 1;
                name_bytes += label_bytes(&name.text, value) * series;
                by_pair.push(series, (&*name.text, value));
                if *name.text == *METRIC_NAME {
                    by_metric.push(series, value);
                }
            }
            values.push(u64::from(name.live), &*name.text);
            bytes.push(name_bytes, &*name.text);
        }
        Tables {
            pairs,
            series_by_metric: by_metric.finish(str::to_owned),
            values_by_label: values.finish(str::to_owned),
            bytes_by_label: bytes.finish(str::to_owned),
            series_by_pair: by_pair.finish(|(name, value)| format!("{name}={value}")),
        }
    }

    /// Calls `visit` with each pair that any of these series has: its name, its value, and how many
    /// have it.
    pub(crate) fn count_pairs<'a>(
        &'a self,
        slots: &RoaringBitmap,
        mut visit: impl FnMut(&'a str, &'a str, u64),
    ) {
        let mut counts = vec![0_u32; self.pairs.len()];
        for slot in slots {
            let series = self.series.get(slot as usize).copied().unwrap_or_default();
            for pair in self.pairs_of(series) {
                counts[*pair as usize] += 1;
            }
        }
        for (pair, count) in self.pairs.iter().zip(counts).filter(|(_, count)| *count > 0) {
            visit(&self.names[pair.name as usize].text, self.value(pair), u64::from(count));
        }
    }
}
