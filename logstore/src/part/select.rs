//! Which rows of a block a query wants: templates first, then the index, then columns, and lines
//! only where nothing else tells.

mod lines;

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

    /// Whether the expression of an alternative matches all lines of a template, since it matches
    /// what stays.
    fn matches_all(&self, alternative: &Alternative, template: u32) -> bool {
        let at = template as usize;
        let (Some(regex), Some(sure), Some(template)) =
            (&alternative.regex, alternative.sure.get(at), self.part.index().templates.get(at))
        else {
            return false;
        };
        *sure.get_or_init(|| {
            let is_match = |piece: &Vec<u8>| {
                std::str::from_utf8(piece).is_ok_and(|piece| regex.is_match(piece))
            };
            let is_whole = template.slots() == 0;
            (is_whole || alternative.is_local) && template.pieces.iter().any(is_match)
        })
    }

    /// How many lines of a template have an alternative in them.
    fn matches_of(&self, alternative: &Alternative, template: u32) -> Pass {
        if alternative.regex.is_some() {
            let own = self.part.index().templates.get(template as usize);
            if self.matches_all(alternative, template) {
                return Pass::All;
            }
            // Without slots all lines are the same.
            if own.is_some_and(|template| template.slots() == 0) {
                return Pass::None;
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
        let Some(literals) = &alternative.literals else { return Ok(true) };
        for literal in literals {
            for (id, _) in entry.templates.iter().filter(|(id, _)| self.wants_template(*id)) {
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
        if self.templates.is_some() {
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
        for line in &self.lines {
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
        // Shapes by the field that is the first of its name.
        let first_of = |shape: &Vec<u32>| {
            let is_it = |field: &&u32| {
                block.fields.get(**field as usize).is_some_and(|field| field.name == matcher.name)
            };
            shape.iter().find(is_it).copied()
        };
        let firsts: Vec<Option<u32>> = block.shapes.iter().map(first_of).collect();
        let mut wanted: Vec<u32> = firsts.iter().flatten().copied().collect();
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
                if firsts.get(kinds.of(row)).copied().flatten() == Some(field) {
                    found.insert(row);
                }
            }
        }
        if matcher.matches_empty() {
            for (shape, _) in firsts.iter().enumerate().filter(|(_, field)| field.is_none()) {
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
        let Some(field) = block.fields.get(field) else { return Ok(false) };
        let (spot, text) = (super::column::Spot::Whole, matcher.value.as_bytes());
        let filter = block.filter()?;
        Ok(field.entry.may_hold(spot, text, true, &|id| filter_has(filter, id)))
    }

    /// The rows, of those in `among`, whose lines have an alternative in them; others may be in.
    fn found(
        &self,
        alternative: &Alternative,
        at: usize,
        block: &Block,
        among: &Bits,
    ) -> Result<Bits> {
        let mut found = match &alternative.literals {
            None => among.clone(),
            Some(literals) => {
                let mut found = Bits::none(block.entry().rows);
                for literal in literals {
                    found.or(&self.with_literal(literal, at, block, among)?);
                }
                found
            }
        };
        let Some(regex) = &alternative.regex else { return Ok(found) };
        found.and(among);
        let ids = block.entry().templates.iter().map(|(id, _)| *id);
        let sure: Vec<bool> = ids.map(|id| self.matches_all(alternative, id)).collect();
        let mut matching = match sure.contains(&true) {
            true => block.templates()?.rows_of(&sure),
            false => Bits::none(block.entry().rows),
        };
        matching.and(&found);
        found.remove_all(&matching);
        let mut line = Vec::new();
        for row in found.iter() {
            line.clear();
            block.append_line(row, &mut line)?;
            if std::str::from_utf8(&line).is_ok_and(|line| regex.is_match(line)) {
                matching.insert(row);
            }
        }
        Ok(matching)
    }

    fn with_literal(
        &self,
        literal: &Literal,
        at: usize,
        block: &Block,
        among: &Bits,
    ) -> Result<Bits> {
        let templates = &block.entry().templates;
        let whole: Vec<bool> =
            templates.iter().map(|(id, _)| *self.verdict(literal, *id) == Verdict::All).collect();
        let mut found = match whole.contains(&true) {
            true => block.templates()?.rows_of(&whole),
            false => Bits::none(block.entry().rows),
        };
        for (local, (id, _)) in templates.iter().enumerate() {
            if !self.wants_template(*id) {
                continue;
            }
            match self.verdict(literal, *id) {
                Verdict::All => {}
                Verdict::Ways(ways) => {
                    for way in ways {
                        if let Some(ranks) = self.ranks(literal, way, at, block, local)? {
                            let rows = block.templates()?.rows(local);
                            let rows = ranks.iter().filter_map(|rank| rows.get(rank));
                            rows.for_each(|row| found.insert(*row as usize));
                        }
                    }
                }
                Verdict::Unknown => {
                    let mut line = Vec::new();
                    for row in block.templates()?.rows(local) {
                        let row = *row as usize;
                        if among.contains(row) {
                            line.clear();
                            block.append_line(row, &mut line)?;
                            if literal.is_in(&mut line) {
                                found.insert(row);
                            }
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Which rows of a template satisfy all demands; `None` if none can.
    fn ranks(
        &self,
        literal: &Literal,
        way: &[Demand],
        at: usize,
        block: &Block,
        local: usize,
    ) -> Result<Option<Bits>> {
        for demand in way {
            let Some(entry) = block.slot_entry(local, demand.slot) else { return Ok(None) };
            let text = &literal.finder.needle()[demand.part.clone()];
            // What costs nothing to know comes first.
            if literal.ignores_case {
                let indexed = self.is_indexed(literal, demand, at)?;
                if !entry.may_hold_folded(demand.spot, text, indexed) {
                    return Ok(None);
                }
                continue;
            }
            if !entry.may_hold(demand.spot, text, true, &|_| true) {
                return Ok(None);
            }
            let indexed = self.is_indexed(literal, demand, at)?;
            let filter = block.filter()?;
            if !entry.may_hold(demand.spot, text, indexed, &|id| filter_has(filter, id)) {
                return Ok(None);
            }
        }
        let mut ranks: Option<Bits> = None;
        for demand in way {
            let text = &literal.finder.needle()[demand.part.clone()];
            let own =
                block.find_in_slot(local, demand.slot, |column| match literal.ignores_case {
                    true => column.find_folded(demand.spot, text),
                    false => column.find(demand.spot, text),
                })?;
            let all = match ranks.take() {
                Some(mut ranks) => {
                    ranks.and(&own);
                    ranks
                }
                None => own,
            };
            if all.is_empty() {
                return Ok(None);
            }
            ranks = Some(all);
        }
        Ok(ranks)
    }
}
