//! Templates as rules use them, upstream's own cases, and hostile ones.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::{Program, TemplateError};

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
    check_fails(&format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000)), "nest deeper");
    check_fails(&"x".repeat(70_000), "bytes of text");
    check_fails("{{ range 1000 }}{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}{{ end }}", "");
    check_fails("{{ range 100000 }}xxxxxxxxxxxxxxxxxxxxxxx{{ end }}", "bytes of output");
    check_fails("{{ range 99999 }}{{ print \"\" }}{{ end }}", "steps");
    let doubling = "{{ $a := \"xxxxxxxxxxxxxxxx\" }}".to_owned()
        + &"{{ $a = printf \"%s%s\" $a $a }}".repeat(60);
    check_fails(&doubling, "bytes");
    check_fails("{{ printf \"%999999d\" 1 }}", "bytes");
    check_fails("{{ printf \"%*d\" 999999 1 }}", "bytes");
    check_fails("{{ printf \"%.999999f\" 1.5 }}", "bytes");
    check("{{ (print \"%999999999d\") | printf }}", "%!(NOVERB)");
    let nested = "{{ $a := args 1 }}{{ range 100 }}{{ $a = args $a }}{{ end }}";
    check_fails(nested, "nest deeper");
    let wide = "{{ $a := args 1 2 }}{{ range 15 }}{{ $a = args $a $a $a }}{{ end }}";
    check_fails(wide, "values");
    check_fails("{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}", "deeper");
    let mut laughs = "{{ define \"t0\" }}{{ end }}".to_owned();
    for i in 1..60 {
        let before = i - 1;
        let call = format!("{{{{ template \"t{before}\" }}}}");
        laughs += &format!("{{{{ define \"t{i}\" }}}}{call}{call}{{{{ end }}}}");
    }
    check_fails(&format!("{laughs}{{{{ template \"t59\" }}}}"), "steps");
    let grown = "{{ $x := \"a\" }}{{ range 40 }}{{ $x = reReplaceAll \"\" $x $x }}{{ end }}";
    check_fails(grown, "bytes");
}

/// The data of a case, from its Go literal.
fn go_input(literal: Option<&str>) -> Option<Value<'static>> {
    let Some(literal) = literal else { return Some(Value::Nil) };
    if literal.contains("histogram.FloatHistogram") {
        // Histograms are values of a sample like any other.
        let fields = vec![("Count", Value::Float(3.0)), ("Sum", Value::Float(10.0))];
        let histogram = Value::structure("*histogram.FloatHistogram", fields);
        return Some(Value::structure("*template.sample", vec![("Value", histogram)]));
    }
    let (kind, items) = literal.strip_prefix("[]")?.split_once('{')?;
    let items = items.strip_suffix('}')?;
    let number = |item: &str| -> Option<f64> {
        match item {
            "86400 + 3600" => Some(90_000.0),
            "-(86400*2 + 3600*3 + 60*4 + 5)" => Some(-183_845.0),
            other => other.parse().ok(),
        }
    };
    let value = |item: &str| match (kind, item) {
        (_, "math.MaxInt64") => Some(Value::Int(i64::MAX)),
        (_, "math.MinInt64") => Some(Value::Int(i64::MIN)),
        // There are no integers without a sign; functions see a float either way.
        (_, "math.MaxUint64") => Some(Value::Float(u64::MAX as f64)),
        ("string", item) => Some(Value::text(item.trim_matches('"').to_owned())),
        ("float64", item) => number(item).map(Value::Float),
        (_, item) => item.parse().ok().map(Value::Int),
    };
    Value::list(items.split(", ").map(value).collect::<Option<_>>()?).ok()
}

/// The languages of upstream's three cases for a missing key, in their order.
static MISSING_KEYS: [Language; 3] = [
    Language { missing_key: MissingKey::Invalid, ..RULES },
    Language { missing_key: MissingKey::Zero, ..RULES },
    Language { missing_key: MissingKey::Error, ..RULES },
];

#[test]
fn the_cases_of_prometheus_pass() {
    // Upstream's `template/template_test.go`. Those in HTML mode are about escaping: the two that
    // print nothing for a missing key, and `tmpl`, which only consoles have.
    const IN_HTML_MODE: usize = 3;
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
    let mut missing_keys = MISSING_KEYS.iter().cycle();
    let (functions, mut in_html_mode, mut failed) = (functions(), 0, Vec::new());
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let root = go_input(case["go_input"].as_str()).expect("a literal that is known");
        let language = if text == "{{ .Foo }}" { missing_keys.next().unwrap() } else { &RULES };
        let program = Program::parse(text, language);
        let outcome = program
            .as_ref()
            .map_err(TemplateError::clone)
            .and_then(|program| program.render(root, [], &functions));
        let passes = match (case["fails"].as_bool(), case["output"].as_str()) {
            (Some(true), _) => outcome.is_err() && says_as_much(&outcome, &case["error"]),
            // An extraction without an output.
            (_, None) => outcome.is_ok(),
            (_, Some(expected)) => outcome.as_deref().is_ok_and(|rendered| rendered == expected),
        };
        if passes {
            continue;
        }
        if case["html"].as_bool() == Some(true) {
            in_html_mode += 1;
        } else {
            failed.push(format!("{text}: {outcome:?}, expected {case}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(in_html_mode, IN_HTML_MODE);
    println!("{} of {} cases pass", cases.len() - in_html_mode, cases.len());
}

/// Whether an error says what upstream says behind the place, and names the same place.
fn says_as_much(outcome: &Result<String>, error: &serde_json::Value) -> bool {
    let (Err(ours), Some(theirs)) = (outcome, error.as_str()) else { return true };
    let ours = ours.to_string();
    let place = theirs.split("template: test:").nth(1).and_then(|rest| rest.split(' ').next());
    let words = theirs.rsplit(">: ").next().unwrap_or(theirs);
    let words = words.rsplit("test:1: ").next().unwrap_or(words);
    ours.contains(words) && place.is_none_or(|place| ours.contains(place.trim_end_matches(':')))
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
