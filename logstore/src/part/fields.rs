//! Metadata on its way into a block: which fields each row has, in which order, and a column for
//! each field.
//!
//! The fields of a row are a *shape*: an order of columns. Values that repeat from row to row, as
//! those of a resource do, are kept once with a count.

use model::log::{Field, Origin};

/// Fewer rows do not tell that a field varies.
const VARIED_ROWS_MIN: u64 = 16;

/// A column of a field that a row can have: the `occurrence`-th of its name and origin.
#[derive(Debug)]
pub(crate) struct FieldColumn {
    pub(crate) origin: Origin,
    pub(crate) name: String,
    occurrence: u32,
    bytes: Vec<u8>,
    /// Where each different value ends, and the rows that have it one behind the other.
    runs: Vec<(u32, u32)>,
}

impl FieldColumn {
    fn push(&mut self, value: &str) {
        let start = match self.runs.len().checked_sub(2) {
            Some(before) => self.runs[before].0 as usize,
            None => 0,
        };
        if let Some((end, rows)) = self.runs.last_mut()
            && self.bytes.get(start..*end as usize) == Some(value.as_bytes())
        {
            *rows += 1;
            return;
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.runs.push((self.bytes.len() as u32, 1));
    }

    /// Whether most rows have a value that the row before does not have.
    fn is_varied(&self) -> bool {
        let rows: u64 = self.runs.iter().map(|(_, rows)| u64::from(*rows)).sum();
        self.runs.len() as u64 * 2 > rows && rows >= VARIED_ROWS_MIN
    }

    /// The value of each row that has the field, in order.
    pub(crate) fn values<'a>(&'a self, out: &mut Vec<&'a [u8]>) {
        let mut start = 0;
        for (end, rows) in &self.runs {
            let value = self.bytes.get(start..*end as usize).unwrap_or_default();
            out.extend(std::iter::repeat_n(value, *rows as usize));
            start = *end as usize;
        }
    }
}

/// The metadata of the rows of a block.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) columns: Vec<FieldColumn>,
    /// Columns in the order that rows have them.
    pub(crate) shapes: Vec<Vec<u32>>,
    /// The shape of each row.
    pub(crate) of_rows: Vec<u32>,
    current: Vec<u32>,
    bytes: usize,
}

impl Fields {
    /// Adds the fields of the next row.
    pub(crate) fn push<'a>(&mut self, fields: impl Iterator<Item = &'a Field<'a>>) {
        self.current.clear();
        let last = self.of_rows.last().and_then(|shape| self.shapes.get(*shape as usize));
        let mut is_like_last = last.is_some();
        for (at, field) in fields.enumerate() {
            let expected = last.filter(|_| is_like_last).and_then(|last| last.get(at)).copied();
            let column = match expected {
                Some(column) if is_of(&self.columns[column as usize], field) => column,
                _ => {
                    is_like_last = false;
                    let taken = |column: &&u32| is_of(&self.columns[**column as usize], field);
                    let occurrence = self.current.iter().filter(taken).count() as u32;
                    let is_it = |column: &FieldColumn| {
                        column.occurrence == occurrence && is_of(column, field)
                    };
                    match self.columns.iter().position(is_it) {
                        Some(column) => column as u32,
                        None => {
                            self.columns.push(FieldColumn {
                                origin: field.origin,
                                name: field.name.to_owned(),
                                occurrence,
                                bytes: Vec::new(),
                                runs: Vec::new(),
                            });
                            self.columns.len() as u32 - 1
                        }
                    }
                }
            };
            self.columns[column as usize].push(field.value);
            self.bytes += field.value.len();
            self.current.push(column);
        }
        let is_last = is_like_last && last.is_some_and(|last| last.len() == self.current.len());
        let shape = match self.of_rows.last() {
            Some(shape) if is_last => *shape,
            _ => match self.shapes.iter().position(|shape| *shape == self.current) {
                Some(shape) => shape as u32,
                None => {
                    self.shapes.push(self.current.clone());
                    self.shapes.len() as u32 - 1
                }
            },
        };
        self.of_rows.push(shape);
    }

    /// The rows that have a column, if not all do.
    pub(crate) fn rows_of(&self, column: u32) -> Option<Vec<u32>> {
        let having: Vec<bool> = self.shapes.iter().map(|shape| shape.contains(&column)).collect();
        if having.iter().all(|has| *has) {
            return None;
        }
        let has = |shape: &u32| having.get(*shape as usize).copied().unwrap_or(false);
        let rows = self.of_rows.iter().enumerate().filter(|(_, shape)| has(shape));
        Some(rows.map(|(row, _)| row as u32).collect())
    }

    /// The columns whose values differ from row to row, with the value of each row of the block.
    pub(crate) fn varied(&self) -> Vec<(u32, Vec<Option<&[u8]>>)> {
        let numbered = self.columns.iter().enumerate();
        let varied = numbered.filter(|(_, column)| column.is_varied());
        let with_values = varied.map(|(at, column)| {
            let mut values = Vec::new();
            column.values(&mut values);
            match self.rows_of(at as u32) {
                None => (at as u32, values.into_iter().map(Some).collect()),
                Some(rows) => {
                    let mut of_rows = vec![None; self.of_rows.len()];
                    for (row, value) in rows.iter().zip(values) {
                        if let Some(place) = of_rows.get_mut(*row as usize) {
                            *place = Some(value);
                        }
                    }
                    (at as u32, of_rows)
                }
            }
        });
        with_values.collect()
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn is_of(column: &FieldColumn, field: &Field<'_>) -> bool {
    column.name == field.name && column.origin == field.origin
}
