//! What must end, and with an error at most: deep, wide, long and senseless templates.

use proptest::prelude::*;

use super::*;
use crate::{Data, Functions, Labels, LineTemplate, RULES, Template};

/// Runs on a stack that is small, so that recursion shows.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    const STACK_BYTES: usize = 1 << 20;
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap();
    thread.join().unwrap();
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    match render_in(&RULES, text, &Value::Nil) {
        Ok(rendered) => panic!("rendered {rendered:.100?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{error:.200}"),
    }
}

#[test]
fn deep_templates_are_refused_before_the_stack_is_spent() {
    on_a_small_stack(|| {
        for count in [50, 99, 100, 101, 5_000] {
            for (open, close) in [
                ("{{if true}}", "{{end}}"),
                ("{{with 1}}", "{{end}}"),
                ("{{range 1}}", "{{end}}"),
                ("{{if false}}{{else}}", "{{end}}"),
                ("{{range 0}}{{else}}", "{{end}}"),
            ] {
                let text = open.repeat(count) + "x" + &close.repeat(count);
                let made = render_in(&RULES, &text, &Value::Nil);
                assert_eq!(made.is_ok(), count < 100, "{count} {open}");
            }
            for (open, close) in
                [("(", ")"), ("(print 1 (", "))"), ("(and 1 ", ")"), ("(args ", " 1)")]
            {
                let text = format!("{{{{ {}1{} }}}}", open.repeat(count), close.repeat(count));
                drop(render_in(&RULES, &text, &Value::Nil));
            }
            let calls = "{{ define `a` }}{{ if 1 }}{{ template `a` (print (print 1)) }}{{ end }}\
                         {{ end }}{{ template `a` }}";
            check_fails(calls, "nest deeper than 100");
        }
        let deep = format!("{{{{ {}1 {} }}}}", "(print ".repeat(98), ")".repeat(98));
        let recursive = format!(
            "{{{{ define `a` }}}}{{{{ template `a` }}}}{deep}{{{{ end }}}}{{{{ template `a` }}}}"
        );
        check_fails(&recursive, "nest deeper");
        let chain = format!("{{{{ {} }}}}", ".a".repeat(20_000));
        assert!(render_in(&RULES, &chain, &Value::Nil).is_err());
        let pipes = format!("{{{{ 1 {} }}}}", "| print ".repeat(8_000));
        assert_eq!(render_in(&RULES, &pipes, &Value::Nil).unwrap(), "1");
    });
}

#[test]
fn deep_values_are_refused() {
    check_fails("{{ $a := args 1 }}{{ range 100 }}{{ $a = args $a }}{{ end }}", "deeper");
    let wide = "{{ $a := args 1 2 }}{{ range 15 }}{{ $a = args $a $a $a }}{{ end }}";
    check_fails(wide, "values");
    let json = format!("{}1{}", "[".repeat(50), "]".repeat(50));
    let template = LineTemplate::parse("{{ fromJson .j }}").unwrap();
    let error = template.render(&vec![("j", json.as_str())], "", 0, 0).unwrap_err();
    assert!(error.to_string().contains("deeper"), "{error}");
    let json = format!("[{}1]", "1,".repeat(20_000));
    let error = template.render(&vec![("j", json.as_str())], "", 0, 0).unwrap_err();
    assert!(error.to_string().contains("values"), "{error}");
}

