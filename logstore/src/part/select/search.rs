//! Looks for texts and expressions in the columns of a block.

use super::lines::{Alternative, Literal};
use super::walk::walk;
use super::{Filter, Pass};
use crate::error::Result;
use crate::part::bits::Bits;
use crate::part::block::Block;
use crate::part::grams::filter_has;
use crate::part::needle::{Demand, Verdict};

impl Filter {
    /// The rows, of those in `among`, whose lines have an alternative in them; others may be in if
    /// it is a text.
    pub(super) fn found(
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
        let mut matching = Bits::none(block.entry().rows);
        if found.is_empty() {
            return Ok(matching);
        }
        let mut line = Vec::new();
        for (local, (id, _)) in block.entry().templates.iter().enumerate() {
            let pass = self.pass_of_regex(alternative, *id);
            if pass == Pass::None {
                continue;
            }
            let rows = block.templates()?.rows(local).iter().map(|row| *row as usize).enumerate();
            let rows: Vec<(usize, usize)> = rows.filter(|(_, row)| found.contains(*row)).collect();
            if rows.is_empty() {
                continue;
            }
            if pass == Pass::All {
                rows.iter().for_each(|(_, row)| matching.insert(*row));
                continue;
            }
            if let Some(automaton) = &alternative.automaton
                && let Some(states) = walk(automaton, block, local, &rows)?
            {
                for ((_, row), is_match) in rows.iter().zip(states) {
                    if is_match {
                        matching.insert(*row);
                    }
                }
                continue;
            }
            for (_, row) in rows {
                line.clear();
                block.append_line(row, &mut line)?;
                if std::str::from_utf8(&line).is_ok_and(|line| regex.is_match(line)) {
                    matching.insert(row);
                }
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
        let is_whole =
            |id: u32| self.wants_template(id) && *self.verdict(literal, id) == Verdict::All;
        let whole: Vec<bool> = templates.iter().map(|(id, _)| is_whole(*id)).collect();
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
            let wanted = (demand.spot, text, literal.ignores_case);
            let own = block.find_in_slot(local, demand.slot, wanted)?;
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
