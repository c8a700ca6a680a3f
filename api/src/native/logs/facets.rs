//! `facets`: the most frequent values of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use axum::extract::State;
use model::log::{LEVEL, is_bookkeeping};
use model::read::Direction;
use model::{Labels, LogSource, QueryContext};

use super::{Asked, every, half_open, hold_key, number, record};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::prometheus::{Answer, Remarks, json_response, write_success};
use crate::state::App;

/// Fields of one request, at most.
const FIELDS_MAX: usize = 20;
/// Values of each field if the request does not say, and at most.
const VALUES: usize = 10;
const VALUES_MAX: usize = 1000;

/// Records and bytes by value; an empty value stands for none.
type Values = BTreeMap<String, (u64, u64)>;

/// `facets`.
pub(super) async fn facets(State(app): App, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters, app.state.clock.as_ref())?;
    let limit = number(&parameters, "limit", VALUES, 1..=VALUES_MAX)?;
    let names = parameters.get("fields").unwrap_or("").split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty() && !is_bookkeeping(name));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.len() > FIELDS_MAX {
        let message = format!("{} fields, {FIELDS_MAX} are accepted", names.len());
        return Err(Error::parameter("fields", message).into());
    }
    let shared = app.clone();
    let body = app.runner.respond(None, move |context, _, json| {
        let source = (shared.state.logs.as_ref(), context);
        let names = if names.is_empty() { usual_fields(&asked, source)? } else { names };
        let facets = match asked.counts(asked.over, i64::MAX) {
            Some(_) => count(&asked, &names, source)?,
            None => read(&asked, &names, source)?,
        };
        write_success(json, &Remarks::default(), |json| write(json, &names, &facets, limit));
        Ok(())
    });
    Ok(json_response(body.await?))
}

/// The labels of the streams, and the level.
fn usual_fields(
    asked: &Asked,
    (source, context): (&dyn LogSource, &QueryContext),
) -> Result<Vec<String>> {
    let streams = source.streams(&asked.log.matchers, half_open(asked.over), context)?;
    let names = streams.iter().flat_map(Labels::iter).map(|(name, _)| name);
    let names: BTreeSet<&str> = names.chain([LEVEL]).collect();
    Ok(names.into_iter().take(FIELDS_MAX).map(str::to_owned).collect())
}

/// Each field on its own: all together would be told apart by every combination of their values.
fn count(
    asked: &Asked,
    names: &[String],
    (source, context): (&dyn LogSource, &QueryContext),
) -> Result<Vec<Values>> {
    let mut facets = Vec::new();
    for name in names {
        let mut values = Values::new();
        let Some(mut request) = asked.counts(asked.over, i64::MAX) else { continue };
        request.by_fields = vec![name.clone()];
        let mut held = Ok(());
        source.count(&request, context, &mut |count| {
            let value = count.fields.first().copied().unwrap_or_default();
            held = add(&mut values, value, (count.records, count.bytes), context);
            if held.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        held?;
        facets.push(values);
    }
    Ok(facets)
}

/// By reading lines, for queries that a store can not count.
fn read(
    asked: &Asked,
    names: &[String],
    source: (&dyn LogSource, &QueryContext),
) -> Result<Vec<Values>> {
    let mut facets = vec![Values::new(); names.len()];
    let (range, context) = (half_open(asked.over), source.1);
    asked.visit(range, Direction::Forward, &every, source, &mut |row, stream, entry| {
        for (name, values) in names.iter().zip(&mut facets) {
            let value = record::value(&stream, &entry, name).unwrap_or_default();
            add(values, value, (1, row.line.len() as u64), context)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(facets)
}

fn add(
    values: &mut Values,
    value: &str,
    (records, bytes): (u64, u64),
    context: &QueryContext,
) -> Result<(), query::EvalError> {
    let known = match values.get_mut(value) {
        Some(known) => known,
        None => {
            hold_key(context, value)?;
            values.entry(value.to_owned()).or_default()
        }
    };
    known.0 += records;
    known.1 += bytes;
    Ok(())
}

fn write(json: &mut Json, names: &[String], facets: &[Values], limit: usize) {
    let records = |values: &Values| values.values().map(|(records, _)| records).sum::<u64>();
    let total = facets.first().map_or(0, records);
    json.raw_fmt(format_args!("{{\"records\":{total},\"facets\":"));
    json.array(names.iter().zip(facets), |json, (name, values)| {
        let without = values.get("").map_or(0, |(records, _)| *records);
        let mut most: Vec<_> = values.iter().filter(|(value, _)| !value.is_empty()).collect();
        let distinct = most.len();
        most.sort_by_key(|(_, (records, _))| std::cmp::Reverse(*records));
        most.truncate(limit);
        let shown: u64 = most.iter().map(|(_, (records, _))| *records).sum();
        json.raw(r#"{"field":"#);
        json.string(name);
        json.raw_fmt(format_args!(
            ",\"distinct\":{distinct},\"without\":{without},\"others\":{},\"values\":",
            total.saturating_sub(without).saturating_sub(shown)
        ));
        json.array(&most, |json, (value, (records, bytes))| {
            json.raw(r#"{"value":"#);
            json.string(value);
            json.raw_fmt(format_args!(",\"records\":{records},\"bytes\":{bytes}}}"));
        });
        json.raw("}");
    });
    json.raw("}");
}
