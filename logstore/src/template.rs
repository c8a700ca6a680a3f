//! Finds the templates of lines: what stays, and slots for what varies.
//!
//! A relative of Drain (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth
//! Tree", ICWS 2017). Lines whose tokens lie between the same separators and that begin alike share
//! a bucket. Tokens that vary by their look (digits, ids, paths) are slots from the start. Words are
//! slots only when there is evidence: once [`VARIANTS`] groups of a bucket differ in the same few
//! words, they become one group. So `started` and `stopped` stay two patterns, and a hundred names
//! of users one.
//!
//! What the miner answers is a guess that only costs room if it is bad: whoever cuts a line by a
//! group checks that what stays is really there.

mod tokens;

use rustc_hash::FxHashMap;
pub(crate) use tokens::{Cut, Token, cut};

/// So many groups that differ in the same words are one.
const VARIANTS: usize = 6;
/// Groups are compared if this share of their tokens is equal, in percent.
const SIMILAR_PERCENT: usize = 60;
/// More groups than this are not made in one bucket, and not in all.
const BUCKET_GROUPS_MAX: usize = 128;
const GROUPS_MAX: usize = 16 << 10;

/// The hash that stands for a slot.
const SLOT: u64 = 0;

/// The group that all lines belong to for which there is no other.
pub(crate) const NO_GROUP: u32 = 0;

#[derive(Debug)]
struct Group {
    /// Hashes of tokens that stay, or [`SLOT`].
    tokens: Vec<u64>,
    /// The group that it became part of, or itself.
    parent: u32,
}

/// Finds groups of lines that differ only in what varies.
#[derive(Debug)]
pub(crate) struct Miner {
    buckets: FxHashMap<u64, Vec<u32>>,
    groups: Vec<Group>,
}

impl Default for Miner {
    fn default() -> Self {
        let none = Group { tokens: Vec::new(), parent: NO_GROUP };
        Miner { buckets: FxHashMap::default(), groups: vec![none] }
    }
}

impl Miner {
    /// The group of a line that was cut into `tokens`. Groups may become one later:
    /// [`Miner::root`].
    pub(crate) fn add(&mut self, cut: Cut, tokens: &[Token]) -> u32 {
        let Some(first) = tokens.first() else { return NO_GROUP };
        let key = (cut.shape ^ first.hash).wrapping_add(tokens.len() as u64);
        let bucket = self.buckets.entry(key).or_default();
        for (place, &id) in bucket.iter().enumerate() {
            let group = &mut self.groups[id as usize];
            if group.tokens.len() == tokens.len() && holds(&group.tokens, tokens) {
                for (own, token) in group.tokens.iter_mut().zip(tokens) {
                    if token.hash == SLOT {
                        *own = SLOT;
                    }
                }
                if place > 0 {
                    bucket.swap(place, place - 1);
                }
                return id;
            }
        }
        let mut near: Vec<(Vec<u16>, u32)> = Vec::new();
        for &id in bucket.iter() {
            let group = &self.groups[id as usize].tokens;
            if group.len() != tokens.len() {
                continue;
            }
            let differ = differing(group, tokens);
            if (tokens.len() - differ.len()) * 100 >= SIMILAR_PERCENT * tokens.len() {
                near.push((differ, id));
            }
        }
        near.sort_by(|a, b| (a.0.len(), a).cmp(&(b.0.len(), b)));
        let alike = near.chunk_by(|a, b| a.0 == b.0).find(|alike| {
            let is_slot = |at: &u16| tokens[usize::from(*at)].hash == SLOT;
            alike.len() + 1 >= VARIANTS || alike[0].0.iter().all(is_slot)
        });
        if let Some(alike) = alike {
            let (differ, id) = &alike[0];
            for at in differ {
                self.groups[*id as usize].tokens[usize::from(*at)] = SLOT;
            }
            for (_, other) in &alike[1..] {
                self.groups[*other as usize].parent = *id;
            }
            bucket.retain(|known| alike[1..].iter().all(|(_, other)| other != known));
            return *id;
        }
        if bucket.len() >= BUCKET_GROUPS_MAX || self.groups.len() >= GROUPS_MAX {
            return NO_GROUP;
        }
        let id = self.groups.len() as u32;
        let hashes = tokens.iter().map(|token| token.hash).collect();
        self.groups.push(Group { tokens: hashes, parent: id });
        bucket.push(id);
        id
    }

    /// The group that a group has become part of.
    pub(crate) fn root(&self, mut group: u32) -> u32 {
        while let Some(found) = self.groups.get(group as usize) {
            if found.parent == group {
                break;
            }
            group = found.parent;
        }
        group
    }

    /// For each token of a group, whether it is a slot.
    pub(crate) fn slots(&self, root: u32) -> impl Iterator<Item = bool> {
        let tokens = self.groups.get(root as usize).map_or(&[][..], |group| &group.tokens);
        tokens.iter().map(|hash| *hash == SLOT)
    }
}

/// Whether all that stays in a group is in the line.
fn holds(group: &[u64], tokens: &[Token]) -> bool {
    let fits = |(own, token): (&u64, &Token)| {
        *own == SLOT || *own == token.hash || (*own == tokens::EMPTY && token.hash == SLOT)
    };
    group.iter().zip(tokens).all(fits)
}

/// Where a group and a line differ.
fn differing(group: &[u64], tokens: &[Token]) -> Vec<u16> {
    let pairs = group.iter().zip(tokens).enumerate();
    pairs
        .filter(|(_, (own, token))| **own != SLOT && **own != token.hash)
        .map(|(at, _)| at as u16)
        .collect()
}

#[cfg(test)]
mod tests;
