//! `distinct`: the different values of a field, or the different lines, with when they came.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::TimestampNs;
use model::read::Direction;

use super::{Asked, choice, every, hold_key, number, record};
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Values if the request does not say, and at most.
const VALUES: usize = 100;
const VALUES_MAX: usize = 10_000;

/// How often, and from when to when.
struct Seen {
    records: u64,
    first: TimestampNs,
    last: TimestampNs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Records,
    First,
    Last,
    Value,
}

const SORTS: [(&str, Sort); 4] = [
    ("records", Sort::Records),
    ("first", Sort::First),
    ("last", Sort::Last),
    ("value", Sort::Value),
];

/// `distinct`.
pub(super) async fn distinct(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "limit", VALUES, 1..=VALUES_MAX)?;
    let sort = choice(&parameters, "sort", &SORTS, Sort::Records)?;
    let field = parameters.get("field").map(str::to_owned);
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let mut values: BTreeMap<String, Seen> = BTreeMap::new();
        let source = (shared.state.logs.as_ref(), context);
        let direction = Direction::Forward;
        let mut records = 0_u64;
        asked.visit(asked.over, direction, &every, source, &mut |_, stream, entry| {
            records += 1;
            let value = match &field {
                Some(name) => record::value(&stream, &entry, name),
                None => Some(entry.line.as_str()),
            };
            let Some(value) = value else { return Ok(ControlFlow::Continue(())) };
            if let Some(seen) = values.get_mut(value) {
                seen.records += 1;
                seen.last = entry.at;
            } else {
                hold_key(context, value)?;
                let seen = Seen { records: 1, first: entry.at, last: entry.at };
                values.insert(value.to_owned(), seen);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let distinct = values.len();
        let mut values: Vec<_> = values.into_iter().collect();
        match sort {
            Sort::Records => values.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.records)),
            Sort::First => values.sort_by_key(|(_, seen)| seen.first),
            Sort::Last => values.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.last)),
            Sort::Value => {}
        }
        values.truncate(limit);
        write_success(json, &Remarks::default(), |json| {
            json.raw_fmt(format_args!(
                "{{\"records\":{records},\"distinct\":{distinct},\"values\":"
            ));
            json.array(&values, |json, (value, seen)| {
                json.raw(r#"{"value":"#);
                json.string(value);
                json.raw_fmt(format_args!(
                    ",\"records\":{},\"first\":\"{}\",\"last\":\"{}\"}}",
                    seen.records, seen.first.0, seen.last.0
                ));
            });
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}
