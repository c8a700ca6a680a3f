//! Queries that say which records to delete: those that a store can tell by itself.

use model::Matcher;
use model::log::LineCondition;

use super::ast::{LogExpr, Stage};
use super::request::{exact_condition, exact_matchers};

/// The conditions on lines and on fields that hold for exactly the lines of a query.
///
/// Fails with a sentence for a stage that a store knows nothing of: only line filters (no patterns,
/// no `ip()`) and comparisons of labels with texts, joined by `and`, are accepted.
pub fn selection(log: &LogExpr) -> Result<(Vec<LineCondition>, Vec<Matcher>), String> {
    let (mut lines, mut fields) = (Vec::new(), Vec::new());
    for stage in &log.stages {
        let is_known = match stage {
            Stage::Line(filter) => exact_condition(filter).map(|found| lines.push(found)).is_some(),
            Stage::Label(filter) => {
                exact_matchers(filter).map(|found| fields.extend(found)).is_some()
            }
            _ => false,
        };
        if !is_known {
            return Err(format!(
                "the stage {stage} can not select what to delete; line filters with texts or \
                 expressions, and comparisons of labels with texts are accepted"
            ));
        }
    }
    Ok((lines, fields))
}

#[cfg(test)]
mod tests {
    use super::super::{Expr, parse};
    use super::*;

    fn of(text: &str) -> Result<(usize, usize), String> {
        let Expr::Log(log) = parse(text).unwrap() else { panic!("{text} is no log query") };
        selection(&log).map(|(lines, fields)| (lines.len(), fields.len()))
    }

    #[test]
    fn filters_select_and_parsers_do_not() {
        assert_eq!(of(r#"{a="b"}"#), Ok((0, 0)));
        assert_eq!(of(r#"{a="b"} |= "x" !~ "y" | c="d" and e=~"f" |= "g""#), Ok((3, 2)));
        for text in [r#"{a="b"} | json"#, r#"{a="b"} |> "<_> x""#, r#"{a="b"} | c > 5"#] {
            assert!(of(text).unwrap_err().contains("line filters"), "{text}");
        }
    }
}
