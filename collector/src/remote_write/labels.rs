//! Which labels may name a series.

use model::labels::METRIC_NAME;

/// Why labels are refused: the reason's word and a sentence.
pub(super) type Refused = (&'static str, String);

/// Makes labels what a store takes: sorted, unique, none empty, a metric name among them. Senders
/// should sort them, and mostly do.
#[inline]
pub(super) fn normalize(labels: &mut Vec<(&str, &str)>) -> Result<(), Refused> {
    let mut is_sorted = true;
    let mut has_empty = false;
    let mut has_name = false;
    let mut before = "";
    for (name, value) in labels.iter() {
        // Also true of a repeated name, and of an empty one.
        is_sorted &= before < *name;
        has_empty |= value.is_empty();
        has_name |= *name == METRIC_NAME;
        before = name;
    }
    if !is_sorted {
        sort(labels)?;
    }
    if has_empty {
        labels.retain(|(_, value)| !value.is_empty());
        has_name = labels.iter().any(|(name, _)| *name == METRIC_NAME);
    }
    if !has_name {
        let example = format!("a series has no metric name: {}", show(labels));
        return Err(("no_metric_name", example));
    }
    Ok(())
}

#[cold]
fn sort(labels: &mut [(&str, &str)]) -> Result<(), Refused> {
    labels.sort_unstable();
    if labels.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(("bad_labels", format!("a label name is empty: {}", show(labels))));
    }
    let repeated = labels.windows(2).find(|pair| pair[0].0 == pair[1].0);
    match repeated {
        None => Ok(()),
        Some(pair) => {
            let name = pair[0].0;
            let example = format!("the label name {name:?} is repeated: {}", show(labels));
            Err(("duplicate_labels", example))
        }
    }
}

/// Labels for a sentence, cut where they are long.
pub(super) fn show(labels: &[(&str, &str)]) -> String {
    const CHARS_MAX: usize = 300;
    let pairs: Vec<String> =
        labels.iter().take(20).map(|(name, value)| format!("{name}={value:?}")).collect();
    let mut text = format!("{{{}}}", pairs.join(", "));
    if text.len() > CHARS_MAX {
        text.truncate(text.floor_char_boundary(CHARS_MAX));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[(&str, &str)], expected: Result<&str, &str>) {
        let mut labels = labels.to_vec();
        let got = normalize(&mut labels).map(|()| show(&labels)).map_err(|(reason, _)| reason);
        assert_eq!(got.as_deref().map_err(|reason| *reason), expected);
    }

    #[test]
    fn labels_are_made_sorted_unique_and_named_or_refused() {
        check(&[("__name__", "up"), ("a", "1")], Ok(r#"{__name__="up", a="1"}"#));
        check(&[("a", "1"), ("__name__", "up")], Ok(r#"{__name__="up", a="1"}"#));
        check(&[("__name__", "up"), ("a", ""), ("b", "2")], Ok(r#"{__name__="up", b="2"}"#));
        check(&[("__name__", "a b.c"), ("d e", "\n")], Ok(r#"{__name__="a b.c", d e="\n"}"#));
        check(&[], Err("no_metric_name"));
        check(&[("a", "1")], Err("no_metric_name"));
        check(&[("__name__", ""), ("a", "1")], Err("no_metric_name"));
        check(&[("__name__", "up"), ("", "1")], Err("bad_labels"));
        check(&[("", "1"), ("__name__", "up")], Err("bad_labels"));
        check(&[("__name__", "up"), ("a", "1"), ("a", "1")], Err("duplicate_labels"));
        check(&[("a", "1"), ("__name__", "up"), ("a", "2")], Err("duplicate_labels"));
    }
}
