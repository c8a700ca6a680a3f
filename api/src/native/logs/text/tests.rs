//! What texts find, and what is refused.

use proptest::prelude::*;

use super::*;

fn finds(text: &str, line: &str) -> bool {
    let fields = [
        (Place::Stream, "service_name", "shop"),
        (Place::Metadata(Origin::Resource), "region", "eu-west"),
        (Place::Metadata(Origin::Record), "trace_id", "AbCd"),
    ];
    parse(text).unwrap().accepts(&Subject { line, fields: &fields })
}

#[test]
fn terms_are_whole_words_in_any_case() {
    let line = "Timeout of user_1 at /api/v1: took=1200ms (retry)";
    for text in [
        "",
        "timeout",
        "TIMEOUT user_1",
        "\"timeout   of\"",
        "time*",
        "timeuot~2",
        "timeot~",
        "/took=\\d{4}ms/",
        "/\\/api\\/v1/",
        "retry AND timeout",
        "nothing OR retry",
        "NOT nothing",
        "(nothing OR took) NOT (a OR b)",
        "(timeout)(retry)",
        "took=1200ms",
        "api/v1",
        "service_name:shop",
        "trace_id:abcd",
        "resource.region:eu*",
        "region:/^eu/ NOT record.region:eu*",
        "trace_id:*",
    ] {
        assert!(finds(text, line), "{text}");
    }
    for text in [
        "time",
        "imeout",
        "user",
        "\"of timeout\"",
        "timeuot~1",
        "/TOOK/",
        "retry nothing",
        "NOT retry",
        "stream.region:eu*",
        "service_name:sho",
        "absent:*",
        "api/v",
    ] {
        assert!(!finds(text, line), "{text}");
    }
}

#[test]
fn an_address_and_a_time_are_no_fields() {
    assert!(finds("http://x/y", "get http://x/y now"));
    assert!(finds("12:30", "at 12:30 sharp"));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, wanted) in [
        ("a (b", "at byte 4: a parenthesis is not closed"),
        ("a) b", "at byte 1: expected a term, found \")\""),
        ("OR b", "at byte 4: OR needs a term on either side"),
        ("a AND", "at byte 5: AND needs a term on either side"),
        ("a NOT", "at byte 5: NOT needs a term behind it"),
        ("a \"b", "at byte 2: \" is not closed"),
        ("a \" \"", "at byte 2: a phrase has no words"),
        ("x *", "at byte 2: a prefix needs a letter in front of \"*\""),
        ("word~3", "at byte 0: a fuzzy term is a word, \"~\", and 1 or 2"),
        ("/(/", "at byte 0: /(/ is no expression: unclosed group"),
    ] {
        assert_eq!(parse(text).unwrap_err(), wanted, "{text}");
    }
    assert!(parse(&"(".repeat(1000)).unwrap_err().contains("too deep"));
    assert!(parse(&"NOT ".repeat(1000)).unwrap_err().contains("too deep"));
    assert!(parse(&"a ".repeat(1000)).unwrap_err().contains("200 terms"));
}

#[test]
fn highlights_are_apart_and_in_order() {
    let node = parse("(time* OR out) NOT bad \"time out\" uot~1").unwrap();
    assert_eq!(node.highlights("x Time out, out, oot"), [(2, 10), (12, 15), (17, 20)]);
    let node = parse("caf\u{e9}").unwrap();
    assert_eq!(node.highlights("un caf\u{e9}!"), [(3, 8)]);
}

#[test]
fn conditions_are_exact_where_they_say_so() {
    for (text, count, is_exact) in [
        ("a \"b c\" NOT d", 3, true),
        ("a (b OR c*)", 2, true),
        ("a b~1", 1, false),
        ("x:y z", 1, false),
        ("NOT (a b)", 0, false),
    ] {
        let (conditions, exact) = parse(text).unwrap().conditions();
        assert_eq!((conditions.len(), exact), (count, is_exact), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_conditions_hold_for_what_is_found(
        text in "[ab \"/()*~1:.]{0,12}|(a|b|ab| |OR|AND|NOT|\\(|\\)|\"| ){0,12}|\\PC{0,12}",
        line in "[abAB _-]{0,12}|\\PC{0,12}",
    ) {
        if let Ok(node) = parse(&text) {
            let is_found = node.accepts(&Subject { line: &line, fields: &[] });
            let (conditions, is_exact) = node.conditions();
            let holds = LineCondition::all_accept(&conditions, &line);
            prop_assert!(!is_found || holds);
            prop_assert!(!is_exact || is_found == holds);
            for (start, end) in node.highlights(&line) {
                prop_assert!(line.get(start..end).is_some_and(|part| !part.is_empty()));
            }
        }
    }
}
