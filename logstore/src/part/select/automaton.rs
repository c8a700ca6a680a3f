//! A regular expression as an automaton that goes over the parts of a line: what stays of its
//! template, and the values of its slots.
//!
//! What stays is gone over once for all lines of a template. The value of a slot is not looked at
//! where it can not matter: where all values that the slot can have, whatever they are, leave the
//! automaton in one state behind the text that follows the slot.

use std::cell::RefCell;

use regex_automata::Input;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use rustc_hash::FxHashMap;

use crate::part::index::{ByteSet, Template};

/// More states than this are not followed together.
const STATES_MAX: usize = 48;

/// Where the automaton is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    On(LazyStateID),
    /// The line matches, whatever follows.
    Matched,
    /// The line does not match, whatever follows.
    Lost,
}

/// The automaton can not tell: it became too large, or it met a byte that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveUp;

type Answer<T> = Result<T, GaveUp>;

/// The automaton of an expression.
pub(super) struct Automaton {
    dfa: DFA,
    cache: RefCell<Cache>,
    known: RefCell<FxHashMap<Passing, Option<State>>>,
}

/// A state before a slot of a template, and the bytes that values of the slot can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Passing {
    from: State,
    template: u32,
    slot: usize,
    bytes: ByteSet,
}

impl Automaton {
    /// The automaton of an expression that was parsed without flags from outside; `None` if it has
    /// none.
    pub(super) fn new(expression: &str) -> Option<Self> {
        // Once its memory is full it gives up, since states are kept here.
        let config = DFA::config().minimum_cache_clear_count(Some(0)).unicode_word_boundary(true);
        let dfa = DFA::builder().configure(config).build(expression).ok()?;
        let cache = RefCell::new(dfa.create_cache());
        Some(Automaton { dfa, cache, known: RefCell::default() })
    }

    /// The state before the first byte of a line.
    pub(super) fn start(&self) -> Answer<State> {
        let input = Input::new("");
        let start = self.dfa.start_state_forward(&mut self.cache.borrow_mut(), &input);
        start.map_err(|_| GaveUp).and_then(state_of)
    }

    /// The state behind some bytes.
    pub(super) fn run(&self, from: State, bytes: &[u8]) -> Answer<State> {
        let State::On(mut id) = from else { return Ok(from) };
        let cache = &mut self.cache.borrow_mut();
        for byte in bytes {
            id = self.dfa.next_state(cache, id, *byte).map_err(|_| GaveUp)?;
            if id.is_tagged() {
                return state_of(id);
            }
        }
        Ok(State::On(id))
    }

    /// Whether a line matches that ends here.
    pub(super) fn ends(&self, at: State) -> Answer<bool> {
        let State::On(id) = at else { return Ok(at == State::Matched) };
        let next = self.dfa.next_eoi_state(&mut self.cache.borrow_mut(), id);
        Ok(state_of(next.map_err(|_| GaveUp)?)? == State::Matched)
    }

    /// The state behind a piece of a template; the last one ends the line.
    pub(super) fn run_piece(&self, from: State, template: &Template, at: usize) -> Answer<State> {
        let piece = template.pieces.get(at).map_or(&[][..], Vec::as_slice);
        let state = self.run(from, piece)?;
        if at + 1 < template.pieces.len() {
            return Ok(state);
        }
        Ok(if self.ends(state)? { State::Matched } else { State::Lost })
    }

    /// All states behind values of some bytes.
    fn reach(&self, from: State, bytes: &ByteSet) -> Answer<Vec<State>> {
        let mut found = vec![from];
        let classes = self.dfa.byte_classes();
        // One byte of each class.
        let mut last = None;
        let mut wanted: Vec<u8> = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| bytes.has(*byte)) {
            if last != Some(classes.get(byte)) {
                wanted.push(byte);
            }
            last = Some(classes.get(byte));
        }
        let mut at = 0;
        while let Some(state) = found.get(at).copied() {
            at += 1;
            for byte in &wanted {
                let next = self.run(state, &[*byte])?;
                if !found.contains(&next) {
                    found.push(next);
                }
            }
            if found.len() > STATES_MAX {
                return Err(GaveUp);
            }
        }
        Ok(found)
    }

    /// All states behind a slot whose values have some bytes, and the piece that follows it.
    fn pass(
        &self,
        from: State,
        template: &Template,
        slot: usize,
        bytes: &ByteSet,
    ) -> Answer<Vec<State>> {
        let mut found = Vec::new();
        for state in self.reach(from, bytes)? {
            let next = self.run_piece(state, template, slot + 1)?;
            if !found.contains(&next) {
                found.push(next);
            }
        }
        Ok(found)
    }

    /// The state behind a slot and the piece that follows it, if all values of these bytes lead to
    /// the same one.
    pub(super) fn skip(
        &self,
        from: State,
        (id, template): (u32, &Template),
        slot: usize,
        bytes: &ByteSet,
    ) -> Option<State> {
        if !matches!(from, State::On(_)) {
            return Some(from);
        }
        let passing = Passing { from, template: id, slot, bytes: *bytes };
        if let Some(known) = self.known.borrow().get(&passing) {
            return *known;
        }
        let found = match self.pass(from, template, slot, bytes) {
            Ok(found) => <[State; 1]>::try_from(found).ok().map(|[state]| state),
            Err(GaveUp) => None,
        };
        self.known.borrow_mut().insert(passing, found);
        found
    }

    /// Whether all lines of a template match or none does, whatever is in its slots; `None` if
    /// that depends on them.
    pub(super) fn decides(&self, template: &Template) -> Answer<Option<bool>> {
        let mut states = vec![self.run_piece(self.start()?, template, 0)?];
        for slot in 0..template.slots() {
            let mut behind = Vec::new();
            for state in states {
                let next = match state {
                    State::On(_) => self.pass(state, template, slot, &ByteSet::ALL)?,
                    _ => vec![state],
                };
                behind.extend(
                    next.into_iter().filter(|state| !behind.contains(state)).collect::<Vec<_>>(),
                );
            }
            if behind.len() > STATES_MAX {
                return Err(GaveUp);
            }
            states = behind;
        }
        Ok(match states[..] {
            [State::Matched] => Some(true),
            [State::Lost] => Some(false),
            _ => None,
        })
    }
}

