//! An automaton goes over the lines of a template in a block, slot by slot for all lines together,
//! and reads only the columns that matter.

use rustc_hash::FxHashMap;

use super::automaton::{Automaton, GaveUp, State};
use crate::error::Result;
use crate::part::block::Block;
use crate::part::column::Column;
use crate::part::index::{ByteSet, Template};

/// More states of lines than this are not judged apart from the values.
const STATES_MAX: usize = 32;

/// Where the automaton is in each line.
enum States {
    Same(State),
    Each(Vec<State>),
}

/// Whether the automaton matches lines of a template, of which the places among the rows of the
/// template are told; `None` if it can not tell.
pub(super) fn walk(
    automaton: &Automaton,
    block: &Block,
    local: usize,
    rows: &[(usize, usize)],
) -> Result<Option<impl Iterator<Item = bool> + use<>>> {
    let Some((id, _)) = block.entry().templates.get(local).copied() else { return Ok(None) };
    let Some(template) = block.part().index().templates.get(id as usize) else { return Ok(None) };
    let first = automaton.start().and_then(|start| automaton.run_piece(start, template, 0));
    let Ok(first) = first else { return Ok(None) };
    let mut states = States::Same(first);
    for slot in 0..template.slots() {
        let before = states.distinct();
        if before.iter().all(|state| !matches!(state, State::On(_))) {
            break;
        }
        let bytes = block.slot_entry(local, slot).map_or(ByteSet::ALL, |entry| entry.bytes());
        let skip = |from: State| automaton.skip(from, (id, template), slot, &bytes);
        let behind: Option<Vec<State>> = match before.len() <= STATES_MAX {
            true => before.iter().map(|from| skip(*from)).collect(),
            false => None,
        };
        if let Some(behind) = behind {
            let next = |from: &State| {
                let place = before.iter().position(|known| known == from);
                place.and_then(|place| behind.get(place)).copied().unwrap_or(*from)
            };
            states = match states {
                States::Same(state) => States::Same(next(&state)),
                States::Each(list) => States::Each(list.iter().map(next).collect()),
            };
            continue;
        }
        let column = block.slot(local, slot)?;
        match pass(automaton, template, slot, column, rows, &states) {
            Ok(list) => states = States::Each(list),
            Err(GaveUp) => return Ok(None),
        }
    }
    let count = rows.len();
    let list = match states {
        States::Same(state) => vec![state; count],
        States::Each(list) => list,
    };
    Ok(Some(list.into_iter().map(|state| state == State::Matched)))
}

impl States {
    fn of(&self, at: usize) -> State {
        match self {
            States::Same(state) => *state,
            States::Each(list) => list.get(at).copied().unwrap_or(State::Lost),
        }
    }

    /// The states that occur, up to one more than are judged.
    fn distinct(&self) -> Vec<State> {
        match self {
            States::Same(state) => vec![*state],
            States::Each(list) => {
                let mut found: Vec<State> = Vec::new();
                for state in list {
                    if found.last() != Some(state) && !found.contains(state) {
                        found.push(*state);
                        if found.len() > STATES_MAX {
                            break;
                        }
                    }
                }
                found
            }
        }
    }
}

/// The states behind a slot and the piece that follows it, by the values of the slot.
fn pass(
    automaton: &Automaton,
    template: &Template,
    slot: usize,
    column: &Column,
    rows: &[(usize, usize)],
    states: &States,
) -> std::result::Result<Vec<State>, GaveUp> {
    let over = |from: State, value: &[u8]| {
        let behind = automaton.run(from, value)?;
        automaton.run_piece(behind, template, slot + 1)
    };
    let mut list = Vec::with_capacity(rows.len());
    if let Some((values, codes)) = column.codes() {
        let mut known: FxHashMap<(State, u8), State> = FxHashMap::default();
        for (at, (rank, _)) in rows.iter().enumerate() {
            let from = states.of(at);
            let code = codes.and_then(|codes| codes.get(*rank)).copied().unwrap_or(0);
            let next = match known.get(&(from, code)) {
                Some(next) => *next,
                None => {
                    let value = values.get(usize::from(code)).copied().unwrap_or_default();
                    let next = over(from, value)?;
                    known.insert((from, code), next);
                    next
                }
            };
            list.push(next);
        }
        return Ok(list);
    }
    let mut known: FxHashMap<State, State> = FxHashMap::default();
    let mut value = Vec::new();
    for (at, (rank, _)) in rows.iter().enumerate() {
        let from = states.of(at);
        if !matches!(from, State::On(_)) {
            list.push(from);
            continue;
        }
        value.clear();
        column.append(*rank, &mut value);
        let behind = automaton.run(from, &value)?;
        let next = match known.get(&behind) {
            Some(next) => *next,
            None => {
                let next = automaton.run_piece(behind, template, slot + 1)?;
                known.insert(behind, next);
                next
            }
        };
        list.push(next);
    }
    Ok(list)
}
