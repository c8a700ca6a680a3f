//! `context`: what stood before and after a record.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use model::log::LogRow;
use model::read::{Direction, RangeNs};
use model::{Labels, LogSource, Matcher, QueryContext, TimestampNs};

use super::record::Record;
use super::text::Node;
use super::{Asked, duration_ns, log_query, number};
use crate::error::{Error, Result};
use crate::loki::range::HOUR_NS;
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Lines on either side if the request does not say, and at most.
const LINES: usize = 10;
const LINES_MAX: usize = 1000;

/// How far away lines are looked for if the request does not say.
const WITHIN_NS: i64 = 24 * HOUR_NS;

/// The record in the middle.
struct Middle {
    asked: Asked,
    /// Only this stream, whatever others the query selects.
    stream: Option<Labels>,
    at: TimestampNs,
    /// The first of that time without it.
    arrival: Option<u64>,
    within_ns: i64,
}

impl Middle {
    fn read(parameters: &Parameters) -> Result<Self> {
        let Some(at) = parameters.time_ns("at")? else {
            return Err(Error::parameter("at", "the time of the record is needed"));
        };
        let arrival = match parameters.get("arrival") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Error::parameter("arrival", format!("{text:?} is not the number of a record"))
            })?),
        };
        let within_ns = duration_ns(parameters, "within", WITHIN_NS)?;
        let mut log = log_query(parameters)?;
        let stream = stream(parameters)?;
        if stream.is_none() && log.matchers.is_empty() {
            return Err(Error::parameter("labels", "those of the stream, or a query, are needed"));
        }
        for (name, value) in stream.iter().flat_map(Labels::iter) {
            log.matchers.push(Matcher::equal(name, value));
        }
        let over = RangeNs { start: at, end: at };
        let asked = Asked { log, text: Node::And(Vec::new()), over };
        Ok(Middle { asked, stream, at, arrival, within_ns })
    }

    /// At most `count` records in one direction, the record itself among those that come after.
    fn side(
        &self,
        direction: Direction,
        count: usize,
        source: (&dyn LogSource, &QueryContext),
    ) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        if count == 0 {
            return Ok(found);
        }
        let is_backward = direction == Direction::Backward;
        let middle = (self.at, self.arrival.unwrap_or(0));
        let wants = |row: &LogRow<'_>| {
            let is_behind = (row.at, row.arrival) >= middle;
            is_behind != is_backward && self.stream.as_ref().is_none_or(|only| only == row.stream)
        };
        let range = if is_backward {
            RangeNs { start: self.at.plus_ns(-self.within_ns), end: self.at.plus_ns(1) }
        } else {
            RangeNs { start: self.at, end: self.at.plus_ns(self.within_ns).plus_ns(1) }
        };
        let context = source.1;
        self.asked.visit(range, direction, &wants, source, &mut |row, stream, entry| {
            context.hold(entry.held_bytes())?;
            found.push(Record::new(row, stream, entry, &self.asked.text));
            let is_full = found.len() >= count;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    fn is_it(&self, record: &Record) -> bool {
        let is_number = |arrival| record.entry.arrival == arrival;
        record.entry.at == self.at && self.arrival.is_none_or(is_number)
    }
}

/// `labels`, a JSON object.
fn stream(parameters: &Parameters) -> Result<Option<Labels>> {
    let Some(text) = parameters.get("labels") else { return Ok(None) };
    let pairs: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| {
        let message = format!("it is no JSON object of names with texts: {error}");
        Error::parameter("labels", message)
    })?;
    Ok(Some(Labels::from_pairs(pairs)))
}

/// `context`.
pub(super) async fn context(State(app): App, parameters: Parameters) -> Answer {
    let middle = Middle::read(&parameters)?;
    let before = number(&parameters, "before", LINES, 0..=LINES_MAX)?;
    let after = number(&parameters, "after", LINES, 0..=LINES_MAX)?;
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let source = (shared.state.logs.as_ref(), context);
        let mut before = middle.side(Direction::Backward, before, source)?;
        before.reverse();
        let mut behind = middle.side(Direction::Forward, after + 1, source)?;
        let record = behind.first().is_some_and(|first| middle.is_it(first));
        let record = record.then(|| behind.remove(0));
        behind.truncate(after);
        write_success(json, &Remarks::default(), |json| {
            json.raw(r#"{"before":"#);
            json.array(&before, |json, record| record.write(json));
            json.raw(r#","record":"#);
            match &record {
                Some(record) => record.write(json),
                None => json.raw("null"),
            }
            json.raw(r#","after":"#);
            json.array(&behind, |json, record| record.write(json));
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}
