//! The series that carry one label pair: nearly always one, a few, or very many.

use roaring::RoaringBitmap;

/// A set of series slots in sixteen bytes and what it needs beyond one.
#[derive(Debug, Clone, Default)]
pub(super) enum Postings {
    #[default]
    None,
    One(u32),
    /// Sorted.
    #[expect(
        clippy::box_collection,
        reason = "keeps the enum at sixteen bytes; most hold one slot"
    )]
    Few(Box<Vec<u32>>),
    Many(Box<RoaringBitmap>),
}

/// Longer lists are bitmaps.
const FEW_MAX: usize = 32;

impl Postings {
    /// Adds a slot; cheap when it is the highest.
    pub(super) fn insert(&mut self, slot: u32) {
        match self {
            Postings::None => *self = Postings::One(slot),
            Postings::One(one) if *one == slot => {}
            Postings::One(one) => {
                let mut both = vec![*one, slot];
                both.sort_unstable();
                *self = Postings::Few(Box::new(both));
            }
            Postings::Few(few) if few.len() < FEW_MAX => {
                if let Err(at) = few.binary_search(&slot) {
                    few.insert(at, slot);
                }
            }
            Postings::Few(few) => {
                let mut many: RoaringBitmap = few.iter().copied().collect();
                many.insert(slot);
                *self = Postings::Many(Box::new(many));
            }
            Postings::Many(many) => {
                if many.try_push(slot).is_err() {
                    many.insert(slot);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        match self {
            Postings::None => {}
            Postings::One(one) => {
                if *one == slot {
                    *self = Postings::None;
                }
            }
            Postings::Few(few) => {
                if let Ok(at) = few.binary_search(&slot) {
                    few.remove(at);
                }
                if few.is_empty() {
                    *self = Postings::None;
                }
            }
            Postings::Many(many) => {
                many.remove(slot);
                if many.is_empty() {
                    *self = Postings::None;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Postings::None)
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Postings::None => 0,
            Postings::One(_) => 1,
            Postings::Few(few) => few.len() as u64,
            Postings::Many(many) => many.len(),
        }
    }

    /// Whether any slot of `set` is in it.
    pub(super) fn intersects(&self, set: &RoaringBitmap) -> bool {
        match self {
            Postings::None => false,
            Postings::One(one) => set.contains(*one),
            Postings::Few(few) => few.iter().any(|slot| set.contains(*slot)),
            Postings::Many(many) => !many.is_disjoint(set),
        }
    }

    /// Whether any slot is in it that is not in `set`.
    pub(super) fn has_others_than(&self, set: &RoaringBitmap) -> bool {
        match self {
            Postings::None => false,
            Postings::One(one) => !set.contains(*one),
            Postings::Few(few) => few.iter().any(|slot| !set.contains(*slot)),
            Postings::Many(many) => !many.is_subset(set),
        }
    }

    pub(super) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Postings::None => {}
            Postings::One(one) => {
                set.insert(*one);
            }
            Postings::Few(few) => set.extend(few.iter()),
            Postings::Many(many) => *set |= &**many,
        }
    }

    /// What it holds outside of itself, about.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Postings::None | Postings::One(_) => 0,
            Postings::Few(few) => 24 + few.capacity() * 4,
            Postings::Many(many) => many.serialized_size() + 64,
        }
    }
}
