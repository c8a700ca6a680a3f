//! A head against a sorted list.

use model::write::{LogBatch, LogEntry, LogGroup};
use proptest::prelude::*;

use super::*;
use crate::record;

fn labels(number: u8) -> Labels {
    Labels::from_pairs([("n", number.to_string())])
}

fn add(head: &mut Head, first_arrival: u64, times: &[(u8, i64)]) {
    let mut batch = LogBatch::default();
    for (i, (number, at)) in (0u32..).zip(times) {
        batch.records.push(LogEntry { at: TimestampNs(*at), line: "".into(), fields: 0..0 });
        batch.groups.push(LogGroup { stream: labels(*number), shared: 0..0, records: i..i + 1 });
    }
    let (bytes, layout) = record::encode(&batch, |_| Some(TimestampNs::MIN), |_, _| true);
    head.add(first_arrival, Arc::new(bytes), &layout, 0, |_| {});
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u8, i64)>>> {
    prop::collection::vec(prop::collection::vec((0..2u8, -50..50i64), 1..300), 1..12)
}

proptest! {
    #[test]
    fn records_in_any_order_come_back_in_order(
        batches in batches(),
        range in (-50..50i64, -50..50i64),
    ) {
        let mut head = Head::default();
        let mut all = Vec::new();
        for batch in &batches {
            add(&mut head, all.len() as u64, batch);
            all.extend(batch.iter().copied());
        }
        let range = RangeNs { start: TimestampNs(range.0), end: TimestampNs(range.1) };
        let snapshot = head.snapshot(&[Matcher::equal("n", "1")], range);
        let found: Vec<(i64, u64)> = snapshot
            .entries(None)
            .map(|(_, entry)| (entry.at.0, snapshot.arrival(&entry)))
            .collect();
        let mut expected: Vec<(i64, u64)> = (0u64..)
            .zip(&all)
            .filter(|(_, (number, at))| *number == 1 && range.contains(TimestampNs(*at)))
            .map(|(arrival, (_, at))| (*at, arrival))
            .collect();
        expected.sort_unstable();
        prop_assert_eq!(&found, &expected);
        // From an arrival on: at least those, and still in order.
        let middle = all.len() as u64 / 2;
        let newest = head.snapshot_since(&[Matcher::equal("n", "1")], range, middle);
        let newest = newest.entries(None).map(|(_, entry)| (entry.at.0, newest.arrival(&entry)));
        let newest: Vec<(i64, u64)> = newest.collect();
        prop_assert!(newest.is_sorted() && newest.iter().all(|one| expected.contains(one)));
        prop_assert!(expected.iter().all(|one| one.1 < middle || newest.contains(one)));
        prop_assert_eq!(head.record_count(), all.len());
    }
}

#[test]
fn late_records_of_a_large_stream_do_not_move_it_each_time() {
    let mut head = Head::default();
    let times: Vec<(u8, i64)> = (0..200_000).map(|i| (1, i)).collect();
    add(&mut head, 0, &times);
    // Quadratic work would take minutes.
    let late: Vec<(u8, i64)> = (0..200_000).map(|i| (1, i * 7919 % 200_000)).collect();
    for (i, some) in late.chunks(10).enumerate() {
        add(&mut head, 200_000 + i as u64 * 10, some);
    }
    let snapshot = head.snapshot(&[], RangeNs::ALL);
    let entries = &snapshot.streams[0].1;
    assert!(entries.len() == 400_000 && entries.is_sorted());
}
