//! The patterns of lines in memory, found when a query asks for them, by the same miner that finds
//! those of parts.

use rustc_hash::FxHashMap;

use crate::part::Template;
use crate::template::{Miner, NO_GROUP, Token, cut};

/// Lines in groups. What the lines of a group have in common is known when all were added.
#[derive(Default)]
pub(super) struct Patterns<'a> {
    miner: Miner,
    tokens: Vec<Token>,
    /// A line of each group.
    examples: FxHashMap<u32, &'a str>,
}

impl<'a> Patterns<'a> {
    /// The group of a line; several may turn out to have one pattern.
    pub(super) fn add(&mut self, line: &'a str) -> u32 {
        let cut = cut(line, &mut self.tokens);
        let group = self.miner.add(cut, &self.tokens);
        self.examples.entry(group).or_insert(line);
        group
    }

    /// The pattern of a group in LogQL's pattern syntax.
    pub(super) fn text(&self, group: u32) -> String {
        let line = match self.examples.get(&group) {
            Some(line) if group != NO_GROUP => *line,
            _ => return Template::any().pattern(),
        };
        let mut tokens = Vec::new();
        cut(line, &mut tokens);
        let mut template = Template { pieces: Vec::new() };
        let mut end = 0;
        for (token, is_slot) in tokens.iter().zip(self.miner.slots(self.miner.root(group))) {
            if is_slot {
                let piece = line.get(end..token.start as usize).unwrap_or_default();
                template.pieces.push(piece.as_bytes().to_vec());
                end = token.end as usize;
            }
        }
        template.pieces.push(line.get(end..).unwrap_or_default().as_bytes().to_vec());
        template.pattern()
    }
}