#[test]
fn work_is_bounded() {
    check_fails("{{ range 9223372036854775807 }}{{ end }}", "steps");
    check_fails("{{ range 9999999 }}{{ $x := 1 }}{{ end }}", "steps");
    // Every expression is another one, and compiling costs.
    check_fails(
        "{{ range $i := 9999 }}{{ $x := match (print $i \"a{50}\") \"b\" }}{{ end }}",
        "steps",
    );
    // Long chains cost what they are long.
    let chain =
        format!("{{{{ range 9999 }}}}{{{{ $x := $n{} }}}}{{{{ end }}}}", ".a".repeat(9_999));
    let error = render_in(&PLAIN, &format!("{{{{ $n := .a }}}}{chain}"), &Value::Nil).unwrap_err();
    assert!(error.to_string().contains("steps"), "{error:.200}");
    // Long texts cost what they are long.
    let long = "{{ $a := printf \"%60000d\" 1 }}{{ range 9999 }}{{ $x := toUpper $a }}{{ end }}";
    check_fails(long, "steps");
    check_fails("{{ range 99999 }}xxxxxxxxxxxxxxxxxxxxxxx{{ end }}", "bytes of output");
    check_fails(&"x".repeat(70_000), "bytes of text");
    check_fails(&format!("{{{{ print {} }}}}", "1 ".repeat(100)), "arguments");
    let template = LineTemplate::parse("{{ __line__ | upper }}").unwrap();
    assert!(template.render(&Labels::new(), &"x".repeat(1_050_000), 0, 0).is_err());
    let template = LineTemplate::parse("{{ __line__ | trunc 3 }}").unwrap();
    assert_eq!(template.render(&Labels::new(), &"x".repeat(1_050_000), 0, 0).unwrap(), "xxx");
}

/// Pieces of which odd templates are made.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "{{",
        "}}",
        "{{- ",
        " -}}",
        " ",
        "\n",
        "|",
        "(",
        ")",
        ".",
        "..",
        ".a",
        ".Labels",
        "$",
        "$x",
        "$labels.job",
        ":=",
        "=",
        ",",
        "1",
        "-1",
        "0x",
        "1e9",
        "1.5",
        "'a'",
        "''",
        "\"%s\"",
        "\"",
        "`",
        "`a`",
        "/*",
        "*/",
        "nil",
        "true",
        "if",
        "else",
        "else if",
        "end",
        "range",
        "with",
        "define \"x\"",
        "template \"x\"",
        "block \"x\"",
        "break",
        "continue",
        "print",
        "printf",
        "println",
        "index",
        "slice",
        "len",
        "and",
        "or",
        "not",
        "eq",
        "lt",
        "html",
        "js",
        "urlquery",
        "args",
        "toTime",
        "toDuration",
        "now",
        "query",
        "first",
        ".Format",
        ".Add",
        "\"%[1]*.[2]*d\"",
        "\"%#+-0 9.9q\"",
        "\u{a0}",
        "\u{e9}",
        "\u{0}",
        "fromJson",
        "__line__",
        "trunc",
        "substr",
        "repeat",
        "date",
        "toDate",
        "round",
        "divf",
        "alignLeft",
        "indent",
        "regexReplaceAll",
        "urldecode",
        "b64dec",
        "9223372036854775807",
        "-9223372036854775808",
    ]);
    prop_oneof![20 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

fn odd_text() -> impl Strategy<Value = String> {
    let action = prop::collection::vec(piece(), 0..8)
        .prop_map(|parts| format!("{{{{ {} }}}}", parts.join(" ")));
    prop_oneof![
        prop::collection::vec(piece(), 0..24).prop_map(|parts| parts.concat()),
        prop::collection::vec(action, 1..4).prop_map(|actions| actions.concat()),
        prop::collection::vec(any::<u8>(), 0..64)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_reading_or_rendering_panic(text in odd_text()) {
        // The outcomes do not matter.
        let labels = Labels::from([("job".to_owned(), "node".to_owned())]);
        let data = Data { labels: &labels, external_labels: &labels, value: 1.5 };
        let functions = Functions::without_query("http://here", 0);
        drop(Template::parse(&text).and_then(|template| template.render(&data, &functions)));
        drop(LineTemplate::parse(&text).and_then(|line| line.render(&labels, "line", 1, 2)));
    }

    #[test]
    fn no_format_makes_printing_panic(
        format in "%[-+# 0]{0,3}([0-9]{0,3}|\\*|\\[[0-9]\\])(\\.[0-9*]{0,2})?[a-zA-Z%!\u{e9}]",
        number in any::<i64>(), float in any::<f64>(), text in any::<String>(),
    ) {
        let values = [Value::Int(number), Value::Float(float), Value::text(text), Value::Nil];
        for start in 0..values.len() {
            drop(crate::format::sprintf(&format, values.get(start..).unwrap_or(&[]), 1000));
        }
    }

    #[test]
    fn text_without_actions_is_itself(text in "[^{]*") {
        prop_assert_eq!(render_in(&RULES, &text, &Value::Nil).unwrap(), text);
    }
}
