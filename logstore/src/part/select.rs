//! Which rows of a block a query wants: templates first, then the index, then columns, and lines
//! only where nothing else tells.

mod automaton;
mod lines;
mod search;
mod walk;

use std::sync::Arc;

use model::log::LineCondition;
use model::read::RangeNs;
use model::{Matcher, TimestampNs};

use super::Part;
use super::bits::Bits;
use super::block::Block;
use super::grams::filter_has;
use super::index::BlockEntry;
use super::needle::{Demand, Verdict};
use crate::cursor::Hidden;
use crate::error::Result;
use lines::{Alternative, LineFilter, Literal};

/// Conditions on rows of one part; all hold together.
pub(crate) struct Filter {
    part: Arc<Part>,
    range: RangeNs,
    before_arrival: u64,
    /// For each stream of the part, whether it is wanted.
    streams: Vec<bool>,
    lines: Vec<LineFilter>,
    fields: Vec<Matcher>,
    /// For each template of the part, whether its rows are wanted; all are if nothing is told.
    templates: Option<Vec<bool>>,
}

/// How many rows of a template pass all conditions on lines, told without reading any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    All,
    /// Some, or it is not known.
    Some,
    None,
}

impl Filter {
    pub(crate) fn new(
        part: &Arc<Part>,
        matchers: &[Matcher],
        range: RangeNs,
        lines: &[LineCondition],
        fields: &[Matcher],
    ) -> Self {
        let streams = &part.index().streams;
        let streams = streams.iter().map(|labels| Matcher::all_match(matchers, labels)).collect();
        let templates = part.index().templates.len();
        Filter {
            part: part.clone(),
            range,
            before_arrival: u64::MAX,
            streams,
            lines: lines.iter().map(|line| LineFilter::new(line, templates)).collect(),
            fields: fields.to_vec(),
            templates: None,
        }
    }

    /// Only rows of some templates, which are told for each template of the part.
    pub(crate) fn of_templates(self, wanted: Vec<bool>) -> Self {
        Filter { templates: Some(wanted), ..self }
    }

    fn wants_template(&self, id: u32) -> bool {
        let told = self.templates.as_ref();
        told.is_none_or(|wanted| wanted.get(id as usize).copied().unwrap_or(false))
    }

    /// How many rows of a template pass the conditions on lines.
    pub(crate) fn passes(&self, template: u32) -> Pass {
        let mut all = Pass::All;
        for line in &self.lines {
            let found = line.alternatives.iter().map(|one| self.matches_of(one, template));
            let found = found.fold(Pass::None, |a, b| match (a, b) {
                (Pass::All, _) | (_, Pass::All) => Pass::All,
                (Pass::None, Pass::None) => Pass::None,
                _ => Pass::Some,
            });
            match (found, line.is_wanted) {
                (Pass::None, true) | (Pass::All, false) => return Pass::None,
                (Pass::All, true) | (Pass::None, false) => {}
                (Pass::Some, _) => all = Pass::Some,
            }
        }
        all
    }

    /// How many lines of a template the expression of an alternative matches, told by what stays.
    fn pass_of_regex(&self, alternative: &Alternative, template: u32) -> Pass {
        let at = template as usize;
        let (Some(regex), Some(known), Some(template)) =
            (&alternative.regex, alternative.passes.get(at), self.part.index().templates.get(at))
        else {
            return Pass::Some;
        };
        *known.get_or_init(|| {
            let is_match = |piece: &Vec<u8>| {
                std::str::from_utf8(piece).is_ok_and(|piece| regex.is_match(piece))
            };
            if template.slots() == 0 {
                // All lines are the same.
                let is_match = template.pieces.iter().any(is_match);
                return if is_match { Pass::All } else { Pass::None };
            }
            if alternative.is_local && template.pieces.iter().any(is_match) {
                return Pass::All;
            }
            let automaton = alternative.automaton.as_ref();
            match automaton.and_then(|automaton| automaton.decides(template).ok().flatten()) {
                Some(true) => Pass::All,
                Some(false) => Pass::None,
                None => Pass::Some,
            }
        })
    }

