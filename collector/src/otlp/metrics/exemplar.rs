//! Exemplars with their trace.

use model::labels::Labels;
use model::sample::Exemplar;
use proto::otlp::{ExemplarRef, NumberValue};

use crate::otlp::fields::{to_hex, to_text, to_time};
use crate::otlp::naming::label_name;
use crate::otlp::translation::Translation;
use crate::rejection::Rejection;

/// Filtered attributes of an exemplar are kept if all of its labels are up to so many characters
/// (OpenMetrics).
const CHARS_MAX: usize = 128;

/// The exemplar; `None` if it has no value or no time.
pub(super) fn to_exemplar(
    exemplar: &ExemplarRef<'_>,
    translation: &Translation,
) -> Result<Option<Exemplar>, Rejection> {
    let value = match exemplar.value {
        Some(NumberValue::Int(value)) => value as f64,
        Some(NumberValue::Double(value)) => value,
        None => return Ok(None),
    };
    let Some(at) = to_time(exemplar.time_unix_nano) else { return Ok(None) };
    let ids = [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)]
        .into_iter()
        .filter(|(_, id)| id.iter().any(|byte| *byte != 0))
        .map(|(name, id)| (name.to_owned(), to_hex(id)));
    let ids: Vec<(String, String)> = ids.collect();
    let mut labels: Vec<(String, String)> = Vec::new();
    for attribute in exemplar.filtered_attributes() {
        let attribute = attribute?;
        if let Some(name) = label_name(attribute.key, translation) {
            labels.push((name.into_owned(), to_text(attribute.value)?.into_owned()));
        }
    }
    let all = labels.iter().chain(&ids);
    let chars: usize = all.map(|(n, v)| n.chars().count() + v.chars().count()).sum();
    if chars > CHARS_MAX {
        labels.clear();
    }
    // Of equal names the last one counts: the ids win.
    labels.extend(ids);
    Ok(Some(Exemplar { labels: Labels::from_pairs(labels), value, at: at.to_ms() }))
}
