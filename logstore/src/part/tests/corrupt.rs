//! Bytes that are not what was written are an error.

use std::sync::Arc;

use proptest::prelude::*;

use super::fixtures::write;
use super::generate::{rows, streams};
use crate::part::{Caches, FILE, Part};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..Default::default() })]

    #[test]
    fn a_flipped_bit_is_found(
        rows in rows(60),
        flips in prop::collection::vec(any::<(usize, u8)>(), 20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("p");
        drop(write(&dir, &streams(), &rows));
        let path = dir.join(FILE);
        let good = std::fs::read(&path).unwrap();
        for (at, bit) in flips {
            let mut bad = good.clone();
            let length = bad.len();
            bad[at % length] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            let part = Part::open(&dir, &Caches::new(1 << 20));
            let found = part.and_then(|part| Arc::new(part).verify());
            prop_assert!(found.is_err(), "byte {} of {}", at % length, length);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), &bytes).unwrap();
        prop_assert!(Part::open(folder.path(), &Caches::new(1 << 20)).is_err());
    }
}