    /// How many lines of a template have an alternative in them.
    fn matches_of(&self, alternative: &Alternative, template: u32) -> Pass {
        if alternative.regex.is_some() {
            match self.pass_of_regex(alternative, template) {
                Pass::Some => {}
                told => return told,
            }
        }
        let mut found = match alternative.literals {
            None => Pass::All,
            Some(_) => Pass::None,
        };
        for literal in alternative.literals.iter().flatten() {
            match self.verdict(literal, template) {
                Verdict::All => found = Pass::All,
                Verdict::Ways(ways) if ways.is_empty() => {}
                _ if found == Pass::None => found = Pass::Some,
                _ => {}
            }
        }
        match alternative.regex {
            Some(_) if found == Pass::All => Pass::Some,
            _ => found,
        }
    }

    /// What `hidden` hides.
    pub(crate) fn of_hidden(part: &Arc<Part>, hidden: &Hidden) -> Self {
        let selection = &hidden.selection;
        let (lines, fields) = (&selection.lines, &selection.fields);
        let filter = Filter::new(part, &selection.matchers, selection.range, lines, fields);
        Filter { before_arrival: hidden.before_arrival, ..filter }
    }

    pub(crate) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    pub(crate) fn wants_stream(&self, stream: u32) -> bool {
        self.streams.get(stream as usize).copied().unwrap_or(false)
    }

