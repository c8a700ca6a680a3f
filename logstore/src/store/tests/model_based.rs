//! Random work on the store, compared with a list after each step.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use model::log::LogCount;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Record>),
    Seal,
    Maintain,
    MergeAll,
    Delete(Selected),
    /// Takes the deletion with this index back, if it can be.
    Undelete(usize),
    AdvanceSeconds(u64),
    Reopen,
    Scan(Asked),
}

#[derive(Debug, Clone)]
struct Selected {
    stream: Option<u8>,
    text: Option<&'static str>,
    field: Option<&'static str>,
    range: (i64, i64),
}

#[derive(Debug, Clone)]
struct Asked {
    selected: Selected,
    order: Option<bool>,
    lacks: bool,
    buckets: usize,
}

const LINES: [&str; 6] =
    ["", "error: a", "info b id=12", "ERROR", "a error id=4711", "{\"level\":\"info\",\"n\":3}"];
const TEXTS: [&str; 6] = ["error", "b", "", "id=", "\"n\":3", "absent"];
const SECOND: i64 = 1_000_000_000;
const KEEP_MS: i64 = 4 * 24 * HOUR_MS;
const RULED_STREAM: u8 = 2;
const RULED_MS: i64 = HOUR_MS;

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (-40..40i64).prop_map(|s| s * SECOND),
        2 => (-3 * 86_400..500i64).prop_map(|s| s * SECOND + 7),
        1 => (0..3i64).prop_map(|day| -day * 86_400 * SECOND),
    ]
}

fn selected() -> impl Strategy<Value = Selected> {
    (
        prop::option::of(0..4u8),
        prop::option::of(prop::sample::select(&TEXTS[..])),
        prop::option::weighted(0.2, prop::sample::select(&LINES[..])),
        prop_oneof![Just((i64::MIN / 2, i64::MAX / 4)), (time(), time())],
    )
        .prop_map(|(stream, text, field, (a, b))| Selected {
            stream,
            text,
            field,
            range: (a.min(b), a.max(b)),
        })
}

fn step() -> impl Strategy<Value = Step> {
    let line = prop::sample::select(&LINES[..]);
    let record = (0..4u8, time(), line).prop_map(|(n, at, line)| record(n, at, line));
    let asked = (selected(), prop::option::of(any::<bool>()), any::<bool>(), 1..5usize);
    prop_oneof![
        6 => prop::collection::vec(record, 1..12).prop_map(Step::Write),
        3 => Just(Step::Seal),
        2 => Just(Step::Maintain),
        1 => Just(Step::MergeAll),
        1 => selected().prop_map(Step::Delete),
        1 => (0..4usize).prop_map(Step::Undelete),
        1 => prop_oneof![1..100u64, 1000..40_000u64].prop_map(Step::AdvanceSeconds),
        2 => Just(Step::Reopen),
        4 => asked.prop_map(|(selected, order, lacks, buckets)| Step::Scan(Asked {
            selected, order, lacks, buckets
        })),
    ]
}

fn options() -> Options {
    let matchers = vec![Matcher::equal("service_name", format!("s{RULED_STREAM}"))];
    let rule = RetentionRule { matchers, keep_ms: RULED_MS };
    Options { retention_ms: KEEP_MS, retention_rules: vec![rule], ..Default::default() }
}

impl Selected {
    fn selection(&self) -> LogSelection {
        let at = |offset: i64| NOW.to_ns().plus_ns(offset);
        LogSelection {
            matchers: self
                .stream
                .map(|number| Matcher::equal("service_name", format!("s{number}")))
                .into_iter()
                .collect(),
            lines: self.text.map(LineCondition::contains).into_iter().collect(),
            fields: self.field.map(|value| Matcher::equal("trace_id", value)).into_iter().collect(),
            range: RangeNs { start: at(self.range.0), end: at(self.range.1) },
        }
    }

    fn selects(&self, (number, at, line): &Record) -> bool {
        self.stream.is_none_or(|stream| stream == *number)
            && self.text.is_none_or(|text| line.contains(text))
            && self.field.is_none_or(|value| line == value)
            && (self.range.0..self.range.1).contains(at)
    }
}

/// What the store must be like.
#[derive(Default)]
struct Twin {
    records: Vec<Record>,
    /// Id, what, and how many records there were.
    deletions: Vec<(u64, Selected, usize)>,
}

impl Twin {
    fn keep_ms(number: u8) -> i64 {
        if number == RULED_STREAM { RULED_MS } else { KEEP_MS }
    }

    fn visible(&self, now: TimestampMs) -> Vec<Record> {
        let is_visible = |(arrival, record): &(usize, &Record)| {
            let oldest_ms = now.0 - NOW.0 - Twin::keep_ms(record.0);
            let oldest = oldest_ms.div_euclid(10_000) * 10_000 * 1_000_000;
            let is_deleted = |(_, selected, before): &(u64, Selected, usize)| {
                arrival < before && selected.selects(record)
            };
            record.1 > oldest && !self.deletions.iter().any(is_deleted)
        };
        let numbered = self.records.iter().enumerate().filter(is_visible);
        let mut visible: Vec<Record> = numbered.map(|(_, record)| record.clone()).collect();
        visible.sort_by_key(|record| record.1);
        visible
    }
}

type Counts = BTreeMap<(Labels, Vec<String>, usize), (u64, u64)>;

type Visit<'a> = dyn FnMut(&LogCount<'_>) -> ControlFlow<()> + 'a;

