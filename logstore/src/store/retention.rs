//! Retention: what is too old is not seen, and its room is freed part by part.

use std::sync::Arc;

use model::labels::Labels;
use model::read::RangeNs;
use model::{LogSelection, MatchOp, Matcher, TimestampMs, TimestampNs};

use crate::cursor::Hidden;
use crate::error::Result;
use crate::options::RetentionRule;
use crate::store::LogStore;
use crate::store::maintain::Maintenance;
use crate::view::OpenPart;

/// Parts keep counts in cells of this length: a cutoff between two of them costs counts nothing.
/// Records may be seen for as much longer.
const CELL_MS: i64 = 10_000;

/// How often parts are looked at for streams whose own retention is over.
const RULES_EVERY_MS: i64 = 60_000;

/// A part is written again when at least one of so many of its records is hidden.
const HIDDEN_ONE_OF: u64 = 4;

/// How long records are kept.
#[derive(Debug)]
pub(super) struct Retention {
    /// The first whose matchers all match counts; the last has none. 0 keeps records.
    rules: Vec<RetentionRule>,
    /// Matchers that no two streams of different rules share, and how long their records are kept.
    apart: Vec<RetentionRule>,
}

/// The matcher that matches what `matcher` does not.
fn opposite(matcher: &Matcher) -> Option<Matcher> {
    let op = match matcher.op {
        MatchOp::Equal => MatchOp::NotEqual,
        MatchOp::NotEqual => MatchOp::Equal,
        MatchOp::Matches => MatchOp::NotMatches,
        MatchOp::NotMatches => MatchOp::Matches,
    };
    // It compiled before.
    Matcher::new(&matcher.name, op, &matcher.value).ok()
}

impl Retention {
    pub(super) fn new(keep_ms: i64, rules: &[RetentionRule]) -> Self {
        let mut rules = rules.to_vec();
        rules.push(RetentionRule { matchers: Vec::new(), keep_ms });
        let mut apart = Vec::new();
        // Each is a way in which all rules before fail: one matcher of each of them does not match.
        let mut others: Vec<Vec<Matcher>> = vec![Vec::new()];
        for rule in &rules {
            if rule.keep_ms > 0 {
                apart.extend(others.iter().map(|others| RetentionRule {
                    matchers: others.iter().chain(&rule.matchers).cloned().collect(),
                    keep_ms: rule.keep_ms,
                }));
            }
            let fails: Vec<Matcher> = rule.matchers.iter().filter_map(opposite).collect();
            others = others
                .iter()
                .flat_map(|before| {
                    fails.iter().map(|fails| before.iter().chain([fails]).cloned().collect())
                })
                .collect();
        }
        Retention { rules, apart }
    }

    /// How long records of a stream are kept; 0 for ever.
    pub(super) fn keep_ms(&self, stream: &Labels) -> i64 {
        let rule = self.rules.iter().find(|rule| Matcher::all_match(&rule.matchers, stream));
        rule.map_or(0, |rule| rule.keep_ms)
    }

    /// What is hidden by now.
    pub(super) fn hidden(&self, now: TimestampMs) -> impl Iterator<Item = Hidden> {
        self.apart.iter().map(move |rule| Hidden {
            selection: LogSelection {
                matchers: rule.matchers.clone(),
                lines: Vec::new(),
                fields: Vec::new(),
                range: RangeNs { start: TimestampNs::MIN, end: cutoff(now, rule.keep_ms) },
            },
            before_arrival: u64::MAX,
        })
    }

    /// Records before this are not seen, whatever their stream.
    fn oldest_seen(&self, now: TimestampMs) -> Option<TimestampNs> {
        let keeps = self.rules.iter().map(|rule| rule.keep_ms);
        let is_forever = keeps.clone().any(|keep_ms| keep_ms == 0);
        keeps.max().filter(|_| !is_forever).map(|keep_ms| cutoff(now, keep_ms))
    }

    fn has_own_rules(&self) -> bool {
        self.rules.len() > 1
    }
}

/// The first time that is seen.
fn cutoff(now: TimestampMs, keep_ms: i64) -> TimestampNs {
    let oldest_ms = now.0.saturating_sub(keep_ms);
    TimestampMs(oldest_ms.div_euclid(CELL_MS).saturating_mul(CELL_MS)).to_ns().plus_ns(1)
}

