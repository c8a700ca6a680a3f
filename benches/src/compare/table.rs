//! Figures of several stores side by side: a markdown table for people, JSON lines for scripts.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::store::Store;

/// One figure of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is, with its unit; the same for each store.
    pub label: String,
    /// The number, unless it could not be had.
    pub value: Option<f64>,
    /// Digits after the point.
    pub digits: usize,
    /// Whether ours divided by a peer's says anything.
    pub has_ratio: bool,
}

/// What one store did in one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The workload, with what distinguishes it: the number of series, say.
    pub case: String,
    /// Which store.
    pub store: Store,
    /// Its version.
    pub version: String,
    /// When it started, in RFC 3339.
    pub at: String,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What went wrong.
    pub problems: Vec<String>,
}

impl Run {
    /// Adds a figure that is compared.
    pub fn compare(&mut self, label: impl Into<String>, value: Option<f64>, digits: usize) {
        self.push(label.into(), value, digits, true);
    }

    /// Adds a figure that is only told.
    pub fn tell(&mut self, label: impl Into<String>, value: Option<f64>, digits: usize) {
        self.push(label.into(), value, digits, false);
    }

    fn push(&mut self, label: String, value: Option<f64>, digits: usize, has_ratio: bool) {
        // Nothing was accepted, so there was nothing to divide by.
        let value = value.filter(|value| value.is_finite());
        self.figures.push(Figure { label, value, digits, has_ratio });
    }

    /// Adds what went wrong, as one line.
    pub fn complain(&mut self, problem: impl std::fmt::Display) {
        let problem = problem.to_string();
        self.problems.push(problem.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    }

    /// One line of JSON, without its end.
    pub fn to_json(&self) -> String {
        let mut figures = Map::new();
        for figure in &self.figures {
            let value = figure.value.map_or(Value::Null, |value| json!(value));
            figures.insert(figure.label.clone(), value);
        }
        json!({
            "case": self.case,
            "store": self.store.name(),
            "version": self.version,
            "at": self.at,
            "figures": figures,
            "problems": self.problems,
        })
        .to_string()
    }
}

/// A table of the runs of one case: a row for each figure, a column for each store, and ours
/// divided by each peer's.
pub fn table(runs: &[Run]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let mut labels: Vec<&str> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.figures) {
        if !labels.contains(&figure.label.as_str()) {
            labels.push(&figure.label);
        }
    }
    let ours = runs.iter().find(|run| run.store == Store::Ours);
    let peers: Vec<&Run> = runs.iter().filter(|run| run.store != Store::Ours).collect();
    let mut rows = Vec::new();
    let mut header = vec![first.case.clone()];
    header.extend(runs.iter().map(|run| format!("{} {}", run.store.name(), run.version)));
    if ours.is_some() {
        header.extend(peers.iter().map(|peer| format!("ours / {}", peer.store.name())));
    }
    rows.push(header);
    for label in labels {
        let find = |run: &Run| run.figures.iter().find(|figure| figure.label == label).cloned();
        let mut row = vec![label.to_owned()];
        row.extend(runs.iter().map(|run| find(run).map_or_else(dash, |figure| figure.text())));
        if let Some(ours) = ours {
            row.extend(peers.iter().map(|peer| {
                let (one, other) = (find(ours), find(peer));
                ratio(one.as_ref(), other.as_ref())
                    .map_or_else(dash, |ratio| format!("{ratio:.2}x"))
            }));
        }
        rows.push(row);
    }
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        // Writing to a string can not fail.
        writeln!(text, "| {} |", row.join(" | ")).unwrap_or_default();
        if index == 0 {
            writeln!(text, "|{}", " --- |".repeat(row.len())).unwrap_or_default();
        }
    }
    for run in runs {
        for problem in &run.problems {
            writeln!(text, "\n{}: {problem}", run.store.name()).unwrap_or_default();
        }
    }
    text
}

fn dash() -> String {
    "-".to_owned()
}

fn ratio(ours: Option<&Figure>, peer: Option<&Figure>) -> Option<f64> {
    let (ours, peer) = (ours?, peer?);
    let ratio = ours.value? / peer.value?;
    (ours.has_ratio && ratio.is_finite()).then_some(ratio)
}

impl Figure {
    /// The number with its thousands apart.
    fn text(&self) -> String {
        let Some(value) = self.value else { return dash() };
        let text = format!("{value:.*}", self.digits);
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text.as_str(), None),
        };
        let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
        let mut grouped = sign.to_owned();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        if let Some(fraction) = fraction {
            grouped.push('.');
            grouped.push_str(fraction);
        }
        grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(store: Store, figures: &[(&str, Option<f64>, usize)]) -> Run {
        let mut run = Run {
            case: "p".to_owned(),
            store,
            version: "1".to_owned(),
            at: "2026-11-22T04:00:00.000Z".to_owned(),
            figures: Vec::new(),
            problems: Vec::new(),
        };
        for (label, value, digits) in figures {
            run.compare(*label, *value, *digits);
        }
        run
    }

    #[test]
    fn ratios_are_ours_by_a_peer() {
        let mut ours = run(Store::Ours, &[("CPU s", Some(1.5), 1), ("only ours", Some(1.0), 0)]);
        ours.tell("requests", Some(12_345.0), 0);
        let mut prometheus = run(Store::Prometheus, &[("CPU s", Some(6.0), 1)]);
        prometheus.tell("requests", Some(-999_999.6), 0);
        prometheus.complain("lost\n one");
        let victoria = run(Store::VictoriaMetrics, &[("CPU s", Some(0.0), 1)]);
        let text = table(&[ours, prometheus, victoria]);
        let expected = "\
| p | signalbox 1 | prometheus 1 | victoriametrics 1 | ours / prometheus | ours / victoriametrics |
| --- | --- | --- | --- | --- | --- |
| CPU s | 1.5 | 6.0 | 0.0 | 0.25x | - |
| only ours | 1 | - | - | - | - |
| requests | 12,345 | -1,000,000 | - | - | - |

prometheus: lost one
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_ours_there_are_no_ratios() {
        let text = table(&[run(Store::Prometheus, &[("a", Some(f64::NAN), 2)])]);
        assert_eq!(text, "| p | prometheus 1 |\n| --- | --- |\n| a | - |\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn a_line_of_json_has_every_figure() {
        let line = run(Store::Ours, &[("a", Some(0.5), 2), ("b", None, 0)]).to_json();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["figures"], json!({"a": 0.5, "b": null}));
        assert_eq!(value["store"], "signalbox");
    }
}
