//! Counts of rows: from the cells that are kept where they tell everything, else from the columns
//! of times, lengths, templates and fields. No line is put together but for conditions that need
//! it.
//!
//! Cells tell the rows of templates all of whose lines pass, in cells that lie in one bucket. Rows
//! are read of templates that leave the conditions open, and of cells that two buckets share.
//! Rows that are hidden, or lack what few lines have, are counted as those of the cells without
//! those that are read.

mod table;

use std::ops::ControlFlow;
use std::sync::Arc;

use model::log::{LEVEL, LineCondition, LogCount, LogCountRequest};
use model::read::RangeNs;
use model::{Matcher, QueryContext};
use rustc_hash::FxHashMap;

use super::Part;
use super::bits::Bits;
use super::block::Block;
use super::cells::{CELL_NS, CellRun, cell_of, times_of};
use super::select::{Filter, Pass};
use crate::cursor::Hidden;
use crate::error::Result;
use table::{Bucket, Group, Sign, Table};

/// Rows that are read to be counted.
struct Reading {
    filter: Filter,
    of: Of,
    /// Whether they are added, or taken away from what was.
    sign: Sign,
}

/// Which of the rows that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    /// Those in cells that do not lie in one bucket.
    Edges,
    Hidden,
    NotHidden,
}

/// Counts the rows of one part.
struct Counter<'r> {
    part: &'r Arc<Part>,
    request: &'r LogCountRequest,
    range: RangeNs,
    table: Table,
    /// The number of the pattern of each template, once it is known.
    patterns: Vec<Option<u32>>,
    context: &'r QueryContext,
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
        let mut counter = Counter {
            part: self,
            request,
            range,
            table: Table::new(request),
            patterns: vec![None; self.index().templates.len()],
            context,
        };
        let readings = match counter.cells_tell_names(&filter) {
            true => counter.add_cells(filter, !hidden.is_empty())?,
            false => vec![Reading { filter, of: Of::NotHidden, sign: Sign::Plus }],
        };
        for at in 0..self.index().blocks.len() {
            let mut block = None;
            for reading in &readings {
                if !reading.filter.may_pass(at)? || !counter.may_have(reading, &hidden, at)? {
                    continue;
                }
                let block = match &mut block {
                    Some(block) => block,
                    None => {
                        context.charge(self.block(at)?.rows as u64, 0)?;
                        block.insert(Block::open(self, at)?)
                    }
                };
                let rows = counter.rows(reading, &hidden, block)?;
                counter.add_rows(block, &rows, reading.sign)?;
            }
        }
        Ok(counter.table.show(self, visit))
    }
}

