//! `fields`: which fields lines have, and where those come from. Loki's names put attributes of the
//! resource, the scope and the record on one heap; the store keeps them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use axum::extract::State;
use model::read::Direction;

use super::text::Place;
use super::{Asked, choice, every, hold_key, number, record};
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Lines that are read if the request does not say, and at most.
const LINES: usize = 1000;
const LINES_MAX: usize = 100_000;
/// Values that are shown of each field.
const EXAMPLES: usize = 5;
/// Values of each field that are counted.
const VALUES_MAX: usize = 1000;

/// What lines say of a field.
#[derive(Default)]
struct Seen {
    records: u64,
    values: BTreeSet<String>,
    examples: Vec<String>,
}

/// `fields`.
pub(super) async fn fields(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "line_limit", LINES, 1..=LINES_MAX)?;
    let places = Place::ALL.map(|(name, place)| (name, Some(place)));
    let only = choice(&parameters, "origin", &places, None)?;
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let mut found: BTreeMap<(&'static str, String), Seen> = BTreeMap::new();
        let source = (shared.state.logs.as_ref(), context);
        let direction = Direction::Backward;
        let mut lines = 0;
        asked.visit(asked.over, direction, &every, source, &mut |row, stream, entry| {
            for (place, name, value) in record::fields(row, &stream, &entry) {
                if only.is_some_and(|only| only != place) {
                    continue;
                }
                let key = (place.name(), name.to_owned());
                if !found.contains_key(&key) {
                    hold_key(context, name)?;
                }
                let seen = found.entry(key).or_default();
                seen.records += 1;
                if seen.values.len() < VALUES_MAX && !seen.values.contains(value) {
                    hold_key(context, value)?;
                    seen.values.insert(value.to_owned());
                    if seen.examples.len() < EXAMPLES {
                        seen.examples.push(value.to_owned());
                    }
                }
            }
            lines += 1;
            Ok(if lines < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        write_success(json, &Remarks::default(), |json| {
            json.raw_fmt(format_args!("{{\"lines\":{lines},\"fields\":"));
            json.array(&found, |json, ((place, name), seen)| {
                json.raw(r#"{"name":"#);
                json.string(name);
                json.raw_fmt(format_args!(
                    ",\"origin\":\"{place}\",\"records\":{},\"values\":{},\"examples\":",
                    seen.records,
                    seen.values.len()
                ));
                json.strings(&seen.examples);
                json.raw("}");
            });
            json.raw("}");
        });
        Ok(())
    });
    Ok(json_response(body.await?))
}
