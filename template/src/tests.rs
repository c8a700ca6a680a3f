//! Templates as rules use them, upstream's own cases, and hostile ones.

use std::path::PathBuf;
use std::sync::Arc;

use crate::functions::Labels;
use gotmpl::Value;
use proptest::prelude::*;

use super::*;

fn functions() -> Functions {
    let query: QueryFunction = Arc::new(|expression| match expression {
        "1.5" => Ok(vec![(Labels::new(), 1.5)]),
        "metric{instance='a'}" => {
            Ok(vec![(labels([("__name__", "metric"), ("instance", "a")]), 11.0)])
        }
        "metric{__value__='a'}" => {
            Ok(vec![(labels([("__name__", "metric"), ("__value__", "a")]), 11.0)])
        }
        "two" => Ok(vec![(labels([("instance", "b")]), 21.0), (labels([("instance", "a")]), 11.0)]),
        "broken" => Err("the store is away".to_owned()),
        _ => Ok(Vec::new()),
    });
    Functions {
        query,
        external_url: "http://testhost:9090/path/prefix".to_owned(),
        now_ms: 1_353_755_652_000,
    }
}

fn render(text: &str) -> Result<String> {
    let external_labels = labels([("cluster", "eu")]);
    let labels = labels([("instance", "foo.example.com:9100"), ("job", "node")]);
    let data = Data { labels: &labels, external_labels: &external_labels, value: 1_234_567.5 };
    Template::parse(text)?.render(&data, &functions())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match render(text) {
        Ok(rendered) => assert_eq!(rendered, expected, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    match render(text) {
        Ok(rendered) => panic!("{text}: rendered {rendered:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{text}: {error}"),
    }
}

#[test]
fn the_variables_of_rules_are_defined() {
    check("{{ $labels.job }} on {{ $labels.instance | stripPort }}", "node on foo.example.com");
    check("{{ $value }} {{ .Value | humanize }}", "1.2345675e+06 1.235M");
    check(
        "{{ $externalLabels.cluster }} {{ $externalURL }}",
        "eu http://testhost:9090/path/prefix",
    );
    check("{{ .Labels.job }}{{ $.Labels.job }}", "nodenode");
    check("{{ with $labels }}{{ .job }}{{ end }}", "node");
    check(
        "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
        "instance=foo.example.com:9100;job=node;",
    );
}

#[test]
fn an_absent_label_is_the_empty_string_everywhere() {
    check("[{{ $labels.absent }}]", "[]");
    check("[{{ $labels.absent | toUpper }}]", "[]");
    check("{{ printf \"[%s]\" $labels.absent }}", "[]");
    check("{{ if eq $labels.absent \"\" }}none{{ end }}", "none");
    check("{{ if $labels.absent }}some{{ else }}none{{ end }}", "none");
    check("{{ $x := $labels.absent }}[{{ $x }}]", "[]");
}

#[test]
fn functions_of_rules_work() {
    check("{{ query \"two\" | sortByLabel \"instance\" | first | label \"instance\" }}", "a");
    check("{{ range query \"two\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}", "b=21 a=11 ");
    check("{{ with query \"none\" }}{{ . | first | value }}{{ else }}no data{{ end }}", "no data");
    check("{{ if match \"no.e\" $labels.job }}yes{{ end }}", "yes");
    check("{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }}", "foo.example.com");
    check("{{ \"a b_c d\" | title }}", "A B_c D");
    check("{{ \"a b&\" | urlQueryEscape }}", "a+b%26");
    check("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0");
    check("{{ tableLink \"up\" }} {{ pathPrefix }}", "/graph?g0.expr=up&g0.tab=1 /path/prefix");
    check("{{ parseDuration \"1h30m\" | humanizeDuration }}", "1h 30m 0s");
    check(
        "{{ printf \"%.2f\" $value }} {{ printf \"%5d|%-5s|\" 42 \"ab\" }}",
        "1234567.50    42|ab   |",
    );
    check("{{ print 1 \"a\" }} {{ len $labels }} {{ index $labels \"job\" }}", "1a 2 node");
    check("{{ \"%s\" | printf }}", "%!s(MISSING)");
}

#[test]
fn unknown_names_are_found_when_the_text_is_parsed() {
    check_fails("{{ nosuch 1 }}", "function \"nosuch\" not defined");
    check_fails("{{ $nosuch }}", "undefined variable \"$nosuch\"");
    check_fails("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable \"$x\"");
    check_fails("{{ define \"a\" }}{{ $labels.x }}{{ end }}", "undefined variable \"$labels\"");
    check_fails("{{ template \"nosuch\" }}", "template \"nosuch\" not defined");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
}

#[test]
fn errors_name_the_place_and_the_function() {
    check_fails("a {{ if }}", "error parsing template: 1:");
    check_fails("{{ query \"broken\" }}", "error calling query: the store is away");
    check_fails("{{ query \"none\" | first }}", "first() called on vector with no elements");
    check_fails("{{ humanize \"one\" }}", "strconv.ParseFloat: parsing \"one\": invalid syntax");
}

#[test]
fn hostile_templates_end_with_an_error() {
    check_fails("{{ ", "error parsing");
    check_fails(&"{{".repeat(20_000), "error parsing");
    check_fails(&"{{if true}}".repeat(5_000), "error parsing");
    check_fails(&format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000)), "parentheses");
    check_fails(&"x".repeat(70_000), "bytes of text");
    check_fails("{{ range 1000 }}{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}{{ end }}", "");
    check_fails("{{ range 100000 }}xxxxxxxxxxxxxxxxxxxxxxx{{ end }}", "bytes of output");
    check_fails("{{ range 99999 }}{{ print \"\" }}{{ end }}", "steps");
    let doubling = "{{ $a := \"xxxxxxxxxxxxxxxx\" }}".to_owned()
        + &"{{ $a = printf \"%s%s\" $a $a }}".repeat(60);
    check_fails(&doubling, "bytes");
    check_fails("{{ printf \"%999999999d\" 1 }}", "width");
    check_fails("{{ printf \"%*d\" 999999999 1 }}", "width");
    check_fails("{{ printf \"%.999999999f\" 1.5 }}", "width");
    check_fails("{{ (print \"%999999999d\") | printf }}", "width");
    let nested = "{{ $a := args 1 }}{{ range 100 }}{{ $a = args $a }}{{ end }}";
    check_fails(nested, "nest deeper");
    let wide = "{{ $a := args 1 2 }}{{ range 15 }}{{ $a = args $a $a $a }}{{ end }}";
    check_fails(wide, "values");
    check_fails("{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}", "recursion");
    let mut laughs = "{{ define \"t0\" }}{{ end }}".to_owned();
    for i in 1..60 {
        let before = i - 1;
        laughs += &format!(
            "{{{{ define \"t{i}\" }}}}{{{{ template \"t{before}\" }}}}{{{{ template \"t{before}\" }}}}{{{{ end }}}}"
        );
    }
    check_fails(&format!("{laughs}{{{{ template \"t59\" }}}}"), "steps");
    let grown = "{{ $x := \"a\" }}{{ range 40 }}{{ $x = reReplaceAll \"\" $x $x }}{{ end }}";
    check_fails(grown, "bytes");
}

