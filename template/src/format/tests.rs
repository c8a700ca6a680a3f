//! What Go prints, from the examples of its documentation and its tests of `fmt`.

use std::collections::BTreeMap;

use super::*;
use crate::limits::{LINE_BYTES_MAX, OUTPUT_BYTES_MAX};

fn check(format: &str, values: &[Value<'_>], expected: &str) {
    assert_eq!(
        sprintf(format, values, OUTPUT_BYTES_MAX).as_deref(),
        Ok(expected),
        "{format} {values:?}"
    );
}

fn list(items: Vec<Value<'static>>) -> Value<'static> {
    Value::list(items).unwrap()
}

#[test]
fn integers() {
    for (format, number, expected) in [
        ("%d", 5, "5"),
        ("%v", -5, "-5"),
        ("%5d|", 42, "   42|"),
        ("%-5d|", 42, "42   |"),
        ("%05d", -42, "-0042"),
        ("%-05d|", 42, "42   |"),
        ("%+d", 42, "+42"),
        ("% d", 42, " 42"),
        ("%.5d", 42, "00042"),
        ("%8.5d", -42, "  -00042"),
        ("%.0d|", 0, "|"),
        ("%b", 5, "101"),
        ("%#b", 5, "0b101"),
        ("%o", 8, "10"),
        ("%#o", 8, "010"),
        ("%O", 8, "0o10"),
        ("%x", 255, "ff"),
        ("%#X", 255, "0XFF"),
        ("%08x", 48879, "0000beef"),
        ("%x", -1, "-1"),
        ("%c", 0x4E16, "\u{4e16}"),
        ("%q", 0x61, "'a'"),
        ("%U", 0x1F600, "U+1F600"),
        ("%#U", 0x41, "U+0041 'A'"),
        ("%d", i64::MIN, "-9223372036854775808"),
        ("%T", 1, "int"),
        ("%s", 5, "%!s(int=5)"),
        ("%f", 5, "%!f(int=5)"),
        ("%t", 5, "%!t(int=5)"),
        ("%z", 5, "%!z(int=5)"),
    ] {
        check(format, &[Value::Int(number)], expected);
    }
}

#[test]
fn floats() {
    for (format, number, expected) in [
        ("%v", 1e6, "1e+06"),
        ("%v", 1e21, "1e+21"),
        ("%v", 123_456.0, "123456"),
        ("%g", 0.000_01, "1e-05"),
        ("%f", 1.0, "1.000000"),
        ("%.2f", 2.675, "2.67"),
        ("%.0f", 2.5, "2"),
        ("%.f", 1.5, "2"),
        ("%05.2f", 1.5, "01.50"),
        ("%8.2f|", -1.5, "   -1.50|"),
        ("%08.2f", -1.5, "-0001.50"),
        ("%-8.1f|", 1.25, "1.2     |"),
        ("%+.1f", 1.5, "+1.5"),
        ("% .1f", 1.5, " 1.5"),
        ("%e", 123_456.789, "1.234568e+05"),
        ("%.2e", 0.0, "0.00e+00"),
        ("%E", 1e-7, "1.000000E-07"),
        ("%.3g", 1234.5, "1.23e+03"),
        ("%.10g", 1234.5, "1234.5"),
        ("%.0g", 5.0, "5"),
        ("%G", 1e100, "1E+100"),
        ("%x", 1.5, "0x1.8p+00"),
        ("%.1x", 1.96875, "0x1.0p+01"),
        ("%b", 1.0, "4503599627370496p-52"),
        ("%v", f64::INFINITY, "+Inf"),
        ("%6.1f", f64::NAN, "   NaN"),
        ("%06.1f", f64::NEG_INFINITY, "  -Inf"),
        ("%+v", f64::NAN, "NaN"),
        ("%d", 1.5, "%!d(float64=1.5)"),
        ("%s", 1.5, "%!s(float64=1.5)"),
        ("%T", 1.5, "float64"),
    ] {
        check(format, &[Value::Float(number)], expected);
    }
}

#[test]
fn texts() {
    for (format, words, expected) in [
        ("%s", "a b", "a b"),
        ("%v", "a", "a"),
        ("%5s|", "ab", "   ab|"),
        ("%-5s|", "ab", "ab   |"),
        ("%.1s", "\u{e9}t", "\u{e9}"),
        ("%5.1s|", "\u{e9}t", "    \u{e9}|"),
        ("%q", "a\"b\n\u{e9}\u{7f}", "\"a\\\"b\\n\u{e9}\\x7f\""),
        ("%+q", "\u{e9}\u{1f600}", "\"\\u00e9\\U0001f600\""),
        ("%#q", "a\"b", "`a\"b`"),
        ("%x", "hi", "6869"),
        ("% X", "hi", "68 69"),
        ("%#x", "hi", "0x6869"),
        ("%#v", "a", "\"a\""),
        ("%d", "a", "%!d(string=a)"),
        ("%5d", "ab", "%!d(string=   ab)"),
        ("%t", "x", "%!t(string=x)"),
        ("%T", "x", "string"),
        ("%%%s", "x", "%x"),
        ("%", "x", "%!(NOVERB)%!(EXTRA string=x)"),
        ("%!", "x", "%!!(string=x)"),
        ("none", "x", "none%!(EXTRA string=x)"),
        ("\u{e9}%s\u{e9}", "x", "\u{e9}x\u{e9}"),
    ] {
        check(format, &[Value::text(words)], expected);
    }
}

#[test]
fn lists_maps_and_nil() {
    let items = list(vec![Value::Int(1), Value::text("a b"), Value::Nil]);
    check("%v", std::slice::from_ref(&items), "[1 a b <nil>]");
    check("%q", &[list(vec![Value::text("a"), Value::text("b")])], "[\"a\" \"b\"]");
    check("%d", std::slice::from_ref(&items), "[1 %!d(string=a b) <nil>]");
    check("%#v", &[list(vec![Value::text("a")])], "[]interface {}{\"a\"}");
    check("%03d", &[list(vec![Value::Int(1), Value::Int(2)])], "[001 002]");
    let map = BTreeMap::from([("b".into(), Value::Float(1.5)), ("a".into(), items)]);
    check("%v", &[Value::map(map).unwrap()], "map[a:[1 a b <nil>] b:1.5]");
    check("%v|%s|%d", &[Value::Nil, Value::Nil, Value::Nil], "<nil>|%!s(<nil>)|%!d(<nil>)");
    check(
        "%t %v %5t|",
        &[Value::Bool(true), Value::Bool(false), Value::Bool(true)],
        "true false  true|",
    );
    check("%s", &[Value::Bool(true)], "%!s(bool=true)");
}

#[test]
fn arguments_by_number_and_widths_from_arguments() {
    let two = [Value::Int(1), Value::text("a")];
    check("%[2]s %[1]d", &two, "a 1");
    check("%[2]q", &two, "\"a\"");
    check("%[3]d", &two, "%!d(BADINDEX)");
    check("%[x]d", &two, "%!d(BADINDEX)");
    check("%d %s %s", &two, "1 a %!s(MISSING)");
    check("%*d|%-*d|", &[4, 7, 4, 7].map(Value::Int), "   7|7   |");
    check("%.*f", &[Value::Int(2), Value::Float(1.0)], "1.00");
    check("%*d", &[Value::Int(9_999_999), Value::Int(1)], "%!(BADWIDTH)1");
    check("%*d", &[Value::text("x"), Value::Int(1)], "%!(BADWIDTH)1");
    check("%[1]d %[1]v", &[Value::Int(7)], "7 7");
    check("%d", &[Value::Int(1), Value::Nil, Value::Float(2.0)], "1%!(EXTRA <nil>, float64=2)");
}

#[test]
fn times_and_durations() {
    let half_hour = Value::Duration(1_800_000_000_000);
    check("%v %s", &[half_hour.clone(), half_hour.clone()], "30m0s 30m0s");
    check("%8s|%d", &[half_hour.clone(), half_hour.clone()], "   30m0s|1800000000000");
    check(
        "%f %T",
        &[half_hour.clone(), half_hour],
        "%!f(time.Duration=1800000000000) time.Duration",
    );
}

#[test]
fn blanks_stand_between_what_is_no_text() {
    let mixed = [Value::Int(1), Value::Int(2), Value::text("a"), Value::Int(3), Value::Nil];
    assert_eq!(sprint(&mixed, OUTPUT_BYTES_MAX).unwrap(), "1 2a3 <nil>");
    assert_eq!(sprintln(&mixed, OUTPUT_BYTES_MAX).unwrap(), "1 2 a 3 <nil>\n");
    assert_eq!(sprint(&[], OUTPUT_BYTES_MAX).unwrap(), "");
}

#[test]
fn long_texts_are_refused() {
    for format in [
        "%999999d",
        "%.999999d",
        "%.999999f",
        "%0999999d",
        "%-999999s|",
        "%.999999e",
        "%.999999x",
        "%.999999g",
    ] {
        for value in [Value::Int(1), Value::Float(1.5), Value::text("a")] {
            if let Ok(made) = sprintf(format, &[value], OUTPUT_BYTES_MAX) {
                assert!(made.len() < 100, "{format}");
            }
        }
    }
    let number = [Value::Int(1)];
    assert!(sprintf("%999999d", &number, OUTPUT_BYTES_MAX).unwrap_err().contains("bytes"));
    assert_eq!(sprintf("%999999d", &number, LINE_BYTES_MAX).unwrap().len(), 999_999);
}

#[test]
fn floats_have_at_most_as_many_digits_as_the_standard_library_prints() {
    for verb in ["e", "E", "f", "g", "G", "x"] {
        let format = |digits| format!("%.{digits}{verb}");
        let values = [Value::Float(1.5)];
        assert!(sprintf(&format(65_534), &values, LINE_BYTES_MAX).is_ok(), "{verb}");
        for (digits, bytes_max) in [(65_535, OUTPUT_BYTES_MAX), (65_536, LINE_BYTES_MAX)] {
            assert!(sprintf(&format(digits), &values, bytes_max).is_err(), "{verb}");
        }
    }
}