impl Counter<'_> {
    /// Whether what is told apart or asked for is told by stream and level, and buckets are long
    /// enough to have whole cells.
    fn cells_tell_names(&self, filter: &Filter) -> bool {
        let is_label = |name: &str| {
            let mut streams = self.part.index().streams.iter().enumerate();
            streams.all(|(i, labels)| !filter.wants_stream(i as u32) || labels.get(name).is_some())
        };
        let is_known = |name: &str| name == LEVEL || is_label(name);
        self.request.width_ns >= CELL_NS
            && self.request.fields.iter().all(|matcher| is_known(&matcher.name))
            && self.request.by_fields.iter().all(|name| is_known(name))
    }

    /// Whether a bucket can begin or end inside of a cell.
    fn cuts_cells(&self) -> bool {
        self.request.start.0 % CELL_NS != 0 || self.request.width_ns % CELL_NS != 0
    }

    /// The bucket that a whole cell lies in.
    fn bucket_of_cell(&self, cell: i64) -> Option<Bucket> {
        let (first, last) = times_of(cell);
        let is_inside = |at: i64| self.range.contains(model::TimestampNs(at));
        if !is_inside(first) || !is_inside(last) {
            return None;
        }
        let bucket = Bucket::of(self.request, first);
        bucket.contains(last).then_some(bucket)
    }

    /// Adds what cells tell; answers which rows are left to be read.
    fn add_cells(&mut self, filter: Filter, has_hidden: bool) -> Result<Vec<Reading>> {
        let mut readings = Vec::new();
        let request = self.request;
        let of_lines = |lines: &[LineCondition]| {
            Filter::new(self.part, &request.matchers, self.range, lines, &request.fields)
        };
        let hidden = has_hidden.then(|| of_lines(&request.lines));
        match opposite(&request.lines) {
            Some(line) => {
                let (all, without) = (of_lines(&[]), of_lines(&[line]));
                self.add_signed_cells(all, Sign::Plus, &mut readings)?;
                self.add_signed_cells(without, Sign::Minus, &mut readings)?;
            }
            None => self.add_signed_cells(filter, Sign::Plus, &mut readings)?,
        }
        let hidden = hidden.map(|filter| Reading { filter, of: Of::Hidden, sign: Sign::Minus });
        readings.extend(hidden);
        Ok(readings)
    }

    fn add_signed_cells(
        &mut self,
        filter: Filter,
        sign: Sign,
        readings: &mut Vec<Reading>,
    ) -> Result<()> {
        let templates = 0..self.part.index().templates.len() as u32;
        let passes: Vec<Pass> = templates.map(|id| filter.passes(id)).collect();
        let are = |wanted: Pass| passes.iter().map(|pass| *pass == wanted).collect::<Vec<bool>>();
        let (all, open) = (are(Pass::All), are(Pass::Some));
        let is_any = !self.request.by_pattern && !all.contains(&false);
        let part = self.part;
        // What a stream and a level have: nothing if they are not wanted, else a list of values.
        let mut known: FxHashMap<(u32, u32), Option<u32>> = FxHashMap::default();
        for run in &part.index().cells {
            let is_wanted = match run.kind.template {
                None => is_any,
                Some(id) => !is_any && all.get(id as usize).copied().unwrap_or(false),
            };
            let is_late = times_of(run.cells.0).0 >= self.range.end.0;
            if is_wanted && !is_late && times_of(run.cells.1).1 >= self.range.start.0 {
                self.add_run(run, &filter, &mut known, sign)?;
            }
        }
        if self.cuts_cells() {
            let request = self.request;
            let edges = Filter::new(part, &request.matchers, self.range, &[], &request.fields);
            readings.push(Reading { filter: edges.of_templates(all), of: Of::Edges, sign });
        }
        if open.contains(&true) {
            readings.push(Reading { filter: filter.of_templates(open), of: Of::All, sign });
        }
        Ok(())
    }

    fn add_run(
        &mut self,
        run: &CellRun,
        filter: &Filter,
        known: &mut FxHashMap<(u32, u32), Option<u32>>,
        sign: Sign,
    ) -> Result<()> {
        let mut streams = run.streams.0..=run.streams.1;
        if !streams.any(|stream| filter.wants_stream(stream)) {
            return Ok(());
        }
        self.context.charge(run.count as u64, 0)?;
        let cells = self.part.cells(run)?;
        let pattern = run.kind.template.map_or(0, |template| self.pattern(template));
        for (stream, places) in cells.streams {
            if !filter.wants_stream(stream) {
                continue;
            }
            let fields = match known.get(&(stream, run.kind.level)) {
                Some(fields) => *fields,
                None => {
                    let fields = self.fields_of(stream, run.kind.level);
                    known.insert((stream, run.kind.level), fields);
                    fields
                }
            };
            let Some(fields) = fields else { continue };
            let group = self.table.group(Group { stream, fields, pattern });
            let (mut bucket, mut records, mut bytes) = (None::<Bucket>, 0, 0);
            for at in places {
                let cell = cells.cells[at];
                let (first, last) = times_of(cell);
                if !bucket.is_some_and(|known| known.contains(first) && known.contains(last)) {
                    if let Some(known) = bucket {
                        self.table.add(group, known.number, sign, records, bytes);
                    }
                    (records, bytes) = (0, 0);
                    bucket = self.bucket_of_cell(cell);
                }
                if bucket.is_some() {
                    records += cells.records[at];
                    bytes += cells.bytes[at];
                }
            }
            if let Some(known) = bucket {
                self.table.add(group, known.number, sign, records, bytes);
            }
        }
        Ok(())
    }

    /// The number of the values of a stream and a level; `None` if they are not wanted.
    fn fields_of(&mut self, stream: u32, level: u32) -> Option<u32> {
        let index = self.part.index();
        let labels = index.streams.get(stream as usize);
        let level = index.levels.get(level as usize).map_or("", String::as_str);
        let value_of = |name: &str| match labels.and_then(|labels| labels.get(name)) {
            Some(value) => value,
            None if name == LEVEL => level,
            None => "",
        };
        let passes = |matcher: &Matcher| matcher.matches(value_of(&matcher.name));
        if !self.request.fields.iter().all(passes) {
            return None;
        }
        let names = self.request.by_fields.iter();
        let values = names.map(|name| self.table.values.number(value_of(name).as_bytes()));
        let values: Vec<u32> = values.collect();
        Some(self.table.tuple(&values))
    }

    /// The number of the pattern of a template; 0 if patterns are not told apart.
    fn pattern(&mut self, template: u32) -> u32 {
        let at = template as usize;
        match (self.patterns.get_mut(at), self.part.index().templates.get(at)) {
            (Some(known), Some(template)) if self.request.by_pattern => *known
                .get_or_insert_with(|| self.table.patterns.number(template.pattern().as_bytes())),
            _ => 0,
        }
    }

    /// Whether a block can have rows of those that a reading is of.
    fn may_have(&self, reading: &Reading, hidden: &[Filter], at: usize) -> Result<bool> {
        match reading.of {
            Of::All | Of::NotHidden => Ok(true),
            Of::Edges => {
                let entry = self.part.block(at)?;
                let bucket = self.bucket_of_cell(cell_of(entry.first));
                let last = times_of(cell_of(entry.last)).1;
                Ok(!bucket.is_some_and(|bucket| bucket.contains(last)))
            }
            Of::Hidden => {
                for hidden in hidden {
                    if hidden.may_pass(at)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// The rows of a block that a reading counts.
    fn rows(&self, reading: &Reading, hidden: &[Filter], block: &Block) -> Result<Bits> {
        let at = block.at();
        let mut rows = reading.filter.select(at, block)?;
        if matches!(reading.of, Of::Hidden | Of::NotHidden) {
            let mut all_hidden = Bits::none(block.entry().rows);
            for hidden in hidden {
                if !rows.is_empty() && hidden.may_pass(at)? {
                    all_hidden.or(&hidden.select(at, block)?);
                }
            }
            match reading.of {
                Of::Hidden => rows.and(&all_hidden),
                _ => rows.remove_all(&all_hidden),
            }
        }
        if reading.of == Of::Edges && !rows.is_empty() {
            let mut edges = Bits::none(block.entry().rows);
            let (mut first, mut last, mut is_edge) = (i64::MAX, i64::MIN, false);
            for (row, time) in block.times()?.iter().enumerate() {
                if *time < first || *time > last {
                    let cell = cell_of(*time);
                    (first, last) = times_of(cell);
                    is_edge = self.bucket_of_cell(cell).is_none();
                }
                if is_edge {
                    edges.insert(row);
                }
            }
            rows.and(&edges);
        }
        Ok(rows)
    }

    fn add_rows(&mut self, block: &Block, rows: &Bits, sign: Sign) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let entry = block.entry();
        let fields = self.field_numbers(block, rows)?;
        let templates = &self.part.index().templates;
        let fixed_of = |(id, _): &(u32, u32)| templates[*id as usize].fixed_bytes() as u64;
        let fixed: Vec<u64> = entry.templates.iter().map(fixed_of).collect();
        let patterns: Vec<u32> = entry.templates.iter().map(|(id, _)| self.pattern(*id)).collect();
        // Times tell nothing if all rows are in one bucket.
        let within = (entry.first.max(self.range.start.0), entry.last.min(self.range.end.0 - 1));
        let all = Bucket::of(self.request, within.0);
        let times = if all.contains(within.1) { &[] } else { block.times()? };
        let (lengths, templates) = (block.lengths()?, block.templates()?);
        let mut runs = entry.streams.iter();
        let (mut stream, mut run_end) = (0, 0);
        let mut bucket = all;
        let mut last: Option<(Group, usize)> = None;
        let (mut records, mut bytes) = (0, 0);
        for row in rows.iter() {
            while row >= run_end {
                let Some((next, count)) = runs.next() else { break };
                stream = *next;
                run_end += *count as usize;
            }
            if let Some(time) = times.get(row)
                && !bucket.contains(*time)
            {
                bucket = Bucket::of(self.request, *time);
            }
            let local = templates.of(row);
            let fields = fields.get(row).copied().unwrap_or(0);
            let pattern = patterns.get(local).copied().unwrap_or(0);
            let key = (Group { stream, fields, pattern }, bucket.number);
            if last != Some(key) {
                self.put(last, sign, records, bytes);
                (last, records, bytes) = (Some(key), 0, 0);
            }
            records += 1;
            bytes += lengths[row] + fixed[local];
        }
        self.put(last, sign, records, bytes);
        Ok(())
    }

    fn put(&mut self, key: Option<(Group, usize)>, sign: Sign, records: u64, bytes: u64) {
        if let Some((group, bucket)) = key {
            let group = self.table.group(group);
            self.table.add(group, bucket, sign, records, bytes);
        }
    }

    /// For each row of a block the number of its list of values; empty if nothing is told apart.
    fn field_numbers(&mut self, block: &Block, rows: &Bits) -> Result<Vec<u32>> {
        let request = self.request;
        if request.by_fields.is_empty() {
            self.table.tuple(&[]);
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
            numbers[row] = self.table.tuple(&values);
        }
        Ok(numbers)
    }

    /// For each row of a block the number of its value of one name.
    fn value_numbers(&mut self, block: &Block, name: &str, rows: &Bits) -> Result<Vec<u32>> {
        let entry = block.entry();
        let none = self.table.values.number(b"");
        let mut numbers = vec![none; entry.rows];
        let kinds = block.shape_kinds()?;
        let is_it = |field: &&u32| {
            block.fields().get(**field as usize).is_some_and(|field| field.name == name)
        };
        let lasts: Vec<Option<u32>> =
            block.shapes().iter().map(|shape| shape.iter().rfind(is_it).copied()).collect();
        let mut fields: Vec<u32> = lasts.iter().flatten().copied().collect();
        fields.sort_unstable();
        fields.dedup();
        for field in fields {
            let column = block.field(field as usize)?;
            let having = block.field_rows(field as usize)?;
            let known: Option<(Vec<u32>, Option<&[u8]>)> = column.codes().map(|(values, codes)| {
                (values.iter().map(|value| self.table.values.number(value)).collect(), codes)
            });
            let mut value = Vec::new();
            for rank in 0..column.len() {
                let row = having.map_or(rank, |rows| rows.get(rank).map_or(0, |row| *row as usize));
                if lasts.get(kinds.of(row)).copied().flatten() != Some(field) {
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
                        self.table.values.number(&value)
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
                let number = self.table.values.number(value.as_bytes());
                numbers.iter_mut().take(end).skip(start).for_each(|known| *known = number);
            }
            start = end;
        }
        Ok(numbers)
    }
}

/// If lines have one condition that asks for what they lack: the one that the others satisfy.
fn opposite(lines: &[LineCondition]) -> Option<LineCondition> {
    match lines {
        [LineCondition::Lacks(needles)] => Some(LineCondition::Contains(needles.clone())),
        [LineCondition::MatchesNot(regexes)] => Some(LineCondition::Matches(regexes.clone())),
        _ => None,
    }
}
