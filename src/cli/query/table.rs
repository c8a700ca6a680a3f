//! Labels and values in columns, made so that the eye finds what differs.
//!
//! What all series have in common is told once, above; a column is a label whose value differs.

use std::collections::BTreeSet;

use model::labels::METRIC_NAME;
use query::text::quote;

use super::answer::Metric;
use super::screen::Screen;

/// How the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the left; may be shortened.
    Text,
    /// To the left; never shortened.
    Fixed,
    /// To the right, decimal points below each other.
    Number,
}

/// A column with as many cells as the others.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) header: String,
    pub(super) kind: Kind,
    pub(super) cells: Vec<String>,
}

impl Column {
    pub(super) fn new(header: &str, kind: Kind, cells: Vec<String>) -> Self {
        let cells = if kind == Kind::Number { align_points(cells) } else { cells };
        Column { header: header.to_owned(), kind, cells }
    }

    /// Columns of the screen that it takes if nothing is shortened.
    pub(super) fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.header.chars().count()]).max().unwrap_or(0)
    }
}

/// Blanks behind short fractions, so that numbers aligned to the right have their points in line.
fn align_points(cells: Vec<String>) -> Vec<String> {
    let tail = |cell: &str| cell.find('.').map_or(0, |point| cell.len() - point);
    let longest = cells.iter().map(|cell| tail(cell)).max().unwrap_or(0);
    cells
        .into_iter()
        .map(|cell| {
            let blanks = longest - tail(&cell);
            format!("{cell}{:blanks$}", "")
        })
        .collect()
}

/// Blanks between columns.
pub(super) const GAP: usize = 2;
/// A shortened column keeps at least this.
const SHORTENED_MIN: usize = 8;

/// The lines of a table with its header; texts are shortened until it fits the screen.
pub(super) fn lines(columns: &[Column], screen: Screen) -> Vec<String> {
    let mut widths: Vec<usize> = columns.iter().map(Column::width).collect();
    shrink(columns, &mut widths, screen.width);
    let line = |cell_of: &dyn Fn(&Column) -> String| {
        let cells: Vec<String> = columns
            .iter()
            .zip(&widths)
            .map(|(column, width)| {
                let cell = screen.shorten(&cell_of(column), *width);
                match column.kind {
                    Kind::Number => format!("{cell:>width$}"),
                    Kind::Text | Kind::Fixed => format!("{cell:<width$}"),
                }
            })
            .collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let count = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let header = screen.bold(&line(&|column| column.header.clone()));
    let rows =
        (0..count).map(|row| line(&|column| column.cells.get(row).cloned().unwrap_or_default()));
    std::iter::once(header).chain(rows).collect()
}

fn shrink(columns: &[Column], widths: &mut [usize], width_max: usize) {
    let gaps = GAP * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width_max {
        let texts = columns.iter().zip(widths.iter_mut()).filter(|(c, _)| c.kind == Kind::Text);
        match texts.map(|(_, width)| width).max() {
            Some(widest) if *widest > SHORTENED_MIN => *widest -= 1,
            _ => return,
        }
    }
}

/// What all metrics have in common, and the names of the labels that differ. One metric has all of
/// its labels in common.
pub(super) fn common_labels(metrics: &[&Metric]) -> (Metric, Vec<String>) {
    let Some((first, others)) = metrics.split_first() else {
        return (Metric::new(), Vec::new());
    };
    let mut common = (*first).clone();
    common.retain(|name, value| others.iter().all(|metric| metric.get(name) == Some(&*value)));
    let names: BTreeSet<&String> = metrics.iter().flat_map(|metric| metric.keys()).collect();
    let differs = |name: &&String| !common.contains_key(*name);
    let mut differing: Vec<String> = names.into_iter().filter(differs).cloned().collect();
    // What it is comes before whose it is.
    differing.sort_by_key(|name| name != METRIC_NAME);
    (common, differing)
}

/// Columns of the labels that differ.
pub(super) fn label_columns(metrics: &[&Metric], differing: &[String]) -> Vec<Column> {
    let columns = differing.iter().map(|name| {
        let cells = metrics.iter().map(|m| m.get(name).cloned().unwrap_or_else(|| "-".to_owned()));
        let header = if name == METRIC_NAME { "metric" } else { name };
        Column::new(header, Kind::Text, cells.collect())
    });
    columns.collect()
}

/// A metric as a selector: `name{label="value"}`.
pub(super) fn selector(metric: &Metric) -> String {
    let name = metric.get(METRIC_NAME).map_or("", String::as_str);
    let labels: Vec<String> = metric
        .iter()
        .filter(|(label, _)| *label != METRIC_NAME)
        .map(|(label, value)| format!("{label}={}", quote(value)))
        .collect();
    match labels.is_empty() && !name.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", labels.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(pairs: &[(&str, &str)]) -> Metric {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_labels_that_differ_are_columns() {
        let a = metric(&[("__name__", "up"), ("job", "node"), ("instance", "a")]);
        let b = metric(&[("__name__", "up"), ("job", "node"), ("instance", "b"), ("zone", "x")]);
        let (common, differing) = common_labels(&[&a, &b]);
        assert_eq!(selector(&common), "up{job=\"node\"}");
        assert_eq!(differing, ["instance", "zone"]);
        let (common, differing) = common_labels(&[&a]);
        assert_eq!(
            (selector(&common).as_str(), differing.len()),
            ("up{instance=\"a\", job=\"node\"}", 0)
        );
    }

    #[test]
    fn points_stand_in_line_and_long_texts_are_shortened() {
        let screen = Screen { width: 24, is_ascii: true, has_colour: false };
        let names = ["payment-7d9f8c-x2x4z", "b"].map(str::to_owned).to_vec();
        let values = ["12", "0.25"].map(str::to_owned).to_vec();
        let columns =
            [Column::new("pod", Kind::Text, names), Column::new("value", Kind::Number, values)];
        assert_eq!(
            lines(&columns, screen),
            ["pod                value", "payment-..c-x2x4z  12", "b                   0.25"]
        );
    }
}
