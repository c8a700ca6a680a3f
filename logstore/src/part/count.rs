//! Counts of rows: from the cells that are kept where they tell everything, else from the columns
//! of times, lengths, templates and fields. No line is put together but for conditions that need
//! it.

use std::ops::ControlFlow;
use std::sync::Arc;

use model::log::{LEVEL, LogCount, LogCountRequest};
use model::read::RangeNs;
use model::{Matcher, QueryContext};
use rustc_hash::FxHashMap;

use super::Part;
use super::bits::Bits;
use super::block::Block;
use super::cells::{CELL_NS, decode_cells};
use super::select::Filter;
use crate::cursor::Hidden;
use crate::error::Result;

/// How often a query is charged while cells are added up.
const CELLS_PER_CHARGE: usize = 4096;

/// Numbers for texts.
#[derive(Default)]
struct Names {
    numbers: FxHashMap<Vec<u8>, u32>,
    list: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(String::from_utf8_lossy(name).into_owned());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    fn get(&self, number: u32) -> &str {
        self.list.get(number as usize).map_or("", String::as_str)
    }
}

/// What tells counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    stream: u32,
    /// A number of a list of values.
    fields: u32,
    pattern: u32,
    bucket: u32,
}

/// Counts that grow.
struct Counts<'r> {
    request: &'r LogCountRequest,
    range: RangeNs,
    values: Names,
    /// Numbers of values, as many as fields are told apart.
    tuples: FxHashMap<Vec<u32>, u32>,
    tuple_list: Vec<Vec<u32>>,
    patterns: Names,
    counts: FxHashMap<Key, (u64, u64)>,
}

impl Part {
    /// Counts the rows that pass `request` and are not hidden, exactly. A key may come several
    /// times.
    pub(crate) fn count(
        self: &Arc<Self>,
        request: &LogCountRequest,
        hidden: &[Hidden],
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let range = request.range()?;
        let (own, arrivals) = (self.meta().range, &self.meta().arrivals);
        if own.start >= range.end || own.end <= range.start {
            return Ok(ControlFlow::Continue(()));
        }
        let filter = Filter::new(self, &request.matchers, range, &request.lines, &request.fields);
        let concerned = hidden.iter().filter(|hidden| {
            hidden.concerns(own, arrivals.start) && hidden.concerns(range, arrivals.start)
        });
        let hidden: Vec<Filter> = concerned.map(|h| Filter::of_hidden(self, h)).collect();
        let mut counts = Counts {
            request,
            range,
            values: Names::default(),
            tuples: FxHashMap::default(),
            tuple_list: Vec::new(),
            patterns: Names::default(),
            counts: FxHashMap::default(),
        };
        if hidden.is_empty() && counts.are_cells_enough(self, &filter) {
            counts.add_cells(self, &filter, context)?;
        } else {
            let mut pattern_of = vec![u32::MAX; self.index().templates.len()];
            for at in 0..self.index().blocks.len() {
                if filter.may_pass(at)? {
                    counts.add_block(at, &filter, &hidden, &mut pattern_of, context)?;
                }
            }
        }
        counts.show(self, visit)
    }
}