fn state_of(id: LazyStateID) -> Answer<State> {
    if id.is_match() {
        Ok(State::Matched)
    } else if id.is_dead() {
        Ok(State::Lost)
    } else if id.is_quit() || id.is_unknown() {
        Err(GaveUp)
    } else {
        Ok(State::On(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(pieces: &[&str]) -> Template {
        Template { pieces: pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect() }
    }

    fn bytes_of(values: &[&str]) -> ByteSet {
        let mut bytes = ByteSet::default();
        values.iter().for_each(|value| bytes.insert_all(value.as_bytes()));
        bytes
    }

    #[test]
    fn a_slot_that_can_not_matter_is_skipped() {
        let template = template(&["", " Retrying call to x (attempt ", " of 5) after ", " ms"]);
        let automaton = Automaton::new("Retrying call to \\w+ .attempt [34]").unwrap();
        let start = automaton.run_piece(automaton.start().unwrap(), &template, 0).unwrap();
        let digits = bytes_of(&["0123456789:."]);
        let before = automaton.skip(start, (1, &template), 0, &digits).unwrap();
        assert_eq!(automaton.skip(before, (1, &template), 1, &digits), None);
        for (value, expected) in [("3", true), ("2", false), ("44", true)] {
            let state = automaton.run(before, value.as_bytes()).unwrap();
            let state = automaton.run_piece(state, &template, 2).unwrap();
            let end = automaton.skip(state, (1, &template), 2, &digits).unwrap();
            assert_eq!(end == State::Matched, expected, "{value}");
        }
        // Some value could have the whole text.
        assert_eq!(automaton.skip(start, (1, &template), 0, &ByteSet::ALL), None);
    }

    #[test]
    fn what_stays_can_decide() {
        let decides = |expression: &str, pieces: &[&str]| {
            Automaton::new(expression).unwrap().decides(&template(pieces)).unwrap()
        };
        assert_eq!(decides("(?i)CHECKED out", &["", " checked Out ", ""]), Some(true));
        assert_eq!(decides("^a |x", &["a ", " z"]), Some(true));
        // The slot may have the end of a line, which `.` is not.
        assert_eq!(decides("^a.*z$", &["a ", " z"]), None);
        assert_eq!(decides("^a", &["b ", " z"]), Some(false));
        assert_eq!(decides("ab", &["a ", " z"]), None);
    }

    proptest! {
        #[test]
        fn an_automaton_agrees_with_the_expression(
            expression in prop::sample::select(vec![
                "a+b", "^a.*b$", "(?i)aB|1", "\\ba", "[ab]\\d", "a{2,3}", "^$", "", "b$",
                "1 \\w", "\\B1",
            ]),
            pieces in prop::collection::vec("[ab1 ]{0,3}", 2..5),
            values in prop::collection::vec("[ab1 ]{0,3}", 4),
        ) {
            let regex = regex::Regex::new(expression).unwrap();
            let automaton = Automaton::new(expression).unwrap();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let template = template(&pieces);
            let mut line = pieces[0].to_owned();
            let mut state = automaton.run_piece(automaton.start().unwrap(), &template, 0).unwrap();
            for slot in 0..template.slots() {
                line.push_str(&values[slot]);
                line.push_str(pieces[slot + 1]);
                let bytes = bytes_of(&[&values[slot]]);
                let skipped = automaton.skip(state, (0, &template), slot, &bytes);
                state = automaton.run(state, values[slot].as_bytes()).unwrap();
                state = automaton.run_piece(state, &template, slot + 1).unwrap();
                prop_assert!(skipped.is_none_or(|skipped| skipped == state));
            }
            let matches = regex.is_match(&line);
            prop_assert_eq!(state == State::Matched, matches, "{:?}", line);
            if let Ok(Some(decided)) = automaton.decides(&template) {
                prop_assert_eq!(decided, matches, "{:?}", line);
            }
        }
    }
}
