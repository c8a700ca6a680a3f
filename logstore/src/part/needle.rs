//! Where in a line a text can be, seen from the template of the line.
//!
//! A text that is in what stays is in every line of the template. Else it lies inside of one slot,
//! or begins in a slot or in what stays and runs over slots. Each such *way* says what the values
//! of slots must be like, so that lines need not be put together to know whether the text is in
//! them.

use std::ops::Range;

use memchr::memmem::Finder;

use super::column::Spot;
use super::index::Template;

/// More ways than this are not told.
const WAYS_MAX: usize = 64;

/// What one slot must be like: it has a part of the text there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) slot: usize,
    pub(crate) spot: Spot,
    /// Which part of the text.
    pub(crate) part: Range<usize>,
}

/// In which lines of a template a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In all.
    All,
    /// In those where all demands of one of these ways hold; none if there is no way.
    Ways(Vec<Vec<Demand>>),
    /// There are too many ways; each line has to be looked at.
    Unknown,
}

/// Tells in which lines of `template` the text of `finder` is.
pub(crate) fn judge(template: &Template, finder: &Finder<'_>) -> Verdict {
    let text = finder.needle();
    let pieces = &template.pieces;
    if pieces.iter().any(|piece| finder.find(piece).is_some()) {
        return Verdict::All;
    }
    let mut search = Search { text, pieces, ways: Vec::new(), way: Vec::new() };
    for (slot, piece) in pieces.iter().enumerate().take(template.slots()) {
        search.ways.push(vec![Demand { slot, spot: Spot::Inside, part: 0..text.len() }]);
        // It begins in what stays before the slot.
        for length in 1..=piece.len().min(text.len().saturating_sub(1)) {
            if text.starts_with(&piece[piece.len() - length..]) {
                search.go_on(length, slot);
            }
        }
        // It begins in the slot and goes on behind it.
        search.leave(0, slot, Spot::End);
        if search.ways.len() > WAYS_MAX {
            return Verdict::Unknown;
        }
    }
    Verdict::Ways(search.ways)
}

struct Search<'a> {
    text: &'a [u8],
    pieces: &'a [Vec<u8>],
    ways: Vec<Vec<Demand>>,
    way: Vec<Demand>,
}

impl Search<'_> {
    /// The text from `at` on begins where `slot` begins.
    fn go_on(&mut self, at: usize, slot: usize) {
        if self.ways.len() > WAYS_MAX {
            return;
        }
        let mut way = self.way.clone();
        way.push(Demand { slot, spot: Spot::Start, part: at..self.text.len() });
        self.ways.push(way);
        self.leave(at, slot, Spot::Whole);
    }

    /// The text from `at` on has a part in `slot`, which goes to the end of the slot, and goes on.
    fn leave(&mut self, at: usize, slot: usize, spot: Spot) {
        let Some(piece) = self.pieces.get(slot + 1) else { return };
        let is_last = slot + 2 >= self.pieces.len();
        // The text begins in the slot, so that at least one byte of it is there.
        let from = if spot == Spot::End { at + 1 } else { at };
        for end in from..=self.text.len() {
            let rest = &self.text[end..];
            if rest.is_empty() {
                break;
            }
            let demand = Demand { slot, spot, part: at..end };
            if piece.starts_with(rest) {
                let mut way = self.way.clone();
                way.push(demand);
                self.ways.push(way);
            } else if !is_last && rest.starts_with(piece) {
                self.way.push(demand);
                self.go_on(end + piece.len(), slot + 1);
                self.way.pop();
            }
            if self.ways.len() > WAYS_MAX {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(pieces: &[&str]) -> Template {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        Template { pieces }
    }

    fn is_in(verdict: &Verdict, text: &str, values: &[String]) -> Option<bool> {
        let holds = |demand: &Demand| {
            let (value, part) =
                (values[demand.slot].as_bytes(), &text.as_bytes()[demand.part.clone()]);
            match demand.spot {
                Spot::Inside => memchr::memmem::find(value, part).is_some(),
                Spot::Start => value.starts_with(part),
                Spot::End => value.ends_with(part),
                Spot::Whole => value == part,
            }
        };
        match verdict {
            Verdict::All => Some(true),
            Verdict::Ways(ways) => Some(ways.iter().any(|way| way.iter().all(holds))),
            Verdict::Unknown => None,
        }
    }

    proptest! {
        #[test]
        fn a_verdict_is_right_for_every_line(
            pieces in prop::collection::vec("[ab ]{0,3}", 1..5),
            values in prop::collection::vec("[ab ]{0,3}", 5),
            text in "[ab ]{1,7}",
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let template = template(&pieces);
            let mut line = String::new();
            for (i, piece) in pieces.iter().enumerate() {
                if i > 0 { line.push_str(&values[i - 1]); }
                line.push_str(piece);
            }
            let verdict = judge(&template, &Finder::new(&text));
            if let Some(found) = is_in(&verdict, &text, &values) {
                prop_assert_eq!(found, line.contains(&text), "{:?} {:?}", line, verdict);
            }
        }
    }

    #[test]
    fn a_text_in_what_stays_is_in_all_lines() {
        let verdict = judge(&template(&["user ", " logged in"]), &Finder::new("logged"));
        assert_eq!(verdict, Verdict::All);
        let verdict = judge(&template(&["no slots"]), &Finder::new("absent"));
        assert_eq!(verdict, Verdict::Ways(Vec::new()));
    }
}
