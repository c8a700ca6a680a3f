//! Real lines, and lines that are large.

use std::path::PathBuf;

use model::log::Origin;

use super::fixtures::{Row, everything, read, write};
use super::generate::streams;
use crate::cursor::ScanPlan;

fn row(i: usize, line: String) -> Row {
    Row { stream: 0, at: i as i64 * 1_000_000, arrival: i as u64, line, fields: Vec::new() }
}

fn come_back(rows: &[Row]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let part = write(&folder.path().join("p"), &streams(), rows);
    part.verify().unwrap();
    let all = ScanPlan { request: everything(), hidden: Vec::new() };
    assert!(read(&part, &streams(), all) == rows);
    part.meta().disk_bytes
}

#[test]
fn real_lines_come_back() {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(shared.join("data/logs")) else {
        println!("not run: no data/logs in {} (set SIGNALBOX_SHARED)", shared.display());
        return;
    };
    for file in folder {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            let lines = text.lines().enumerate();
            let rows: Vec<Row> = lines.map(|(i, line)| row(i, line.to_owned())).collect();
            let bytes = come_back(&rows);
            println!("{}: {} of {} bytes", path.display(), bytes, text.len());
        }
    }
}

#[test]
fn large_lines_come_back() {
    let large = "some words and 12 numbers, ".repeat(40_000);
    let lines =
        [large.clone(), String::new(), "x".repeat(1 << 20), large, "\u{1f600}".repeat(2000)];
    let rows: Vec<Row> = lines.into_iter().enumerate().map(|(i, line)| row(i, line)).collect();
    come_back(&rows);
}

#[test]
fn a_part_without_rows_is_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let part = write(&folder.path().join("p"), &streams(), &[]);
    part.verify().unwrap();
    assert_eq!((part.meta().rows, part.stream_ranges().count()), (0, 0));
}

#[test]
fn a_header_that_packs_to_its_own_length_comes_back() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        char::from(b'!' + (state >> 40) as u8 % 90)
    };
    let random: String = (0..40).map(|_| next()).collect();
    // The value of all rows is in the header; with each more of its last letters packing saves a
    // byte more.
    let mut equal = 0;
    for repeated in 0..40 {
        let value = random.clone() + &"a".repeat(repeated);
        let mut row = row(0, "line".to_owned());
        row.fields = vec![(Origin::Record, "name".to_owned(), value)];
        let rows = [row];
        come_back(&rows);
        let folder = tempfile::tempdir().unwrap();
        let part = write(&folder.path().join("p"), &streams(), &rows);
        let header = part.section(&part.index().blocks[0].header).unwrap();
        equal += u32::from(zstd::bulk::compress(&header, 1).unwrap().len() == header.len());
    }
    assert!(equal > 0);
}
