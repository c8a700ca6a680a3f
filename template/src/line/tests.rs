//! Templates of log lines: every function, and what they must not do.

use super::*;

const AT_NS: i64 = 1_234_567_890_123_456_789;

fn render(text: &str) -> Result<String> {
    let labels = [
        ("app", "Web Shop"),
        ("status", "500"),
        ("took", "1h15m30.918273645s"),
        ("size", "5KB"),
        ("json", r#"{"a":[1,2.5,"x"],"b":{"c":true}}"#),
        ("empty", ""),
        ("at", "2023-01-15T16:08:09+01:00"),
        ("unix", "1673798889"),
    ];
    LineTemplate::parse(text)?.render(&labels.to_vec(), "GET /cart 12ms", AT_NS, 60_000_000_000)
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
fn labels_are_fields() {
    check("no actions", "no actions");
    check("{{.app}}", "Web Shop");
    check("{{.absent}}", "");
    check("[{{.absent}}] {{ .status }} {{ $.app }}", "[] 500 Web Shop");
    check("{{ if eq .status \"500\" }}bad{{ else }}good{{ end }}", "bad");
    check("{{ with .empty }}x{{ else }}none{{ end }}", "none");
    check("{{ range $k, $v := fromJson .json }}{{ $k }};{{ end }}", "a;b;");
    check("{{ __line__ }} {{ __line__ | lower }}", "GET /cart 12ms get /cart 12ms");
    check("{{ printf \"%-10.10s|\" .app }}", "Web Shop  |");
    check("{{ len .app }} {{ index (fromJson .json) \"b\" \"c\" }}", "8 true");
    check("{{ and .app .status }} {{ or .empty .app }} {{ not .empty }}", "500 Web Shop true");
    check("{{ $x := .app }}{{ $x = .status }}{{ $x }}", "500");
    check("{{/* a comment */}}x{{- \" y \" -}} z", "x y z");
}

#[test]
fn functions_on_texts() {
    check("{{ .app | upper | lower | title }} {{ ToUpper .app }}", "Web Shop WEB SHOP");
    check("{{ trunc 3 .app }} {{ trunc -4 .app }} {{ trunc 99 .app }}", "Web Shop Web Shop");
    check("{{ substr 4 8 .app }}{{ substr -1 3 .app }}{{ substr 4 -1 .app }}", "ShopWebShop");
    check(
        "{{ contains \"Shop\" .app }} {{ hasPrefix \"W\" .app }} {{ hasSuffix \"W\" .app }}",
        "true true false",
    );
    check("{{ indent 2 \"a\\nb\" }}|{{ nindent 1 \"c\" }}", "  a\n  b|\n c");
    check("{{ replace \"o\" \"0\" .app }} {{ Replace .app \"S\" \"s\" 1 }}", "Web Sh0p Web shop");
    check("{{ repeat 3 \"ab\" }}", "ababab");
    check("{{ trim \" x \" }}{{ TrimSpace \" y \" }}{{ trimAll \"-\" \"-z-\" }}", "xyz");
    check("{{ trimPrefix \"Web \" .app }}{{ TrimPrefix .app \"Web\" }}", "Shop Shop");
    check("{{ trimSuffix \" Shop\" .app }} {{ TrimSuffix .app \"p\" }}", "Web Web Sho");
    check(
        "{{ Trim \"xax\" \"x\" }}{{ TrimLeft \"xax\" \"x\" }}{{ TrimRight \"xax\" \"x\" }}",
        "aaxxa",
    );
    check("{{ regexReplaceAll \"(o)p\" .app \"<${1}>\" }}", "Web Sh<o>");
    check("{{ regexReplaceAllLiteral \"(o)p\" .app \"${1}\" }}", "Web Sh${1}");
    check("{{ __line__ | count \"[0-9]\" }}", "2");
    check("{{ urlencode \"a b&c\" }} {{ urldecode \"a+b%26c\" }}", "a+b%26c a b&c");
    check("{{ b64enc \"foo bar\" }} {{ b64dec \"Zm9vIGJhcg\" }}", "Zm9vIGJhcg== foo bar");
    check(
        "{{ b64enc \"f\" }} {{ b64enc \"\" }} {{ b64dec \"!\" }}",
        "Zg==  illegal base64 data at input byte 0",
    );
    check("[{{ alignLeft 5 \"ab\" }}] [{{ alignRight 5 \"ab\" }}]", "[ab   ] [   ab]");
    check("[{{ alignLeft 2 \"abc\" }}] [{{ alignRight 2 \"abc\" }}]", "[ab] [bc]");
    check("{{ default \"-\" .empty }} {{ .app | default \"-\" }}", "- Web Shop");
}

#[test]
fn functions_on_numbers() {
    check(
        "{{ add 3 2 5 }} {{ sub 5 2 }} {{ mul 5 2 3 }} {{ div 10 3 }} {{ mod 10 3 }}",
        "10 3 30 3 1",
    );
    check(
        "{{ addf 3.5 2 }} {{ subf 5.5 1.5 2 }} {{ mulf 5.5 2 }} {{ divf 10 2 4 }}",
        "5.5 2 11 1.25",
    );
    check("{{ max 1 3 2 }} {{ min 2 1 }} {{ maxf 1 2.5 }} {{ minf 1 2.5 }}", "3 1 2.5 1");
    check(
        "{{ ceil 123.001 }} {{ floor 123.9 }} {{ round 123.555555 3 }} {{ round 1.5 0 0.6 }}",
        "124 123 123.556 1",
    );
    check(
        "{{ int .status }} {{ float64 \"1.5\" }} {{ int \"0x10\" }} {{ int \"x\" }}",
        "500 1.5 16 0",
    );
    check("{{ add .status 1 }} {{ mulf .status 2 }}", "501 1000");
    check(
        "{{ bytes .size }} {{ duration .took }} {{ duration_seconds \"20ms\" }}",
        "5000 4530.918273645 0.02",
    );
    check("{{ addf 0.1 0.2 }} {{ int \"1_000\" }} {{ max -1 .status }}", "0.3 1000 500");
    check_fails("{{ trunc .status .app }}", "wrong type for value; expected int; got string");
    check_fails("{{ div 1 0 }}", "integer divide by zero");
    check_fails("{{ duration .app }}", "invalid duration");
    check("{{ if gt (float64 .status) 499.0 }}slow{{ end }}", "slow");
}

#[test]
fn functions_on_times() {
    check("{{ __timestamp__ }}", "2009-02-13 23:31:30.123456789 +0000 UTC");
    check("{{ __timestamp__ | date \"2006-01-02T15:04:05.00Z\" }}", "2009-02-13T23:31:30.12Z");
    check(
        "{{ __timestamp__ | unixEpoch }} {{ unixEpochMillis __timestamp__ }}",
        "1234567890 1234567890123",
    );
    check("{{ unixEpochNanos __timestamp__ }} {{ now | unixEpoch }}", "1234567890123456789 60");
    check("{{ toDate \"2006-01-02T15:04:05Z07:00\" .at | unixEpoch }}", "1673795289");
    check(
        "{{ toDateInZone \"2006-01-02\" \"Europe/Berlin\" \"2023-01-15\" | unixEpoch }}",
        "1673737200",
    );
    check(
        "{{ unixToTime .unix | date \"15:04\" }} {{ unixToTime \"19373\" | date \"2006\" }}",
        "16:08 2023",
    );
    check("{{ toDate \"2006\" \"x\" | unixEpoch }}", "-62135596800");
    check("{{ date \"2006\" (int 0) }}", "1970");
    check("{{ now.Unix }} {{ __timestamp__.Year }}", "60 2009");
    check("{{ (__timestamp__.Sub now).Round 60000000000 }}", "342935h31m0s");
    check_fails("{{ unixEpoch .at }}", "wrong type for value; expected time.Time; got string");
    check_fails("{{ unixToTime \"123\" }}", "unable to parse time '123'");
}

#[test]
fn mistakes_are_found_when_a_template_is_read() {
    check_fails("{{ nosuch .app }}", "function \"nosuch\" not defined");
    check_fails("{{ .app", "1:");
    check_fails("{{ $x }}", "undefined variable");
    check_fails("{{ query \"up\" }}", "function \"query\" not defined");
    check_fails("{{ regexReplaceAll \"(\" .app \"x\" }}", "bad regular expression");
}

#[test]
fn hostile_templates_end_with_an_error() {
    check_fails("{{ repeat 1000000000 .app }}", "a text has more than 1048576 bytes");
    check_fails("{{ indent 1000000000 .app }}", "bytes");
    check_fails("{{ alignLeft 1000000000 .app }}", "bytes");
    check_fails("{{ repeat -1 .app }}", "negative");
    check_fails("{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}", "");
    assert!(LineTemplate::parse(&"{{ .app }}".repeat(100_000)).is_err());
}

#[test]
fn long_lines_have_room() {
    let line = "0123456789abcdef".repeat(16 << 10);
    assert_eq!(line.len(), 256 << 10);
    let render = |text: &str| {
        LineTemplate::parse(text).unwrap().render(&Vec::<(&str, &str)>::new(), &line, 1, 2)
    };
    for text in [
        "{{ __line__ }}",
        "{{ __line__ | replace \"f\" \"gg\" | upper }}",
        "{{ printf \"%s %s\" __line__ __line__ }}",
        "{{ print __line__ }}{{ __line__ | b64enc }}",
        "{{ regexReplaceAll \"[a-f]+\" __line__ \"$0$0\" }}",
        "{{ repeat 4 __line__ }}",
    ] {
        assert!(render(text).unwrap().len() >= line.len(), "{text}");
    }
    for text in ["{{ repeat 5 __line__ }}", "{{ range 5 }}{{ __line__ }}{{ end }}"] {
        assert!(render(text).unwrap_err().to_string().contains("1048576"), "{text}");
    }
}

#[test]
fn a_template_serves_many_lines() {
    let template = LineTemplate::parse("{{.n}}:{{ __line__ }}").unwrap();
    for i in 0..3 {
        let (n, line) = (i.to_string(), format!("line {i}"));
        let made = template.render(&vec![("n", n.as_str())], &line, i, 0).unwrap();
        assert_eq!(made, format!("{i}:line {i}"));
    }
}
