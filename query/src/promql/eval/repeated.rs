//! Parts that a query has more than once are evaluated once: `a / (a + b)` reads `a` one time.

use rustc_hash::FxHashMap;

use crate::promql::ast::{Expr, ExprKind};
use crate::vector::{Column, Grid};

/// Results of parts that come again, by their text.
#[derive(Default)]
pub(super) struct Repeated {
    /// How often a part is still to come, for those that the query has more than once.
    left: FxHashMap<String, usize>,
    known: FxHashMap<Key, Vec<Column>>,
}

/// A part at the times and with the needs it is evaluated for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    text: String,
    times: (i64, i64, usize),
    needs: (bool, bool),
}

const TEXT_BYTES_MAX: usize = 16 << 10;

/// Parts that cost something.
fn is_worth_it(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Aggregate(_) | ExprKind::Selector(_) => true,
        ExprKind::Call(call) => call.takes_matrix(),
        _ => false,
    }
}

impl Repeated {
    /// Finds what a query has more than once. Nothing in very long ones, in which the texts of all
    /// parts could add up to far more.
    pub(super) fn of(expr: &Expr) -> Self {
        let mut left = FxHashMap::default();
        if expr.to_string().len() <= TEXT_BYTES_MAX {
            count(expr, &mut left);
            left.retain(|_, count| *count > 1);
        }
        Repeated { left, known: FxHashMap::default() }
    }

    /// The key of a part that comes more than once.
    pub(super) fn key(&self, expr: &Expr, grid: &Grid, needs: (bool, bool)) -> Option<Key> {
        if self.left.is_empty() || !is_worth_it(expr) {
            return None;
        }
        let text = expr.to_string();
        let times = (grid.start, grid.step, grid.count);
        self.left.contains_key(&text).then_some(Key { text, times, needs })
    }

    /// The result of a part, if it was evaluated before. The last time, it is given away.
    pub(super) fn take(&mut self, key: &Key) -> Option<Vec<Column>> {
        let left = self.left.get_mut(&key.text)?;
        *left = left.saturating_sub(1);
        if *left == 0 { self.known.remove(key) } else { self.known.get(key).cloned() }
    }

    /// Whether a result is worth keeping: the part comes again.
    pub(super) fn comes_again(&self, key: &Key) -> bool {
        self.left.get(&key.text).is_some_and(|left| *left > 0)
    }

    /// Keeps a result for the next time.
    pub(super) fn keep(&mut self, key: Key, columns: Vec<Column>) {
        self.known.insert(key, columns);
    }
}

fn count(expr: &Expr, counts: &mut FxHashMap<String, usize>) {
    if is_worth_it(expr) {
        *counts.entry(expr.to_string()).or_default() += 1;
    }
    expr.for_each_child(&mut |child| count(child, counts));
}