    /// Whether a block can have rows that pass, judged without reading the block.
    pub(crate) fn may_pass(&self, at: usize) -> Result<bool> {
        let entry = self.part.block(at)?;
        if entry.last < self.range.start.0
            || entry.first >= self.range.end.0
            || entry.first_arrival >= self.before_arrival
            || !entry.streams.iter().any(|(stream, _)| self.wants_stream(*stream))
            || !entry.templates.iter().any(|(id, _)| self.wants_template(*id))
        {
            return Ok(false);
        }
        for line in self.lines.iter().filter(|line| line.is_wanted) {
            let mut may = false;
            for alternative in &line.alternatives {
                may |= self.may_match(alternative, at, entry)?;
            }
            if !may {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_match(&self, alternative: &Alternative, at: usize, entry: &BlockEntry) -> Result<bool> {
        let ids = entry.templates.iter().map(|(id, _)| *id).filter(|id| {
            self.wants_template(*id) && self.pass_of_regex(alternative, *id) != Pass::None
        });
        let ids: Vec<u32> = ids.collect();
        let Some(literals) = &alternative.literals else { return Ok(!ids.is_empty()) };
        for literal in literals {
            for id in &ids {
                match self.verdict(literal, *id) {
                    Verdict::All | Verdict::Unknown => return Ok(true),
                    Verdict::Ways(ways) => {
                        for way in ways {
                            let mut holds = true;
                            for demand in way {
                                let text = &literal.finder.needle()[demand.part.clone()];
                                holds = holds
                                    && (literal.may_be_of(&entry.loose, text)
                                        || self.is_indexed(literal, demand, at)?);
                            }
                            if holds {
                                return Ok(true);
                            }
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    fn verdict<'a>(&self, literal: &'a Literal, id: u32) -> &'a Verdict {
        static UNKNOWN: Verdict = Verdict::Unknown;
        let templates = &self.part.index().templates;
        match (literal.verdicts.get(id as usize), templates.get(id as usize)) {
            (Some(cell), Some(template)) => cell.get_or_init(|| literal.judge(template)),
            _ => &UNKNOWN,
        }
    }

    /// Whether the index has all trigrams of what a demand asks for in the block.
    fn is_indexed(&self, literal: &Literal, demand: &Demand, at: usize) -> Result<bool> {
        let text = &literal.finder.needle()[demand.part.clone()];
        if text.len() < 3 {
            return Ok(true);
        }
        let mut known = literal.blocks.borrow_mut();
        let blocks = match known.get(&demand.part) {
            Some(blocks) => blocks,
            None => {
                let blocks = self.part.blocks_with(text)?;
                known.entry(demand.part.clone()).or_insert(blocks)
            }
        };
        Ok(blocks.as_ref().is_none_or(|blocks| blocks.contains(at)))
    }

    /// The rows of a block that pass.
    pub(crate) fn select(&self, at: usize, block: &Block) -> Result<Bits> {
        let entry = block.entry();
        let mut rows = Bits::none(entry.rows);
        let mut start = 0;
        for (stream, count) in &entry.streams {
            let end = start + *count as usize;
            if self.wants_stream(*stream) {
                rows.insert_range(start..end);
            }
            start = end;
        }
        // Texts are looked for in the wanted templates alone, and often stand in none: then the
        // templates of rows need not be read.
        let finds_wanted = |line: &&LineFilter| {
            line.is_wanted && line.alternatives.iter().all(|own| own.literals.is_some())
        };
        if self.templates.is_some() && !self.lines.iter().any(|line| finds_wanted(&line)) {
            let wanted = entry.templates.iter().map(|(id, _)| self.wants_template(*id));
            let wanted: Vec<bool> = wanted.collect();
            if wanted.contains(&false) {
                rows.and(&block.templates()?.rows_of(&wanted));
            }
        }
        if entry.first < self.range.start.0 || entry.last >= self.range.end.0 {
            let mut inside = Bits::none(entry.rows);
            for (row, time) in block.times()?.iter().enumerate() {
                if self.range.contains(TimestampNs(*time)) {
                    inside.insert(row);
                }
            }
            rows.and(&inside);
        }
        if entry.last_arrival >= self.before_arrival {
            let mut before = Bits::none(entry.rows);
            for (row, arrival) in block.arrivals()?.iter().enumerate() {
                if *arrival < self.before_arrival {
                    before.insert(row);
                }
            }
            rows.and(&before);
        }
        for matcher in &self.fields {
            if rows.is_empty() {
                break;
            }
            rows.and(&self.matching(matcher, block)?);
        }
        let others = self.lines.iter().filter(|line| !finds_wanted(line));
        for line in self.lines.iter().filter(finds_wanted).chain(others) {
            if rows.is_empty() {
                break;
            }
            let mut found = Bits::none(entry.rows);
            for alternative in &line.alternatives {
                found.or(&self.found(alternative, at, block, &rows)?);
            }
            if line.is_wanted {
                rows.and(&found);
            } else {
                rows.remove_all(&found);
            }
        }
        Ok(rows)
    }

    /// The rows whose label or field satisfies a matcher.
    fn matching(&self, matcher: &Matcher, block: &Block) -> Result<Bits> {
        let entry = block.entry();
        let streams = &self.part.index().streams;
        let mut rows = Bits::none(entry.rows);
        // The label of a stream hides fields of its name.
        let mut labelled = Bits::none(entry.rows);
        let mut start = 0;
        for (stream, count) in &entry.streams {
            let end = start + *count as usize;
            let labels = streams.get(*stream as usize);
            if let Some(value) = labels.and_then(|labels| labels.get(&matcher.name)) {
                labelled.insert_range(start..end);
                if matcher.matches(value) {
                    rows.insert_range(start..end);
                }
            }
            start = end;
        }
        if labelled.is_full() {
            return Ok(rows);
        }
        let mut found = Bits::none(entry.rows);
        let kinds = block.shape_kinds()?;
        // Shapes by the field that is the last of its name.
        let last_of = |shape: &Vec<u32>| {
            let is_it = |field: &&u32| {
                block.fields().get(**field as usize).is_some_and(|field| field.name == matcher.name)
            };
            shape.iter().rfind(is_it).copied()
        };
        let lasts: Vec<Option<u32>> = block.shapes().iter().map(last_of).collect();
        let mut wanted: Vec<u32> = lasts.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        for field in wanted {
            let at = field as usize;
            if !self.may_match_field(matcher, block, at)? {
                continue;
            }
            let accepts =
                |value: &[u8]| std::str::from_utf8(value).is_ok_and(|value| matcher.matches(value));
            let column = block.field(at)?;
            let accepted = match matcher.op {
                model::MatchOp::Equal => {
                    column.find(super::column::Spot::Whole, matcher.value.as_bytes())
                }
                _ => column.accepted(accepts),
            };
            let having = block.field_rows(at)?;
            for rank in accepted.iter() {
                let row = having.map_or(rank, |rows| rows.get(rank).map_or(0, |row| *row as usize));
                if lasts.get(kinds.of(row)).copied().flatten() == Some(field) {
                    found.insert(row);
                }
            }
        }
        if matcher.matches_empty() {
            for (shape, _) in lasts.iter().enumerate().filter(|(_, field)| field.is_none()) {
                kinds.rows(shape).iter().for_each(|row| found.insert(*row as usize));
            }
        }
        found.remove_all(&labelled);
        rows.or(&found);
        Ok(rows)
    }

    fn may_match_field(&self, matcher: &Matcher, block: &Block, field: usize) -> Result<bool> {
        if matcher.op != model::MatchOp::Equal {
            return Ok(true);
        }
        let Some(field) = block.fields().get(field) else { return Ok(false) };
        let (spot, text) = (super::column::Spot::Whole, matcher.value.as_bytes());
        let filter = block.filter()?;
        Ok(field.entry.may_hold(spot, text, true, &|id| filter_has(filter, id)))
    }
}
