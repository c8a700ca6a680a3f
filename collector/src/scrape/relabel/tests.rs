//! Cases of Prometheus's `model/relabel/relabel_test.go`, and its rules of what a rule may be.

use super::*;

fn rule(text: &[(&str, &str)]) -> Result<Relabel, String> {
    let mut settings = RelabelSettings::default();
    for (key, value) in text {
        let value = (*value).to_owned();
        match *key {
            "source" => {
                settings.source_labels = Some(value.split(',').map(str::to_owned).collect());
            }
            "separator" => settings.separator = Some(value),
            "target" => settings.target_label = Some(value),
            "regex" => settings.regex = Some(value),
            "modulus" => settings.modulus = value.parse().unwrap(),
            "replacement" => settings.replacement = Some(value),
            "action" => {
                settings.action = Action::ALL.iter().find(|(word, _)| *word == value).unwrap().1;
            }
            _ => panic!("{key}"),
        }
    }
    Relabel::new(settings)
}

/// The labels that rules make of `labels`, as text; nothing if they are dropped.
fn check(labels: &[(&str, &str)], rules: &[&[(&str, &str)]], expected: Option<&str>) {
    let rules: Vec<Relabel> = rules.iter().map(|text| rule(text).unwrap()).collect();
    let mut builder = LabelBuilder::of(&Labels::from_pairs(labels.iter().copied()));
    let is_kept = relabel(&rules, &mut builder);
    let got = is_kept.then(|| builder.to_labels().to_string());
    assert_eq!(got.as_deref(), expected, "{labels:?} {rules:?}");
}

const ABC: [(&str, &str); 3] = [("a", "foo"), ("b", "bar"), ("c", "baz")];

