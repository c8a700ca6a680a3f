//! Counting from indexes equals counting the labels of all series.

use std::collections::{BTreeMap, BTreeSet};

use model::SeriesAdmin;
use model::cardinality::{CardinalityRequest, Counted};

use super::*;

fn series(metric: u8, job: u8, pod: u8) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("m{metric}")),
        ("job", format!("j{job}")),
        ("pod", if pod == 0 { String::new() } else { format!("p{pod}") }),
    ])
}

/// What is counted, from the labels of the series that a query finds.
fn naive(
    store: &Tsdb,
    selectors: &[Vec<Matcher>],
) -> (u64, BTreeMap<String, BTreeMap<String, u64>>) {
    let context = QueryContext::unlimited();
    let mut all: BTreeSet<Labels> = BTreeSet::new();
    let everything = [Vec::new()];
    let selectors = if selectors.is_empty() { &everything[..] } else { selectors };
    for matchers in selectors {
        let request = SeriesRequest::labels(matchers.clone(), RangeMs::ALL, None);
        all.extend(store.select(&request, &context).unwrap().map(|series| series.unwrap().labels));
    }
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for labels in &all {
        for (name, value) in labels.iter() {
            *counts.entry(name.into()).or_default().entry(value.into()).or_default() += 1;
        }
    }
    (all.len() as u64, counts)
}

/// The largest first, equal ones in order of name.
fn sorted(counts: &BTreeMap<String, u64>) -> Vec<Counted> {
    let mut rows: Vec<Counted> =
        counts.iter().map(|(name, count)| Counted { name: name.clone(), count: *count }).collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_those_of_the_series_that_a_query_finds(
        writes in prop::collection::vec((0u8..3, 0u8..4, 0u8..5, -6i64..1), 1..60),
        merge_at in prop::option::of(0usize..60),
        job in 0u8..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = open_with(dir.path(), small());
        for (i, (metric, job, pod, window)) in writes.iter().enumerate() {
            write(&store, vec![point(&store, &series(*metric, *job, *pod), window * 1000, 1.0)]);
            if merge_at == Some(i) {
                store.merge_all().unwrap();
            }
        }
        clock.advance(Duration::from_millis(200));
        store.maintain().unwrap();
        let selected = vec![
            vec![Matcher::equal("job", format!("j{job}"))],
            vec![Matcher::equal("__name__", "m1")],
        ];
        for selectors in [Vec::new(), selected] {
            let (total, counts) = naive(&store, &selectors);
            let request = CardinalityRequest { selectors, range: RangeMs::ALL, values_max: 100 };
            let counted =
                SeriesAdmin::cardinality(&store, &request, &QueryContext::unlimited()).unwrap();
            prop_assert_eq!(counted.series, total);
            prop_assert_eq!(counted.labels.len(), counts.len());
            for label in &counted.labels {
                let naive = &counts[&label.name];
                prop_assert_eq!(label.values, naive.len() as u64);
                prop_assert_eq!(label.series, naive.values().sum::<u64>());
                prop_assert_eq!(&label.top, &sorted(naive));
            }
            let fresh: u64 = counted.stretches.iter().map(|stretch| stretch.new_series).sum();
            prop_assert_eq!(fresh, total);
            prop_assert!(counted.stretches.iter().all(|stretch| stretch.start <= stretch.end));
            let few = CardinalityRequest { values_max: 1, ..request };
            let few = SeriesAdmin::cardinality(&store, &few, &QueryContext::unlimited()).unwrap();
            for label in &few.labels {
                prop_assert_eq!(label.top.len(), 1);
                prop_assert_eq!(label.top[0].count, sorted(&counts[&label.name])[0].count);
            }
        }
    }
}

#[test]
fn the_head_is_counted_as_prometheus_counts_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let empty = SeriesAdmin::head_cardinality(&store, 10).unwrap();
    assert_eq!((empty.series, empty.label_pairs, empty.chunks), (0, 0, 0));
    assert_eq!((empty.start, empty.end), (TimestampMs::MAX, TimestampMs::MIN));
    for (metric, job) in [(0, 0), (0, 1), (1, 0)] {
        write(&store, vec![point(&store, &series(metric, job, 1), 0, 1.0)]);
    }
    let rows = |rows: &[(&str, u64)]| -> Vec<Counted> {
        rows.iter().map(|(name, count)| Counted { name: (*name).into(), count: *count }).collect()
    };
    let head = SeriesAdmin::head_cardinality(&store, 2).unwrap();
    assert_eq!((head.series, head.label_pairs, head.chunks), (3, 5, 3));
    assert_eq!(head.end, NOW);
    assert_eq!(head.series_by_metric, rows(&[("m0", 2), ("m1", 1)]));
    assert_eq!(head.values_by_label, rows(&[("__name__", 2), ("job", 2)]));
    // Three times a name of eight bytes, a value of two, and two lengths.
    assert_eq!(head.bytes_by_label[0], rows(&[("__name__", 36)])[0]);
    assert_eq!(head.series_by_pair, rows(&[("pod=p1", 3), ("__name__=m0", 2)]));
}
