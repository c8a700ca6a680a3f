//! Which patterns are names of the same lines.
//!
//! Stores learn patterns from the lines that they have seen, so that what a young part calls
//! `user anna logged in` is `user <_> logged in` to a merged one. Counts of different stretches of
//! time are compared by families: a pattern and all that it covers.
//!
//! A pattern covers another if both have as many tokens, which blanks separate, and each of its
//! tokens matches the other's: text matches itself, `<_>` one or more characters and `<_>`s. What
//! has no letter and no digit outside of `<_>` covers only itself, as it would take everything of
//! its length.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::QueryContext;

use super::Counts;
use crate::error::Result;

/// How a variable part is written.
const ANY: &str = "<_>";

/// A character, or nothing for a variable part.
type Atom = Option<char>;

/// A pattern taken apart.
struct Tokens(Vec<Vec<Atom>>);

impl Tokens {
    fn read(pattern: &str) -> Self {
        Tokens(pattern.split(' ').map(atoms).collect())
    }

    fn is_specific(&self) -> bool {
        self.0.iter().flatten().flatten().any(|c| c.is_alphanumeric())
    }

    fn fixed(&self) -> usize {
        self.0.iter().flatten().flatten().count()
    }

    /// What all patterns that it covers have, if its first token is without variable parts.
    fn key(&self) -> Key {
        let first = self.0.first().filter(|token| token.iter().all(Option::is_some));
        (self.0.len(), first.map(|token| token.iter().flatten().collect()))
    }

    /// Whether it covers another.
    fn covers(&self, other: &Tokens) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(token, other)| matches(token, other))
    }
}

/// The number of tokens, and the first one if it is a text.
type Key = (usize, Option<String>);

fn atoms(mut token: &str) -> Vec<Atom> {
    let mut made = Vec::with_capacity(token.len());
    while let Some(first) = token.chars().next() {
        if let Some(rest) = token.strip_prefix(ANY) {
            made.push(None);
            token = rest;
        } else {
            made.push(Some(first));
            token = token.get(first.len_utf8()..).unwrap_or("");
        }
    }
    made
}

/// Whether a token matches another: each `<_>` of it takes at least one atom. It is enough to
/// remember the last `<_>`, since what an earlier one takes more, the last could take as well.
fn matches(token: &[Atom], other: &[Atom]) -> bool {
    let (mut at, mut at_other) = (0, 0);
    // Behind the last variable part, and how far it reaches.
    let mut back: Option<(usize, usize)> = None;
    while let Some(found) = other.get(at_other) {
        match token.get(at) {
            Some(None) => {
                (at, at_other) = (at + 1, at_other + 1);
                back = Some((at, at_other));
            }
            Some(wanted) if wanted == found => (at, at_other) = (at + 1, at_other + 1),
            _ => {
                let Some((behind, reach)) = back else { return false };
                (at, at_other) = (behind, reach + 1);
                back = Some((at, at_other));
            }
        }
    }
    at == token.len()
}

/// The most general pattern of each family, by the name of each other member.
#[derive(Debug)]
pub(super) struct Families(BTreeMap<String, String>);