#[test]
fn replace_expands_and_leaves_what_does_not_match() {
    let replace = |fields: &[(&str, &str)], expected: &str| {
        check(&ABC, &[fields], Some(expected));
    };
    let all = [("source", "a"), ("regex", "f(.*)"), ("target", "d"), ("replacement", "ch$1-ch$1")];
    replace(&all, r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#);
    let joined = [("source", "a,b"), ("regex", "f(.*);(.*)r"), ("target", "a")];
    replace(
        &[joined.as_slice(), &[("replacement", "b${1}${2}m")]].concat(),
        r#"{a="boobam", b="bar", c="baz"}"#,
    );
    replace(&[("source", "a"), ("regex", "oo"), ("target", "d")], r#"{a="foo", b="bar", c="baz"}"#);
    // Without a source a plain replacement is set; an empty one removes.
    replace(&[("target", "d"), ("replacement", "x")], r#"{a="foo", b="bar", c="baz", d="x"}"#);
    replace(&[("target", "a"), ("replacement", "")], r#"{b="bar", c="baz"}"#);
    // The target may be made of the match.
    let target = [("source", "a"), ("regex", "(f)(o+)"), ("target", "x_${2}_${1}")];
    replace(
        &[target.as_slice(), &[("replacement", "$2")]].concat(),
        r#"{a="foo", b="bar", c="baz", x_oo_f="oo"}"#,
    );
    let empty = [("source", "a"), ("regex", "f(x?)oo"), ("target", "${1}")];
    replace(&empty, r#"{a="foo", b="bar", c="baz"}"#);
}

#[test]
fn expansion_is_that_of_go() {
    let captures = |text| Regex::new("(?<n>.)(.)").unwrap().captures(text).unwrap();
    let captures = captures("xy");
    for (template, expected) in [
        ("$0-$1-$2-$3-$n-${n}", "xy-x-y--x-x"),
        ("$1x", ""),
        ("${1}x", "xx"),
        ("$01", ""),
        ("$$1", "$1"),
        ("a$", "a$"),
        ("$ {1}", "$ {1}"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("${a b}", "${a b}"),
    ] {
        assert_eq!(expand(template, &captures), expected, "{template}");
    }
}

#[test]
fn labels_are_kept_or_dropped() {
    let kept = Some(r#"{a="foo", b="bar", c="baz"}"#);
    check(&ABC, &[&[("source", "a"), ("regex", ".*o.*"), ("action", "drop")]], None);
    check(&ABC, &[&[("source", "a"), ("regex", "o"), ("action", "drop")]], kept);
    check(&ABC, &[&[("source", "a"), ("regex", "o"), ("action", "keep")]], None);
    check(&ABC, &[&[("source", "a"), ("regex", "f.*"), ("action", "keep")]], kept);
    check(&ABC, &[&[("source", "a"), ("target", "b"), ("action", "dropequal")]], kept);
    check(&ABC, &[&[("source", "a"), ("target", "b"), ("action", "keepequal")]], None);
    let same = [("a", "x"), ("b", "x")];
    check(&same, &[&[("source", "a"), ("target", "b"), ("action", "dropequal")]], None);
    check(
        &same,
        &[&[("source", "a"), ("target", "b"), ("action", "keepequal")]],
        Some(r#"{a="x", b="x"}"#),
    );
    // A dot matches a line break, and an anchor holds at the ends only.
    let lines = [("a", "foo\nbar")];
    check(&lines, &[&[("source", "a"), ("regex", "foo.bar"), ("action", "drop")]], None);
    check(
        &lines,
        &[&[("source", "a"), ("regex", "foo"), ("action", "drop")]],
        Some("{a=\"foo\\nbar\"}"),
    );
}

#[test]
fn shards_cases_and_maps() {
    // The values of Prometheus's own tests.
    check(
        &ABC,
        &[&[("source", "c"), ("target", "d"), ("action", "hashmod"), ("modulus", "1000")]],
        Some(r#"{a="foo", b="bar", c="baz", d="976"}"#),
    );
    check(
        &[("a", "foo\nbar")],
        &[&[("source", "a"), ("target", "b"), ("action", "hashmod"), ("modulus", "1000")]],
        Some("{a=\"foo\\nbar\", b=\"734\"}"),
    );
    check(
        &[("foo", "bAr123Foo")],
        &[
            &[("source", "foo"), ("target", "up"), ("action", "uppercase")],
            &[("source", "foo"), ("target", "low"), ("action", "lowercase")],
        ],
        Some(r#"{foo="bAr123Foo", low="bar123foo", up="BAR123FOO"}"#),
    );
    check(
        &[("a", "foo"), ("b1", "bar"), ("b2", "baz")],
        &[&[("regex", "(b.*)"), ("replacement", "bar_${1}"), ("action", "labelmap")]],
        Some(r#"{a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"}"#),
    );
    check(
        &[("__meta_my_bar", "aaa"), ("__meta_other", "x"), ("a", "foo")],
        &[&[("regex", "__meta_(my.*)"), ("action", "labelmap")]],
        Some(r#"{__meta_my_bar="aaa", __meta_other="x", a="foo", my_bar="aaa"}"#),
    );
    let bs = [("a", "foo"), ("b1", "bar"), ("b2", "baz")];
    check(&bs, &[&[("regex", "(b.*)"), ("action", "labeldrop")]], Some(r#"{a="foo"}"#));
    check(&bs, &[&[("regex", "(b.*)"), ("action", "labelkeep")]], Some(r#"{b1="bar", b2="baz"}"#));
}

#[test]
fn rules_that_can_not_be_are_refused() {
    let refused = |text: &[(&str, &str)], expected: &str| {
        let error = rule(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    refused(&[("action", "replace")], "requires target_label");
    refused(&[("action", "hashmod"), ("target", "a")], "modulus");
    refused(&[("action", "lowercase")], "requires target_label");
    refused(&[("action", "lowercase"), ("target", "a"), ("replacement", "x")], "replacement");
    refused(&[("action", "keepequal"), ("target", "a"), ("regex", "x")], "only");
    refused(&[("action", "labeldrop"), ("source", "a")], "regex only");
    refused(&[("regex", "("), ("target", "a")], "bad regular expression");
}
