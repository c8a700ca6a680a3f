//! The reader alone: every kind of malformed field, and where the error says it is.

use super::*;

/// Skips every field of `bytes` as unknown.
fn skip_all(bytes: &[u8]) -> Result<()> {
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        reader.skip(field, 0)?;
    }
    Ok(())
}

#[track_caller]
fn check_problem(bytes: &[u8], offset: usize, problem: Problem) {
    let error = skip_all(bytes).unwrap_err();
    assert_eq!((error.offset(), error.problem()), (offset, problem), "{error}");
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let fields: &[&[u8]] = &[
        &[0x08, 0x96, 0x01],
        &[0x11, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x1a, 2, 0xff, 0xff],
        &[0x25, 1, 2, 3, 4],
        // A group of field 5 with a nested group of field 6.
        &[0x2b, 0x08, 0x01, 0x33, 0x34, 0x2c],
        // Field number 1000.
        &[0xc2, 0x3e, 0x01, 0x00],
    ];
    skip_all(&fields.concat()).unwrap();
}

#[test]
fn every_malformed_field_is_an_error_at_its_byte() {
    check_problem(&[0x08], 1, Problem::TruncatedVarint);
    check_problem(&[0x08, 0xff], 1, Problem::TruncatedVarint);
    check_problem(&[0x08, 0x01, 0x11, 1, 2], 3, Problem::Truncated { wanted: 8 });
    check_problem(&[0x25, 1, 2], 1, Problem::Truncated { wanted: 4 });
    check_problem(&[0x0a, 3, b'a'], 1, Problem::LengthPastEnd { length: 3 });
    check_problem(&[0x00, 0x01], 0, Problem::BadKey { key: 0 });
    check_problem(&[0x0e], 0, Problem::BadKey { key: 14 });
    check_problem(&[0x2b, 0x08, 0x01], 0, Problem::BadGroup);
    check_problem(&[0x2b, 0x34], 1, Problem::BadGroup);
    check_problem(&[0x2c], 0, Problem::BadGroup);
    check_problem(&[0x2b; 100], 32, Problem::GroupTooDeep);
}

#[test]
fn a_length_that_overflows_is_past_the_end() {
    let mut bytes = vec![0x0a];
    bytes.extend([0xff; 9]);
    bytes.push(0x01);
    check_problem(&bytes, 1, Problem::LengthPastEnd { length: u64::MAX });
}

#[test]
fn a_varint_may_have_64_bits_and_no_more() {
    let max = [[0xff; 9].as_slice(), &[0x01]].concat();
    assert_eq!(Reader::new(&max).varint("x").unwrap(), u64::MAX);
    let over = [[0xff; 9].as_slice(), &[0x02]].concat();
    assert_eq!(Reader::new(&over).varint("x").unwrap_err().problem(), Problem::VarintTooLong);
    let long = [0x80; 11];
    assert_eq!(Reader::new(&long).varint("x").unwrap_err().problem(), Problem::VarintTooLong);
    // A longer form than needed is allowed.
    assert_eq!(Reader::new(&[0x80, 0x00]).varint("x").unwrap(), 0);
}

#[test]
fn zigzag_alternates_signs() {
    let decode = |bytes: &[u8]| Reader::new(bytes).sint32("x").unwrap();
    assert_eq!([decode(&[0]), decode(&[1]), decode(&[2]), decode(&[3])], [0, -1, 1, -2]);
    assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]), i32::MIN);
    assert_eq!(decode(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), i32::MAX);
}

#[test]
fn a_nested_reader_counts_from_the_start_of_the_request() {
    let mut outer = Reader::new(&[0x0a, 4, 0x12, 2, b'h', b'i', 0x08]);
    outer.next_field().unwrap();
    let mut inner = outer.message("inner").unwrap();
    assert_eq!(inner.next_field().unwrap().map(|field| field.start), Some(2));
    assert_eq!(inner.text("text").unwrap(), "hi");
    assert_eq!((inner.offset(), outer.offset()), (6, 6));
}

#[test]
fn an_error_reads_as_a_sentence() {
    let error = DecodeError::new(812, "name", Problem::LengthPastEnd { length: 70_000 });
    assert_eq!(
        error.within("span").within("scope_spans").to_string(),
        "span.name at byte 812: length 70000 runs past the end of the message"
    );
    let error = DecodeError::new(3, "", Problem::BadKey { key: 0 }).within("span");
    assert_eq!(error.to_string(), "span at byte 3: 0 is not a field key");
}
