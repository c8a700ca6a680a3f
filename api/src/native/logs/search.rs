//! `search`: lines that a query and a text find, page by page.

use std::ops::ControlFlow;

use axum::extract::State;
use model::log::LogRow;
use model::read::Direction;

use super::cursor::Cursor;
use super::record::Record;
use super::{Asked, number};
use crate::error::{Error, Result};
use crate::loki::range;
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Lines of a page if the request does not say.
const LINES: usize = 100;

/// The cursor of a request, if it goes on with a search.
fn cursor(parameters: &Parameters, search: u64) -> Result<Option<Cursor>> {
    let Some(text) = parameters.get("cursor") else { return Ok(None) };
    match Cursor::parse(text) {
        Some(cursor) if cursor.search == search => Ok(Some(cursor)),
        Some(_) => Err(Error::parameter("cursor", "it is that of another query or text")),
        None => Err(Error::parameter("cursor", "it is not one that a search answered")),
    }
}

/// `search`.
pub(super) async fn search(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "limit", LINES, 1..=app.state.options.log_lines_max)?;
    let [query, text] = ["query", "text"].map(|name| parameters.get(name).unwrap_or(""));
    let search = Cursor::hash_of(query, text);
    let cursor = cursor(&parameters, search)?;
    let (over, direction) = match cursor {
        Some(cursor) => (cursor.over, cursor.direction),
        None => (asked.over, range::direction(&parameters)?),
    };
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let mut records: Vec<Record> = Vec::new();
        let rest = cursor.map_or(over, |cursor| cursor.rest());
        let wants = |row: &LogRow<'_>| cursor.is_none_or(|cursor| cursor.is_before(row));
        let source = (shared.state.logs.as_ref(), context);
        let stats = asked.visit(rest, direction, &wants, source, &mut |row, stream, entry| {
            context.hold(entry.held_bytes())?;
            records.push(Record::new(row, stream, entry, &asked.text));
            let is_full = records.len() >= limit;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let last = records.last().filter(|_| records.len() >= limit);
        let next = last.map(|record| {
            let (at, arrival) = (record.entry.at, record.entry.arrival);
            Cursor { direction, over, at, arrival, search }.write()
        });
        write_success(json, &Remarks::default(), |json| {
            json.raw(r#"{"direction":"#);
            json.string(if direction == Direction::Backward { "backward" } else { "forward" });
            json.raw(r#","cursor":"#);
            match &next {
                Some(cursor) => json.string(cursor),
                None => json.raw("null"),
            }
            json.raw_fmt(format_args!(
                ",\"linesRead\":{},\"bytesRead\":{},\"records\":",
                stats.lines_read, stats.bytes_read
            ));
            json.array(&records, |json, record| record.write(json));
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}
