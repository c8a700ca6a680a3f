//! What each column of a part costs on disk, for those who look for bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Block, Place};
use crate::error::Result;
use crate::part::Part;

/// Stored bytes by column, the largest first; of a packed frame each column has its share.
pub(crate) fn breakdown(part: &Arc<Part>) -> Result<Vec<(String, f64)>> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for at in 0..part.index().blocks.len() {
        let block = Block::open(part, at)?;
        let mut add = |name: String, place: Place| {
            if let Some(frame) = block.header.frames.get(place.frame as usize)
                && frame.length > 0
            {
                let share = f64::from(place.length) / frame.length as f64;
                *sums.entry(name).or_default() += share * frame.stored as f64;
            }
        };
        let names = ["times", "arrivals", "lengths", "templates of rows", "shapes of rows"];
        for (name, place) in names.into_iter().zip(block.header.places) {
            add(name.to_owned(), place);
        }
        for (slots, (template, _)) in block.header.slots.iter().zip(&block.entry().templates) {
            let pattern = part.index().templates[*template as usize].pattern();
            for (slot, entry) in slots.iter().enumerate() {
                for place in entry.place().into_iter().chain(entry.numbers_place()) {
                    let short: String = pattern.chars().take(60).collect();
                    add(format!("{} {slot} of {short:?}", entry.kind_name()), place);
                }
            }
        }
        for field in block.fields() {
            let places = field.entry.place().into_iter().chain(field.entry.numbers_place());
            for place in places {
                add(format!("{} field {}", field.entry.kind_name(), field.name), place);
            }
        }
    }
    let mut list: Vec<_> = sums.into_iter().collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(list)
}
