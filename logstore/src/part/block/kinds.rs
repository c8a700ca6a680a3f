//! Which rows of a block have which of several kinds: templates, shapes of metadata.

use std::cell::OnceCell;

use crate::part::bits::Bits;

/// Which rows of a block have which of several kinds.
pub(crate) struct Kinds {
    /// The kind of each row; empty if all have kind 0.
    of_rows: Vec<u16>,
    rows: usize,
    /// Where each kind begins in the list of all rows by kind.
    starts: Vec<u32>,
    sorted: OnceCell<Vec<u32>>,
    ranks: OnceCell<Vec<u32>>,
}

impl Kinds {
    /// Kinds of rows, each under `kinds`.
    pub(crate) fn new(of_rows: Vec<u16>, rows: usize, kinds: usize) -> Self {
        let mut starts = vec![0u32; kinds + 1];
        if of_rows.is_empty() {
            starts.iter_mut().skip(1).for_each(|start| *start = rows as u32);
        }
        for kind in &of_rows {
            if let Some(count) = starts.get_mut(usize::from(*kind) + 1) {
                *count += 1;
            }
        }
        if !of_rows.is_empty() {
            for kind in 0..kinds {
                starts[kind + 1] += starts[kind];
            }
        }
        Kinds { of_rows, rows, starts, sorted: OnceCell::new(), ranks: OnceCell::new() }
    }

    /// All rows by kind.
    fn sorted(&self) -> &[u32] {
        self.sorted.get_or_init(|| {
            if self.of_rows.is_empty() {
                return (0..self.rows as u32).collect();
            }
            let mut next = self.starts.clone();
            let mut rows = vec![0; self.rows];
            for (row, kind) in self.of_rows.iter().enumerate() {
                let place = &mut next[usize::from(*kind)];
                if let Some(sorted) = rows.get_mut(*place as usize) {
                    *sorted = row as u32;
                }
                *place += 1;
            }
            rows
        })
    }

    pub(crate) fn of(&self, row: usize) -> usize {
        self.of_rows.get(row).copied().unwrap_or(0).into()
    }

    /// Which of the rows of its kind a row is.
    pub(crate) fn rank(&self, row: usize) -> usize {
        if self.of_rows.is_empty() {
            return row;
        }
        let ranks = self.ranks.get_or_init(|| {
            let mut counts = vec![0u32; self.starts.len()];
            let rank = |kind: &u16| {
                let count = &mut counts[usize::from(*kind)];
                *count += 1;
                *count - 1
            };
            self.of_rows.iter().map(rank).collect()
        });
        ranks.get(row).map_or(row, |rank| *rank as usize)
    }

    /// The rows of a kind, in order.
    pub(crate) fn rows(&self, kind: usize) -> &[u32] {
        match (self.starts.get(kind), self.starts.get(kind + 1)) {
            (Some(start), Some(end)) => {
                self.sorted().get(*start as usize..*end as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The rows of the kinds that are wanted.
    pub(crate) fn rows_of(&self, wanted: &[bool]) -> Bits {
        let is_wanted = |kind: u16| wanted.get(usize::from(kind)).copied().unwrap_or(false);
        if self.of_rows.is_empty() {
            return if is_wanted(0) { Bits::all(self.rows) } else { Bits::none(self.rows) };
        }
        Bits::from_bools(self.of_rows.iter().map(|kind| is_wanted(*kind)))
    }

    /// How many rows each kind has.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u32> {
        self.starts.windows(2).map(|pair| pair[1] - pair[0])
    }
}