impl Families {
    /// Sorts the patterns of several counts.
    pub(super) fn of(counts: &[&Counts], context: &QueryContext) -> Result<Self> {
        let patterns: BTreeSet<&String> = counts.iter().flat_map(|counts| counts.keys()).collect();
        let mut read = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            context.hold(pattern.len() as u64 * size_of::<Atom>() as u64)?;
            read.push((pattern, Tokens::read(pattern)));
        }
        // What covers another has less text than it.
        read.sort_by_key(|(_, tokens)| tokens.fixed());
        let mut heads: HashMap<Key, Vec<usize>> = HashMap::new();
        let mut families = BTreeMap::new();
        for (i, (pattern, tokens)) in read.iter().enumerate() {
            context.check()?;
            let first = pattern.split(' ').next().unwrap_or_default();
            let keys = [(tokens.0.len(), Some(first.to_owned())), (tokens.0.len(), None)];
            let known = keys.iter().filter_map(|key| heads.get(key)).flatten();
            let mut known = known.filter_map(|head| read.get(*head));
            if let Some((head, _)) = known.find(|(_, head)| head.covers(tokens)) {
                context.hold((pattern.len() + head.len()) as u64)?;
                families.insert((*pattern).clone(), (*head).clone());
            } else if tokens.is_specific() {
                heads.entry(tokens.key()).or_default().push(i);
            }
        }
        Ok(Families(families))
    }

    /// Puts the counts of each family together, under the name of its most general pattern.
    pub(super) fn gather(&self, counts: Counts) -> Counts {
        let mut gathered = Counts::new();
        for (pattern, steps) in counts {
            let name = self.0.get(&pattern).cloned().unwrap_or(pattern);
            let family = gathered.entry(name).or_default();
            for (step, records) in steps {
                *family.entry(step).or_default() += records;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::native::logs::patterns::Steps;

    fn covers(general: &str, other: &str) -> bool {
        Tokens::read(general).covers(&Tokens::read(other))
    }

    fn counts(patterns: &[(&str, u64)]) -> Counts {
        let step = |records| Steps::from([(0, records)]);
        patterns.iter().map(|(name, records)| ((*name).to_owned(), step(*records))).collect()
    }

    fn gathered(patterns: &[(&str, u64)]) -> Counts {
        let counts = counts(patterns);
        Families::of(&[&counts], &QueryContext::unlimited()).unwrap().gather(counts)
    }

    #[test]
    fn what_was_generalised_is_covered() {
        for (general, other) in [
            ("user <_> logged in", "user anna logged in"),
            ("user <_> logged in", "user u<_> logged in"),
            ("took=<_>ms", "took=15<_>7ms"),
            ("<_>a<_>", "xaxax"),
            ("GET <_>/<_> <_>", "GET /a/b/<_> 200"),
            ("", ""),
        ] {
            assert!(covers(general, other), "{general} {other}");
        }
        for (general, other) in [
            ("user anna logged in", "user <_> logged in"),
            ("user <_> in", "user anna logged in"),
            ("user<_> in", "user in"),
            ("took=<_>ms", "took=ms"),
            ("a", ""),
            ("<_>", ""),
            ("<_>ab", "xaab c"),
        ] {
            assert!(!covers(general, other), "{general} {other}");
        }
    }

    #[test]
    fn families_are_counted_together() {
        let given = [("user <_> in", 1), ("user a in", 2), ("user b in", 4), ("<_> <_> <_>", 8)];
        assert_eq!(gathered(&given), counts(&[("user <_> in", 7), ("<_> <_> <_>", 8)]));
        let apart = [("user a in", 2), ("user b in", 4), ("disk is full", 1)];
        assert_eq!(gathered(&apart), counts(&apart));
    }

    /// Tries every way.
    fn naive(general: &[Atom], other: &[Atom]) -> bool {
        match (general, other) {
            ([], []) => true,
            ([None, rest @ ..], [first, ..]) if *first != Some(' ') => {
                let reach = other.iter().take_while(|atom| **atom != Some(' ')).count();
                (1..=reach).any(|taken| naive(rest, &other[taken..]))
            }
            ([Some(a), rest @ ..], [Some(b), others @ ..]) => a == b && naive(rest, others),
            _ => false,
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![Just("a"), Just("b"), Just(" "), Just(ANY), Just("<"), Just("_>")];
        prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn covering_is_what_trying_every_way_finds(general in pattern(), other in pattern()) {
            let expected = naive(&atoms(&general), &atoms(&other));
            prop_assert_eq!(covers(&general, &other), expected);
        }

        #[test]
        fn a_generalised_pattern_covers_its_origin(
            tokens in prop::collection::vec("[a-c]{1,4}", 1..5), at in any::<prop::sample::Index>(),
            from in 0_usize..4, length in 1_usize..5,
        ) {
            let mut general = tokens.clone();
            let token = &mut general[at.index(tokens.len())];
            let from = from.min(token.len() - 1);
            let to = (from + length).min(token.len());
            token.replace_range(from..to, ANY);
            prop_assert!(covers(&general.join(" "), &tokens.join(" ")));
        }

        #[test]
        fn families_lose_nothing_and_do_not_cover_each_other(
            patterns in prop::collection::btree_map(pattern(), 1_u64..9, 0..12),
        ) {
            let given: Vec<(&str, u64)> = patterns.iter().map(|(p, n)| (p.as_str(), *n)).collect();
            let gathered = gathered(&given);
            let sum = |counts: &Counts| counts.values().flat_map(|steps| steps.values()).sum::<u64>();
            prop_assert_eq!(sum(&gathered), sum(&counts(&given)));
            for (a, b) in gathered.keys().flat_map(|a| gathered.keys().map(move |b| (a, b))) {
                let (a, b) = (Tokens::read(a), Tokens::read(b));
                let covers = naive(&a.0.join(&Some(' ')), &b.0.join(&Some(' ')));
                prop_assert!(a.0 == b.0 || !a.is_specific() || !covers);
            }
        }
    }
}