impl Counts<'_> {
    /// Whether all that is told apart or asked for is told by stream, level and aligned time.
    fn are_cells_enough(&self, part: &Part, filter: &Filter) -> bool {
        let request = self.request;
        let is_label = |name: &str| {
            let mut streams = part.index().streams.iter().enumerate();
            streams.all(|(i, labels)| !filter.wants_stream(i as u32) || labels.get(name).is_some())
        };
        let is_known = |name: &str| name == LEVEL || is_label(name);
        request.lines.is_empty()
            && !request.by_pattern
            && request.start.0 % CELL_NS == 0
            && request.width_ns % CELL_NS == 0
            && request.fields.iter().all(|matcher| is_known(&matcher.name))
            && request.by_fields.iter().all(|name| is_known(name))
    }

    fn add_cells(&mut self, part: &Part, filter: &Filter, context: &QueryContext) -> Result<()> {
        let cells = decode_cells(&part.section(&part.index().counts)?)?;
        let value_of = |stream: u32, level: u32, name: &str| -> String {
            let labels = part.index().streams.get(stream as usize);
            let level = || part.index().levels.get(level as usize).map_or("", String::as_str);
            match labels.and_then(|labels| labels.get(name)) {
                Some(value) => value.to_owned(),
                None if name == LEVEL => level().to_owned(),
                None => String::new(),
            }
        };
        // What a stream and a level have: nothing if they are not wanted, else a list of values.
        let mut known: FxHashMap<(u32, u32), Option<u32>> = FxHashMap::default();
        for chunk in cells.chunks(CELLS_PER_CHARGE) {
            context.charge(chunk.len() as u64, 0)?;
            for cell in chunk {
                // The cell ends with the end of its bucket at the latest.
                let end = model::TimestampNs(cell.cell.saturating_add(1).saturating_mul(CELL_NS));
                if !filter.wants_stream(cell.stream) || !self.range.contains(end) {
                    continue;
                }
                let request = self.request;
                let fields = match known.get(&(cell.stream, cell.level)) {
                    Some(fields) => *fields,
                    None => {
                        let passes = |matcher: &Matcher| {
                            matcher.matches(&value_of(cell.stream, cell.level, &matcher.name))
                        };
                        let fields = request.fields.iter().all(passes).then(|| {
                            let values = request.by_fields.iter();
                            let values: Vec<u32> = values
                                .map(|name| value_of(cell.stream, cell.level, name))
                                .map(|value| self.values.number(value.as_bytes()))
                                .collect();
                            self.tuple(&values)
                        });
                        known.insert((cell.stream, cell.level), fields);
                        fields
                    }
                };
                let Some(fields) = fields else { continue };
                let bucket = request.bucket_of(end) as u32;
                let key = Key { stream: cell.stream, fields, pattern: 0, bucket };
                let count = self.counts.entry(key).or_default();
                count.0 += cell.records;
                count.1 += cell.bytes;
            }
        }
        Ok(())
    }

    fn tuple(&mut self, values: &[u32]) -> u32 {
        if let Some(number) = self.tuples.get(values) {
            return *number;
        }
        let number = self.tuple_list.len() as u32;
        self.tuple_list.push(values.to_vec());
        self.tuples.insert(values.to_vec(), number);
        number
    }

    fn add_block(
        &mut self,
        at: usize,
        filter: &Filter,
        hidden: &[Filter],
        pattern_of: &mut [u32],
        context: &QueryContext,
    ) -> Result<()> {
        let part = filter.part();
        let block = Block::open(part, at)?;
        let entry = block.entry();
        context.charge(entry.rows as u64, 0)?;
        let mut rows = filter.select(at, &block)?;
        for hidden in hidden {
            if !rows.is_empty() && hidden.may_pass(at)? {
                rows.remove_all(&hidden.select(at, &block)?);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let fields = self.field_numbers(&block, &rows)?;
        let fixed: Vec<u64> = entry
            .templates
            .iter()
            .map(|(id, _)| part.index().templates[*id as usize].fixed_bytes() as u64)
            .collect();
        let mut patterns = Vec::new();
        if self.request.by_pattern {
            for (id, _) in &entry.templates {
                let known = &mut pattern_of[*id as usize];
                if *known == u32::MAX {
                    let pattern = part.index().templates[*id as usize].pattern();
                    *known = self.patterns.number(pattern.as_bytes());
                }
                patterns.push(*known);
            }
        }
        let (times, lengths, templates) = (block.times()?, block.lengths()?, block.templates()?);
        let mut runs = entry.streams.iter();
        let (mut stream, mut run_end) = (0, 0);
        let mut bucket = 0u32;
        // Nothing is in it before the first row.
        let (mut first, mut last_of) = (i64::MAX, i64::MIN);
        let mut last: Option<(Key, u64, u64)> = None;
        for row in rows.iter() {
            while row >= run_end {
                let Some((next, count)) = runs.next() else { break };
                stream = *next;
                run_end += *count as usize;
            }
            let time = times[row];
            if time < first || time > last_of {
                let found = self.request.bucket_of(model::TimestampNs(time));
                bucket = found as u32;
                let start = self.request.start.0 + found as i64 * self.request.width_ns;
                first = start + 1;
                last_of = start.saturating_add(self.request.width_ns);
            }
            let local = templates.of(row);
            let key = Key {
                stream,
                fields: fields.get(row).copied().unwrap_or(0),
                pattern: patterns.get(local).copied().unwrap_or(0),
                bucket,
            };
            let bytes = lengths[row] + fixed[local];
            match &mut last {
                Some((known, records, sum)) if *known == key => {
                    *records += 1;
                    *sum += bytes;
                }
                _ => {
                    self.put(last.take());
                    last = Some((key, 1, bytes));
                }
            }
        }
        self.put(last);
        Ok(())
    }

    fn put(&mut self, counted: Option<(Key, u64, u64)>) {
        if let Some((key, records, bytes)) = counted {
            let count = self.counts.entry(key).or_default();
            count.0 += records;
            count.1 += bytes;
        }
    }

    /// For each row of a block the number of its list of values; empty if nothing is told apart.
    fn field_numbers(&mut self, block: &Block, rows: &Bits) -> Result<Vec<u32>> {
        let request = self.request;
        if request.by_fields.is_empty() {
            self.tuple(&[]);
            return Ok(Vec::new());
        }
        let count = block.entry().rows;
        let mut columns = Vec::new();
        for name in &request.by_fields {
            columns.push(self.value_numbers(block, name, rows)?);
        }
        let mut numbers = vec![0; count];
        let mut values = Vec::new();
        for row in rows.iter() {
            values.clear();
            values.extend(columns.iter().map(|column| column[row]));
            numbers[row] = self.tuple(&values);
        }
        Ok(numbers)
    }

    /// For each row of a block the number of its value of one name.
    fn value_numbers(&mut self, block: &Block, name: &str, rows: &Bits) -> Result<Vec<u32>> {
        let entry = block.entry();
        let none = self.values.number(b"");
        let mut numbers = vec![none; entry.rows];
        let kinds = block.shape_kinds()?;
        let is_it = |field: &&u32| {
            block.fields.get(**field as usize).is_some_and(|field| field.name == name)
        };
        let firsts: Vec<Option<u32>> =
            block.shapes.iter().map(|shape| shape.iter().find(is_it).copied()).collect();
        let mut fields: Vec<u32> = firsts.iter().flatten().copied().collect();
        fields.sort_unstable();
        fields.dedup();
        for field in fields {
            let column = block.field(field as usize)?;
            let having = block.field_rows(field as usize)?;
            let known: Option<(Vec<u32>, Option<&[u8]>)> = column.codes().map(|(values, codes)| {
                (values.iter().map(|value| self.values.number(value)).collect(), codes)
            });
            let mut value = Vec::new();
            for rank in 0..column.len() {
                let row = having.map_or(rank, |rows| rows.get(rank).map_or(0, |row| *row as usize));
                if firsts.get(kinds.of(row)).copied().flatten() != Some(field) {
                    continue;
                }
                numbers[row] = match &known {
                    Some((values, codes)) => {
                        let code = codes.and_then(|codes| codes.get(rank)).copied().unwrap_or(0);
                        values.get(usize::from(code)).copied().unwrap_or(none)
                    }
                    None if rows.contains(row) => {
                        value.clear();
                        column.append(rank, &mut value);
                        self.values.number(&value)
                    }
                    None => none,
                };
            }
        }
        let mut start = 0;
        for (stream, count) in &entry.streams {
            let end = start + *count as usize;
            let labels = block.part().index().streams.get(*stream as usize);
            if let Some(value) = labels.and_then(|labels| labels.get(name)) {
                let number = self.values.number(value.as_bytes());
                numbers.iter_mut().take(end).skip(start).for_each(|known| *known = number);
            }
            start = end;
        }
        Ok(numbers)
    }

    fn show(
        &self,
        part: &Part,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut fields = Vec::new();
        for (key, (records, bytes)) in &self.counts {
            fields.clear();
            let tuple = self.tuple_list.get(key.fields as usize).map_or(&[][..], Vec::as_slice);
            fields.extend(tuple.iter().map(|value| self.values.get(*value)));
            let count = LogCount {
                stream: &part.index().streams[key.stream as usize],
                fields: &fields,
                pattern: self.request.by_pattern.then(|| self.patterns.get(key.pattern)),
                bucket: key.bucket as usize,
                records: *records,
                bytes: *bytes,
            };
            if visit(&count).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