proptest! {
    #[test]
    fn no_text_makes_parsing_or_rendering_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("{{"), Just("}}"), Just(" $labels.job "), Just("|"), Just("("), Just(")"),
                Just(" printf "), Just("\"%s\""), Just(" if "), Just("end"), Just(" range "),
                Just("."), Just("1"), Just(" args "), Just(":="), Just("$x"), Just("-"), Just("`"),
                Just(" define \"x\" "), Just(" template \"x\" "), Just("/*"), Just("*/"), Just("\u{a0}"),
                Just(" else "), Just(" with "), Just(" index "), Just(" slice "), Just("1e9"), Just("\n"),
            ],
            0..24,
        ),
    ) {
        // The outcome does not matter.
        drop(render(&parts.concat()));
    }
}

/// The cases whose data this file can make from a Go literal.
fn go_input(case: &serde_json::Value) -> Option<Value> {
    let Some(literal) = case["go_input"].as_str() else { return Some(Value::Nil) };
    let (kind, items) = literal.strip_prefix("[]")?.split_once('{')?;
    let items = items.strip_suffix('}')?;
    let number = |item: &str| -> Option<f64> {
        match item {
            "86400 + 3600" => Some(90_000.0),
            "-(86400*2 + 3600*3 + 60*4 + 5)" => Some(-183_845.0),
            other => other.parse().ok(),
        }
    };
    let values: Option<Vec<Value>> = items
        .split(", ")
        .map(|item| match (kind, item) {
            (_, "math.MaxInt64") => Some(Value::Int(i64::MAX)),
            (_, "math.MinInt64") => Some(Value::Int(i64::MIN)),
            (_, "math.MaxUint64") => Some(Value::Uint(u64::MAX)),
            ("string", item) => Some(Value::String(item.trim_matches('"').into())),
            ("float64", item) => number(item).map(Value::Float),
            ("uint64", item) => item.parse().ok().map(Value::Uint),
            (_, item) => item.parse().ok().map(Value::Int),
        })
        .collect();
    Some(Value::List(values?.into()))
}

#[test]
fn the_cases_of_prometheus_pass() {
    // Upstream's `template/template_test.go`. What fails: methods of Go's time values (4), options
    // that rules do not set (4), `tmpl` of consoles (1), native histograms as a value (1).
    const PASSED_MIN: usize = 46;
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = shared.join("conformance/alerting/rule-templates/prometheus_cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("NOT RUN: {} is absent", path.display());
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut passed = 0;
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let Some(root) = go_input(case) else {
            println!("no input: {text} with {}", case["go_input"]);
            continue;
        };
        let outcome = Template::render_any(text, &root, &functions());
        let wanted = match (case["fails"].as_bool(), case["output"].as_str()) {
            (Some(true), _) => outcome.is_err(),
            // An extraction without an output; a number follows from the functions above.
            (_, None) => outcome.is_ok(),
            (_, Some(expected)) => outcome.as_deref().is_ok_and(|rendered| rendered == expected),
        };
        passed += usize::from(wanted);
        if !wanted {
            println!("fails: {text}: {outcome:?}, expected {}", case["output"]);
        }
    }
    println!("{passed} of {} cases pass", cases.len());
    assert!(passed >= PASSED_MIN, "{passed} cases pass, {PASSED_MIN} did before");
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
