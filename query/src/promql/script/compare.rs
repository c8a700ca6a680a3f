//! Whether a result is what a case expects.

use model::Labels;

use super::Check;
use super::case::{Case, Points};
use super::notation::{Item, same_float, same_histogram};
use crate::promql::eval::{Evaluation, MatrixSeries, SampleValue, Value};

impl Case {
    /// Passes if the failure is expected, with or without its place in the query.
    pub(super) fn check_failure(&self, full: &str, message: Option<&str>) -> Check {
        match &self.fail {
            Some(text) if text.matches(full) || message.is_some_and(|m| text.matches(m)) => Ok(()),
            Some(_) => Err(format!("failed with another message: {full}")),
            None => Err(format!("failed: {full}")),
        }
    }

    fn succeeded(&self, result: Check<Evaluation>) -> Check<Option<Evaluation>> {
        match result {
            Err(message) => self.check_failure(&message, None).map(|()| None),
            Ok(_) if self.fail.is_some() => Err("succeeded, but a failure is expected".into()),
            Ok(evaluation) => self.check_annotations(&evaluation).map(|()| Some(evaluation)),
        }
    }

    pub(super) fn check_instant(&self, result: Check<Evaluation>) -> Check {
        match self.succeeded(result)? {
            Some(evaluation) => self.compare_instant(&evaluation.value, self.ordered),
            None => Ok(()),
        }
    }

    pub(super) fn check_range(&self, result: Check<Evaluation>, points: Points) -> Check {
        let Some(evaluation) = self.succeeded(result)? else { return Ok(()) };
        let Value::Matrix(matrix) = &evaluation.value else {
            return Err(format!("found {:?}", evaluation.value));
        };
        if self.ordered || self.scalar.is_some() || self.string.is_some() {
            return Err("a range query answers neither a scalar, a string nor an order".into());
        }
        self.compare_matrix(matrix, points)
    }

    fn check_annotations(&self, evaluation: &Evaluation) -> Check {
        let kinds = [
            ("warning", &self.warnings, self.no_warnings, &evaluation.warnings),
            ("info", &self.infos, self.no_infos, &evaluation.infos),
        ];
        for (kind, wanted, none, found) in kinds {
            if none && !found.is_empty() {
                return Err(format!("unexpected {kind}: {found:?}"));
            }
            if wanted.is_empty() {
                continue;
            }
            if let Some(missing) = wanted.iter().find(|w| !found.iter().any(|f| w.matches(f))) {
                return Err(format!("no {kind} like {missing:?}, found {found:?}"));
            }
            if let Some(extra) = found.iter().find(|f| !wanted.iter().any(|w| w.matches(f))) {
                return Err(format!("unexpected {kind} {extra:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn compare_instant(&self, value: &Value, ordered: bool) -> Check {
        match (value, &self.string, self.scalar) {
            (Value::String { value, .. }, Some(wanted), _) if value == wanted => Ok(()),
            (Value::Scalar { value, .. }, None, Some(wanted)) if same_float(*value, wanted) => {
                Ok(())
            }
            (Value::Vector(samples), None, None) => {
                let found: Vec<(&Labels, Item)> = samples
                    .iter()
                    .map(|sample| (&sample.labels, Item::from(&sample.value)))
                    .collect();
                self.compare_vector(&found, ordered)
            }
            (Value::Matrix(matrix), None, None) => {
                let Some(points) = self.range_vector else {
                    return Err("the result is a range vector, which is not expected".into());
                };
                self.compare_matrix(matrix, points)
            }
            _ => Err(format!("found {value:?}")),
        }
    }

    fn compare_vector(&self, found: &[(&Labels, Item)], ordered: bool) -> Check {
        if found.len() != self.series.len() {
            return Err(format!("{} elements expected, found {found:?}", self.series.len()));
        }
        for (position, (labels, wanted)) in self.series.iter().enumerate() {
            let Some(place) = found.iter().position(|(other, _)| *other == labels) else {
                return Err(format!("{labels} is missing, found {found:?}"));
            };
            if ordered && place != position {
                return Err(format!("{labels} is at position {place} instead of {position}"));
            }
            let (Some(wanted), 1) = (wanted.first(), wanted.len()) else {
                return Err(format!("{labels} must have one expected value"));
            };
            if !same_item(wanted, &found[place].1) {
                return Err(format!("{labels}: expected {wanted:?}, found {:?}", found[place].1));
            }
        }
        Ok(())
    }

    fn compare_matrix(&self, matrix: &[MatrixSeries], points: Points) -> Check {
        if !matrix.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
            return Err("the result is not sorted by labels".into());
        }
        if matrix.len() != self.series.len() {
            return Err(format!("{} series expected, found {matrix:?}", self.series.len()));
        }
        for (labels, wanted) in &self.series {
            let Some(found) = matrix.iter().find(|series| series.labels == *labels) else {
                return Err(format!("{labels} is missing, found {matrix:?}"));
            };
            let mut samples: Vec<(i64, Item)> =
                found.points.iter().map(|(at, value)| (at.0, Item::Float(*value))).collect();
            let histograms = found.histograms.iter();
            samples.extend(histograms.map(|(at, h)| (at.0, Item::Histogram((**h).clone(), None))));
            samples.sort_by_key(|(at, _)| *at);
            let times = (0i64..).map(|i| points.start + i * points.step);
            let timed: Vec<(i64, &Item)> = times.zip(wanted).collect();
            if timed.last().is_some_and(|(at, _)| *at > points.end) {
                let count = wanted.len();
                return Err(format!("{labels}: {count} values reach beyond the last time"));
            }
            let wanted: Vec<(i64, &Item)> =
                timed.into_iter().filter(|(_, item)| !matches!(item, Item::Missing)).collect();
            let same = wanted.len() == samples.len()
                && wanted.iter().zip(&samples).all(|((at, wanted), (found_at, found))| {
                    at == found_at && same_item(wanted, found)
                });
            if !same {
                return Err(format!("{labels}: expected {wanted:?}, found {samples:?}"));
            }
        }
        Ok(())
    }
}

impl From<&SampleValue> for Item {
    fn from(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Item::Float(*value),
            SampleValue::Histogram(histogram) => Item::Histogram((**histogram).clone(), None),
        }
    }
}

fn same_item(wanted: &Item, found: &Item) -> bool {
    match (wanted, found) {
        (Item::Float(a), Item::Float(b)) => same_float(*a, *b),
        (Item::Histogram(a, hint), Item::Histogram(b, _)) => {
            same_histogram(a, b) && hint.is_none_or(|hint| hint == b.reset_hint)
        }
        _ => false,
    }
}
