//! Deletions: samples that queries no longer see at once, and that merges leave out once the time to
//! take the deletion back has passed.

use model::labels::Labels;
use model::read::RangeMs;
use model::{MatchOp, Matcher, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::columns::{Columns, Runs, expand_starts};

/// A matcher as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenMatcher {
    name: String,
    op: String,
    value: String,
}

impl WrittenMatcher {
    pub(crate) fn of(matcher: &Matcher) -> Self {
        WrittenMatcher {
            name: matcher.name.clone(),
            op: matcher.op.as_str().to_owned(),
            value: matcher.value.clone(),
        }
    }

    pub(crate) fn matcher(&self) -> model::Result<Matcher> {
        let op = match self.op.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Matches,
            "!~" => MatchOp::NotMatches,
            other => {
                return Err(model::Error::bad_request(format!(
                    "unknown matcher operator {other:?}"
                )));
            }
        };
        Matcher::new(&self.name, op, &self.value)
    }
}

/// One deletion as the manifest keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) id: u64,
    pub(crate) matchers: Vec<WrittenMatcher>,
    /// Both ends included, in milliseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// On the wall clock.
    pub(crate) made_at: i64,
    /// Blocks sealed later hold samples that came after the deletion, which it does not touch.
    pub(crate) newest_seal: u64,
}

/// A deletion as queries apply it.
#[derive(Debug, Clone)]
pub(crate) struct Mask {
    pub(crate) id: u64,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: RangeMs,
    pub(crate) newest_seal: u64,
}

impl Mask {
    pub(crate) fn of(deletion: &Deletion) -> model::Result<Mask> {
        let matchers: model::Result<Vec<_>> =
            deletion.matchers.iter().map(WrittenMatcher::matcher).collect();
        Ok(Mask {
            id: deletion.id,
            matchers: matchers?,
            range: RangeMs { start: TimestampMs(deletion.start), end: TimestampMs(deletion.end) },
            newest_seal: deletion.newest_seal,
        })
    }

    /// Whether it hides samples of this series in a block.
    pub(crate) fn hides(&self, newest_seal: u64, labels: &Labels) -> bool {
        newest_seal <= self.newest_seal && Matcher::all_match(&self.matchers, labels)
    }
}

/// Takes everything inside `range` out of `columns`.
pub(crate) fn cut(columns: &mut Columns, range: RangeMs) {
    let inside = |at: i64| range.contains(TimestampMs(at));
    if columns.times.iter().any(|at| inside(*at)) && !columns.values.is_empty() {
        let starts = expand_starts(&columns.starts, columns.values.len());
        let (mut times, mut values, mut runs) = (Vec::new(), Vec::new(), Runs::default());
        for ((at, value), start) in columns.times.iter().zip(&columns.values).zip(starts) {
            if !inside(*at) {
                runs.add(times.len(), start);
                times.push(*at);
                values.push(*value);
            }
        }
        columns.times = std::sync::Arc::new(times);
        columns.values = values;
        columns.starts = runs.done();
    }
    columns.histograms.retain(|sample| !inside(sample.at.0));
    columns.exemplars.retain(|exemplar| !inside(exemplar.at.0));
}