fn counted(ask: impl FnOnce(&mut Visit<'_>) -> model::Result<()>) -> Counts {
    let mut counts = Counts::new();
    ask(&mut |count| {
        let values = count.fields.iter().map(|value| (*value).to_owned()).collect();
        let sum = counts.entry((count.stream.clone(), values, count.bucket)).or_default();
        *sum = (sum.0 + count.records, sum.1 + count.bytes);
        ControlFlow::Continue(())
    })
    .unwrap();
    counts
}

fn check(store: &LogStore, twin: &Twin, now: TimestampMs, asked: &Asked) {
    let LogSelection { matchers, mut lines, fields, range } = asked.selected.selection();
    let by_text = asked.selected.text.filter(|_| asked.lacks);
    if let Some(text) = by_text {
        lines = vec![LineCondition::lacks(text)];
    }
    let request = LogRequest {
        matchers: matchers.clone(),
        range,
        lines: lines.clone(),
        fields: fields.clone(),
        order: asked.order.map(|b| if b { Direction::Forward } else { Direction::Backward }),
        columns: LogColumns { line: true, metadata: true },
    };
    let selected =
        Selected { text: asked.selected.text.filter(|_| !asked.lacks), ..asked.selected };
    let mut expected: Vec<Record> = twin.visible(now);
    expected.retain(|record| {
        selected.selects(record) && by_text.is_none_or(|text| !record.2.contains(text))
    });
    let mut found = read(store, &request);
    match request.order {
        Some(Direction::Forward) => {}
        Some(Direction::Backward) => found.reverse(),
        None => {
            expected.sort();
            found.sort();
        }
    }
    assert_eq!(found, expected, "{asked:?}");
    let numbers = |first: u64| {
        let mut numbers = Vec::new();
        let context = QueryContext::unlimited();
        let scanned = store.scan_arrivals(first..u64::MAX, &request, &context, &mut |row| {
            numbers.push((row.at, row.arrival));
            ControlFlow::Continue(())
        });
        scanned.unwrap();
        numbers.sort();
        numbers
    };
    let middle = store.arrivals_end() / 2;
    let mut newest = numbers(0);
    newest.retain(|(_, arrival)| *arrival >= middle);
    assert_eq!(numbers(middle), newest, "{asked:?}");
    assert_eq!(numbers(store.arrivals_end()), []);
    let width_ns = 3600 * SECOND;
    let start = asked.selected.range.0.max(-4 * 86_400 * SECOND) / SECOND * SECOND;
    let count = LogCountRequest {
        matchers,
        lines,
        fields,
        start: NOW.to_ns().plus_ns(start),
        width_ns,
        buckets: asked.buckets,
        by_fields: if asked.lacks { vec!["trace_id".to_owned()] } else { Vec::new() },
        by_pattern: false,
    };
    let context = QueryContext::unlimited();
    let by_store = counted(|visit| store.count(&count, &context, visit));
    let pattern = |line: &str| line.to_owned();
    let by_scan = counted(|visit| count_by_scan(store, &count, &pattern, &context, visit));
    assert_eq!(by_store, by_scan, "{count:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_work_leaves_what_a_list_would_have(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, clock) = open_with(dir.path(), options());
        let mut twin = Twin::default();
        let range = (i64::MIN / 2, i64::MAX / 4);
        let all = Asked {
            selected: Selected { stream: None, text: None, field: None, range },
            order: Some(true),
            lacks: false,
            buckets: 4,
        };
        for step in steps {
            match &step {
                Step::Write(records) => {
                    let outcome = write(&store, records);
                    let now_ms = clock.now_ms().0 - NOW.0;
                    let oldest = |number| (now_ms - Twin::keep_ms(number)) * 1_000_000;
                    let is_kept = |record: &&Record| record.1 >= oldest(record.0);
                    let kept: Vec<Record> = records.iter().filter(is_kept).cloned().collect();
                    prop_assert_eq!(outcome.accepted as usize, kept.len());
                    twin.records.extend(kept);
                }
                Step::Seal => store.seal_all().unwrap(),
                Step::Maintain => {
                    store.seal_due().unwrap();
                    store.maintain().unwrap();
                }
                Step::MergeAll => store.merge_all().unwrap(),
                Step::Delete(selected) => {
                    let id = store.delete(&selected.selection(), "query").unwrap();
                    twin.deletions.push((id, selected.clone(), twin.records.len()));
                }
                Step::Undelete(index) => {
                    if let Some((id, ..)) = twin.deletions.get(*index)
                        && store.undelete(*id).is_ok()
                    {
                        twin.deletions.remove(*index);
                    }
                }
                Step::AdvanceSeconds(seconds) => clock.advance(Duration::from_secs(*seconds)),
                Step::Reopen => {
                    drop(store);
                    store = LogStore::open(dir.path(), options(), clock.clone()).unwrap();
                    prop_assert_eq!(store.damage(), Vec::<String>::new());
                }
                Step::Scan(asked) => check(&store, &twin, clock.now_ms(), asked),
            }
            check(&store, &twin, clock.now_ms(), &all);
        }
        let visible = twin.visible(clock.now_ms());
        let services = visible.iter().map(|record| format!("s{}", record.0));
        let mut expected: Vec<String> = services.collect();
        expected.sort();
        expected.dedup();
        let told = streams(&store);
        prop_assert!(expected.iter().all(|service| told.contains(service)));
        prop_assert_eq!(folders(dir.path()).len() as u64, store.stats().parts);
    }
}