impl LogStore {
    /// Drops parts that are too old, or the oldest when all together are too large. Runs under
    /// `maintenance`.
    pub(super) fn enforce_retention(&self, maintenance: &mut Maintenance) -> Result<()> {
        let view = self.live.read().view.clone();
        let now = self.clock.now_ms();
        let mut gone: Vec<u64> = Vec::new();
        if let Some(oldest) = self.retention.oldest_seen(now) {
            let is_old = |open: &&Arc<OpenPart>| open.part.meta().range.end <= oldest;
            gone.extend(view.parts.iter().filter(is_old).map(|open| open.entry.number));
        }
        if self.options.retention_bytes > 0 {
            let mut held: Vec<_> =
                view.parts.iter().filter(|open| !gone.contains(&open.entry.number)).collect();
            held.sort_by_key(|open| open.part.meta().range.end);
            let mut bytes: u64 = held.iter().map(|open| open.part.meta().disk_bytes).sum();
            for open in held {
                if bytes <= self.options.retention_bytes {
                    break;
                }
                bytes -= open.part.meta().disk_bytes;
                gone.push(open.entry.number);
            }
        }
        if !gone.is_empty() {
            self.replace_parts(&gone, Vec::new(), |_| {}, |_| {})?;
        }
        let is_due = now.0.saturating_sub(maintenance.rules_applied_at) >= RULES_EVERY_MS;
        if is_due && self.retention.has_own_rules() {
            maintenance.rules_applied_at = now.0;
            self.apply_retention_rules(&gone)?;
        }
        Ok(())
    }

    /// Writes parts again of which much is past the retention of its streams.
    fn apply_retention_rules(&self, gone: &[u64]) -> Result<()> {
        let view = self.live.read().view.clone();
        let hidden: Vec<Hidden> = self.retention.hidden(self.clock.now_ms()).collect();
        for open in &view.parts {
            if self.is_stopping() {
                break;
            }
            let hidden = open.hidden(&hidden);
            let rows = open.part.meta().rows;
            let lost = hidden.iter().map(|hidden| hidden_rows(open, hidden)).sum::<u64>();
            if lost > 0 && lost >= rows / HIDDEN_ONE_OF && !gone.contains(&open.entry.number) {
                self.merge_or_set_aside(std::slice::from_ref(open), open.entry.day)?;
            }
        }
        Ok(())
    }
}

/// How many records of a part retention hides; of a stream of which it hides some, an estimate by
/// time.
fn hidden_rows(open: &OpenPart, hidden: &Hidden) -> u64 {
    let labels = open.part.streams();
    let end = hidden.selection.range.end;
    let of_stream = |(index, range, rows, _): (u32, RangeNs, u64, u64)| {
        let labels = labels.get(index as usize);
        let matches = |labels| Matcher::all_match(&hidden.selection.matchers, labels);
        if range.start >= end || !labels.is_some_and(matches) {
            return 0;
        }
        if range.end <= end {
            return rows;
        }
        let share =
            (end.0 as f64 - range.start.0 as f64) / (range.end.0 as f64 - range.start.0 as f64);
        (rows as f64 * share) as u64
    };
    open.part.stream_ranges().map(of_stream).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_a_stream_counts_and_hides_alone() {
        let matcher = |name: &str, value: &str| Matcher::equal(name, value);
        let rules = [
            RetentionRule { matchers: vec![matcher("a", "1"), matcher("b", "1")], keep_ms: 50_000 },
            RetentionRule { matchers: vec![matcher("a", "1")], keep_ms: 0 },
            RetentionRule { matchers: vec![matcher("b", "1")], keep_ms: 20_000 },
        ];
        let retention = Retention::new(30_000, &rules);
        let now = TimestampMs(1_000_000);
        for (a, b, keep_ms) in
            [("1", "1", 50_000), ("1", "2", 0), ("2", "1", 20_000), ("2", "2", 30_000)]
        {
            let stream = Labels::from_pairs([("a", a), ("b", b)]);
            assert_eq!(retention.keep_ms(&stream), keep_ms);
            let hidden = retention.hidden(now);
            let hidden: Vec<TimestampNs> = hidden
                .filter(|hidden| Matcher::all_match(&hidden.selection.matchers, &stream))
                .map(|hidden| hidden.selection.range.end)
                .collect();
            let expected =
                (keep_ms > 0).then(|| TimestampMs(1_000_000 - keep_ms).to_ns().plus_ns(1));
            assert!(hidden.iter().all(|end| Some(*end) == expected), "{a} {b}: {hidden:?}");
            assert_eq!(hidden.is_empty(), expected.is_none());
        }
        assert_eq!(retention.oldest_seen(now), None);
        let retention = Retention::new(30_000, &[]);
        assert_eq!(retention.oldest_seen(now), Some(TimestampMs(970_000).to_ns().plus_ns(1)));
    }
}
