//! What collectors note for themselves with each line is shown to nobody.

use model::log::BOOKKEEPING;
use model::read::Direction;
use model::{QueryContext, TimestampNs};

use super::{SECOND, lines, stream};
use crate::logql::memory::MemoryLogs;
use crate::logql::{InstantOptions, Value, evaluate_instant, parse};
use crate::promql::{self, SampleValue};

#[test]
fn what_collectors_note_for_themselves_is_no_label() {
    let mut logs = MemoryLogs::new();
    let app = stream(&[("job", "app")]);
    for i in 0..3 {
        let place = i.to_string();
        let noted = format!("{}offset", BOOKKEEPING);
        let fields = [(noted.as_str(), place.as_str()), ("detected_level", "info")];
        logs.push(&app, (i + 1) * SECOND, "x", &fields);
    }
    let result = lines(&logs, r#"{job="app"}"#, 100, Direction::Forward);
    let metadata = result.streams.iter().flat_map(|stream| &stream.entries);
    let metadata: Vec<_> = metadata.flat_map(|entry| &entry.metadata).collect();
    assert_eq!(metadata.len(), 3, "{metadata:?}");
    for (query, series, value) in [
        (r#"count_over_time({job="app"}[1m])"#, 1, 3.0),
        (r#"count_over_time({job="app"} | json | drop __error__, __error_details__ [1m])"#, 1, 3.0),
        (r#"sum by (__signalbox_offset) (count_over_time({job="app"}[1m]))"#, 1, 3.0),
        (
            r#"sum by (__signalbox_offset, x) (rate({job="app"} != `y` | label_format x=`1` [1s]))"#,
            1,
            1.0,
        ),
        (r#"max by (__signalbox_offset) (count_over_time({job="app"} |> `<_>` [1m]))"#, 1, 3.0),
        (r#"sum(count_over_time({job="app"} | __signalbox_offset=`` [1m]))"#, 1, 3.0),
        (r#"sum(count_over_time({job="app"} | __signalbox_offset=`1` [1m]))"#, 0, 0.0),
    ] {
        let at = TimestampNs(3 * SECOND);
        let options = InstantOptions::default();
        let context = QueryContext::unlimited();
        let found = evaluate_instant(&parse(query).unwrap(), at, &options, &logs, &context);
        let Value::Metric(promql::Value::Vector(vector)) = found.unwrap().value else { panic!() };
        let values: Vec<_> = vector.iter().map(|sample| sample.value.clone()).collect();
        assert_eq!(values, vec![SampleValue::Float(value); series], "{query}");
        let is_noted = |name: &str| name.starts_with(BOOKKEEPING);
        assert!(!vector.iter().any(|sample| sample.labels.iter().any(|(n, _)| is_noted(n))));
    }
}
