//! What Go does (its `exec_test.go`, `parse_test.go` and documentation name most of these), told in
//! our own words.

use super::*;
use crate::Text;

fn data() -> Value<'static> {
    map([
        ("True", Value::Bool(true)),
        ("I", Value::Int(17)),
        ("F", Value::Float(1.5)),
        ("X", Value::text("x")),
        ("Empty", Value::text("")),
        ("Nil", Value::Nil),
        ("SI", list([Value::Int(3), Value::Int(4), Value::Int(5)])),
        ("None", list([])),
        ("MSI", map([("one", Value::Int(1)), ("two", Value::Int(2))])),
        ("U", map([("V", map([("W", Value::text("deep"))]))])),
        ("Took", Value::Duration(90_000_000_000)),
    ])
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match render_in(&PLAIN, text, &data()) {
        Ok(rendered) => assert_eq!(rendered, expected, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    match render_in(&PLAIN, text, &data()) {
        Ok(rendered) => panic!("{text}: rendered {rendered:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{text}: {error}"),
    }
}

#[test]
fn text_trims_and_comments() {
    check("", "");
    check("some text", "some text");
    check("{ {{\"a\"}} }", "{ a }");
    check("a {{- 1 -}} b", "a1b");
    check("a \n\t{{- 1 }} b", "a1 b");
    check("{{ 1 -}} \r\n b", "1b");
    check("{{- 1   -}} ", "1");
    check("{{-1}}", "-1");
    check("{{ 3 -}} < {{- 45 }}", "3<45");
    check("a{{/* hi */}}b", "ab");
    check("a {{- /* hi\n}} */ -}} b", "ab");
    check("{{\n 1 |\n print }}", "1");
    check("}} x", "}} x");
    check_fails("{{/* a */ }}", "comment ends before closing delimiter");
    check_fails("{{/* a }}", "unclosed comment");
    check_fails("{{ /* a */ }}", "unexpected");
}

#[test]
fn numbers_and_strings() {
    check("{{ 1 }} {{ -0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 017 }}", "1 -31 3 15 15");
    check("{{ 1.5 }} {{ 1e3 }} {{ .5 }} {{ 1e21 }} {{ 0x1p-2 }}", "1.5 1000 0.5 1e+21 0.25");
    check("{{ 'a' }} {{ '\\n' }} {{ '\\'' }} {{ '\u{e9}' }}", "97 10 39 233");
    check("{{ \"a\\tb\\\"\" }}{{ `raw\\n` }}{{ true }}{{ false }}", "a\tb\"raw\\ntruefalse");
    check_fails("{{ 1i }}", "complex");
    check_fails("{{ 1+2i }}", "complex");
    check_fails("{{ 1+2 }}", "bad number syntax: \"1+2\"");
    check_fails("{{ 3k }}", "bad number syntax: \"3k\"");
    check_fails("{{ 9223372036854775808 }}", "overflows int");
    check_fails("{{ 'ab' }}", "malformed character constant");
    check_fails("{{ \"\\z\" }}", "invalid syntax");
}

#[test]
fn fields_variables_and_parentheses() {
    check(
        "{{ .I }} {{ .U.V.W }} {{ .U.V }} {{ $.I }} {{ (.U).V.W }}",
        "17 deep map[W:deep] 17 deep",
    );
    check("{{ $x := .U }}{{ $x.V.W }}{{ ($x).V.W }}", "deepdeep");
    check("{{ $x := 1 }}{{ $x = 2 }}{{ $x }}{{ $x := 3 }}{{ $x }}", "23");
    check("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21");
    check("{{ $x := 1 }}{{ with 2 }}{{ $x = . }}{{ end }}{{ $x }}", "2");
    check("{{ $x := 1 }}{{ $x := print $x $x }}{{ $x }}", "1 1");
    check(
        "{{ if $x := .X }}{{ $x }}{{ end }}{{ if $y := .Empty }}{{ else }}[{{ $y }}]{{ end }}",
        "x[]",
    );
    check("{{ (1) }}{{ ((print 1) | print) }}{{ 2 | }}", "112");
    check("{{ .NoSuch }} {{ .NoSuch.Further }} {{ .Nil }}", "<no value> <no value> <no value>");
    check("{{ printf \"%v\" nil }} {{ print .Nil }}", "<nil> <nil>");
    check("{{ . | len }} {{ .Took }} {{ .Took.Minutes }}", "11 1m30s 1.5");
    check_fails("{{ nil }}", "nil is not a command");
    check_fails("{{ .X.Y }}", "can't evaluate field Y in type string");
    check_fails("{{ .X 1 }}", "X is not a method but has arguments");
    check_fails("{{ 1 2 }}", "can't give argument to non-function 1");
    check_fails("{{ (print 1) 2 }}", "can't give argument to non-function (print 1)");
    check_fails("{{ 1 | 2 }}", "non executable command in pipeline stage 2");
    check_fails("{{ 1.E }}", "illegal number syntax");
    check_fails("{{ \"a\".b }}", "unexpected . after term \"\\\"a\\\"\"");
    check_fails("{{ ..x }}", "unexpected");
    check_fails("{{ $x }}", "undefined variable \"$x\"");
    check_fails("{{ $x := $x }}", "undefined variable \"$x\"");
    check_fails("{{ $x = 1 }}", "undefined variable \"$x\"");
    check_fails("{{ $x, $y := 1 }}", "too many declarations");
    check_fails("{{ nosuch }}", "function \"nosuch\" not defined");
    check_fails("{{ call .X }}", "function \"call\" not defined");
}

#[test]
fn conditions() {
    check("{{ if .True }}a{{ else }}b{{ end }}{{ if .None }}a{{ else }}b{{ end }}", "ab");
    check(
        "{{ if 0 }}a{{ else if 0.0 }}b{{ else if \"\" }}c{{ else if .Took }}d{{ else }}e{{ end }}",
        "d",
    );
    check("{{ if .Nil }}a{{ else if .MSI }}b{{ end }}", "b");
    check("{{ with .X }}{{ . }}{{ end }}{{ with .Empty }}a{{ else }}{{ .I }}{{ end }}", "x17");
    check("{{ with .Empty }}a{{ else with .X }}{{ . }}{{ else }}c{{ end }}", "x");
    check("{{ with $x := .X }}{{ $x }}{{ end }}", "x");
    let mut long = "{{ if .Nil }}".to_owned();
    long += &"{{ else if .Nil }}".repeat(500);
    check(&(long + "{{ else }}end{{ end }}"), "end");
    check_fails("{{ if }}x{{ end }}", "missing value for if");
    check_fails("{{ if .X }}x", "unexpected EOF");
    check_fails("{{ if .X }}{{ else }}{{ else }}{{ end }}", "expected end; found {{else}}");
    check_fails("{{ end }}", "unexpected {{end}}");
    check_fails("{{ else }}", "unexpected {{else}}");
    check_fails("{{ if .X }}{{ else with .X }}{{ end }}", "unexpected \"with\"");
}

#[test]
fn loops() {
    check("{{ range .SI }}-{{ . }}-{{ end }}", "-3--4--5-");
    check("{{ range $i, $e := .SI }}{{ $i }}={{ $e }} {{ end }}", "0=3 1=4 2=5 ");
    check("{{ range $e := .SI }}{{ $e }}{{ end }}", "345");
    check("{{ range $k, $v := .MSI }}{{ $k }}={{ $v }};{{ end }}", "one=1;two=2;");
    check("{{ range .MSI }}{{ . }}{{ end }}", "12");
    check(
        "{{ range .None }}a{{ else }}none{{ end }}{{ range .Nil }}a{{ else }}nil{{ end }}",
        "nonenil",
    );
    check("{{ range 3 }}{{ . }}{{ end }}{{ range 0 }}a{{ else }}b{{ end }}", "012b");
    check("{{ range $i := 3 }}{{ $i }}{{ end }}", "012");
    check("{{ range .SI }}{{ if eq . 4 }}{{ break }}{{ end }}{{ . }}{{ end }}", "3");
    check("{{ range .SI }}{{ if eq . 4 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "35");
    check("{{ $l := 0 }}{{ range .SI }}{{ $l = . }}{{ end }}{{ $l }}", "5");
    check("{{ $i := 0 }}{{ $e := 0 }}{{ range $i, $e = .SI }}{{ end }}{{ $i }}{{ $e }}", "25");
    check(
        "{{ range $i, $_ := .SI }}{{range 2}}{{ if . }}{{break}}{{end}}{{ $i }}{{ end }}{{ end }}",
        "012",
    );
    check("{{ range .SI }}{{ $.X }}{{ end }}", "xxx");
    check_fails("{{ range .X }}{{ end }}", "range can't iterate over");
    check_fails("{{ range $i, $e := 3 }}{{ end }}", "more than one variable");
    check_fails("{{ range $a, $b, $c := .SI }}{{ end }}", "too many declarations");
    check_fails("{{ range $a, 1 := .SI }}{{ end }}", "range can only initialize variables");
    check_fails("{{ break }}", "{{break}} outside {{range}}");
    check_fails("{{ range 1 }}{{ end }}{{ continue }}", "{{continue}} outside {{range}}");
    check_fails("{{ range 1 }}{{ else }}{{ break }}{{ end }}", "{{break}} outside {{range}}");
}

#[test]
fn templates() {
    check(
        "{{ define \"a\" }}<{{ . }}>{{ end }}{{ template \"a\" .X }}{{ template \"a\" }}",
        "<x><<no value>>",
    );
    check("{{ template `a` . }}{{ define \"a\" }}{{ .I }}{{ $.I }}{{ end }}", "1717");
    check("{{ block \"b\" .SI }}{{ len . }}{{ end }}{{ template \"b\" .MSI }}", "32");
    check("{{ define \"a\" }}x{{ end }}{{ define \"a\" }} {{ end }}{{ template \"a\" }}", "x");
    check(
        "{{define `a`}}{{ if . }}{{ . }}{{ template `a` }}{{ end }}{{ end }}{{ template `a` 1 }}",
        "1",
    );
    check_fails("{{ template \"nosuch\" }}", "1:3: template \"nosuch\" not defined");
    check_fails(
        "{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}",
        "multiple definition of template \"a\"",
    );
    check_fails("{{ $x := 1 }}{{ define \"a\" }}{{ $x }}{{ end }}", "undefined variable \"$x\"");
    check_fails(
        "{{ if 1 }}{{ define \"a\" }}{{ end }}{{ end }}",
        "unexpected \"define\" in command",
    );
    check_fails("{{ define \"a\" }}{{ define \"b\" }}{{ end }}{{ end }}", "unexpected \"define\"");
    check_fails("{{ define a }}{{ end }}", "unexpected \"a\" in define clause");
    check_fails("{{ template }}", "in template clause");
    check_fails("{{ define \"a\" }}", "unexpected EOF");
}

#[test]
fn logic_and_comparison() {
    check("{{ and 1 0 2 }} {{ or 0 \"\" 2 3 }} {{ and .X .I }} {{ not .X }}", "0 2 17 false");
    check("{{ and false (index .SI 9) }} {{ or 1 (index .SI 9) }}", "false 1");
    check("{{ 0 | and 1 }} {{ .X | or 0 }}", "0 x");
    check(
        "{{ eq 1 1 }} {{ eq 1 2 3 1 }} {{ ne \"a\" \"b\" }} {{ eq .X \"x\" }}",
        "true true true true",
    );
    check("{{ lt 1 2 }} {{ le 2 2 }} {{ gt 1.5 1.0 }} {{ ge \"b\" \"a\" }}", "true true true true");
    check("{{ eq .Nil nil }} {{ eq .I nil }} {{ ne nil .X }}", "true false true");
    check("{{ eq .Took .Took }} {{ gt .Took 5 }} {{ eq true true }}", "true true true");
    check_fails("{{ eq 1 1.0 }}", "error calling eq: incompatible types for comparison");
    check_fails("{{ eq \"1\" 1 }}", "incompatible types for comparison");
    check_fails("{{ lt true false }}", "invalid type for comparison");
    check_fails("{{ lt 1 \"a\" }}", "incompatible types for comparison");
    check_fails("{{ lt nil 1 }}", "invalid type for comparison");
    check_fails("{{ eq 1 }}", "missing argument for comparison");
    check_fails("{{ eq .SI .SI }}", "non-comparable type");
    check_fails("{{ eq }}", "wrong number of args for eq: want at least 1 got 0");
    check_fails("{{ ne 1 }}", "wrong number of args for ne: want 2 got 1");
    check_fails("{{ and }}", "wrong number of args for and");
}

#[test]
fn len_index_and_slice() {
    check("{{ len .SI }} {{ len .MSI }} {{ len \"\u{e9}\" }} {{ .X | len }}", "3 2 2 1");
    check("{{ index .SI 1 }} {{ index .MSI \"two\" }} {{ index .U \"V\" \"W\" }}", "4 2 deep");
    check(
        "{{ index \"abc\" 1 }} {{ index .MSI \"none\" }} {{ index .SI }}",
        "98 <no value> [3 4 5]",
    );
    check(
        "{{ slice .SI 1 }} {{ slice .SI 0 2 }} {{ slice .SI 1 2 3 }} {{ slice \"abc\" 1 2 }}",
        "[4 5] [3 4] [4] b",
    );
    check("{{ slice \"\u{e9}a\" 1 }}", "\u{fffd}a");
    check_fails("{{ len 3 }}", "len of type int");
    check_fails("{{ len nil }}", "len of nil pointer");
    check_fails("{{ index .SI 3 }}", "index out of range: 3");
    check_fails("{{ index .SI -1 }}", "index out of range: -1");
    check_fails("{{ index .None 0 }}", "index out of range: 0");
    check_fails("{{ index .SI \"a\" }}", "cannot index slice/array with type string");
    check_fails("{{ index .MSI 1 }}", "value has type int; should be string");
    check_fails("{{ index .Nil 1 }}", "index of untyped nil");
    check_fails("{{ index 1 1 }}", "can't index item of type int");
    check_fails("{{ slice .SI 2 1 }}", "invalid slice index: 2 > 1");
    check_fails("{{ slice .SI 0 4 }}", "index out of range: 4");
    check_fails("{{ slice \"abc\" 0 1 2 }}", "cannot 3-index slice a string");
    check_fails("{{ slice .MSI 1 }}", "can't slice item of type map[string]interface {}");
}

#[test]
fn printing_and_escaping() {
    check("{{ print 1 2 \"a\" \"b\" 3 }}|{{ println 1 \"a\" }}", "1 2ab3|1 a\n");
    check("{{ printf \"%d %s %v\" 1 \"a\" .SI }}", "1 a [3 4 5]");
    check("{{ \"a\" | printf \"%s-%s\" \"b\" }}", "b-a");
    check("{{ html \"<a href='x'>&\\\"\" }}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;");
    check("{{ js \"it's <b>=&\\n\" }}", "it\\'s \\u003Cb\\u003E\\u003D\\u0026\\u000A");
    check(
        "{{ urlquery \"a b/c\" }} {{ html .I .X }} {{ .Nil | html }}",
        "a+b%2Fc 17x &lt;no value&gt;",
    );
    check("{{ .MSI }} {{ .SI }} {{ .F }} {{ .True }}", "map[one:1 two:2] [3 4 5] 1.5 true");
    check_fails("{{ printf 1 }}", "wrong type for value; expected string; got int");
    check_fails("{{ printf }}", "want at least 1 got 0");
}

#[test]
fn missing_keys_can_be_zero_or_errors() {
    static ZERO: Language = Language { missing_key: MissingKey::Zero, ..PLAIN };
    static ERROR: Language = Language { missing_key: MissingKey::Error, ..PLAIN };
    let texts = Value::labels([("a".to_owned(), "1".to_owned())].into());
    let root = map([("t", texts), ("m", map([]))]);
    for (language, text, expected) in [
        (&PLAIN, "{{ .t.a }}[{{ .t.b }}][{{ .m.b }}]", Ok("1[<no value>][<no value>]")),
        (&ZERO, "{{ .t.a }}[{{ .t.b }}][{{ .m.b }}]", Ok("1[][<no value>]")),
        (&ZERO, "{{ .m.b.c }}", Err("nil pointer evaluating interface {}.c")),
        (&ERROR, "{{ .t.b }}", Err("map has no entry for key \"b\"")),
        (&ERROR, "{{ .m.b }}", Err("1:3: at <.m.b>: map has no entry for key \"b\"")),
    ] {
        match (render_in(language, text, &root), expected) {
            (Ok(made), Ok(expected)) => assert_eq!(made, expected, "{text}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (outcome, _) => panic!("{text}: {outcome:?}"),
        }
    }
}

#[test]
fn errors_name_line_and_column() {
    check_fails("a\n{{ if }}", "error parsing template: 2:6: missing value for if");
    check_fails(
        "a\nbc {{ nosuch }}",
        "error parsing template: 2:6: function \"nosuch\" not defined",
    );
    check_fails("{{ | 1 }}", "1:3: unexpected \"|\" in command");
    check_fails(
        "x\n {{ index .SI 9 }}",
        "error executing template: 2:4: at <index .SI 9>: error calling index",
    );
    check_fails(
        "{{ .X | len | index .SI }}{{ .I.J }}",
        "1:29: at <.I.J>: can't evaluate field J in type int",
    );
    check_fails("{{ \u{a0} }}", "1:3: unrecognized character in action: U+00A0");
    check_fails("{{ (1 }}", "unclosed left paren");
    check_fails("{{ 1) }}", "unexpected right paren");
    check_fails("{{ \"a }}", "unterminated quoted string");
    check_fails("{{ `a }}", "unterminated raw quoted string");
    check_fails("{{ 'a }}", "unterminated character constant");
    check_fails("{{ a:b }}", "expected :=");
    check_fails("{{ $x=1 }}", "bad character");
    check_fails("{{ a%b }}", "bad character");
    check_fails("{{ , }}", "unexpected \",\" in command");
    check_fails("{{", "1:0: unclosed action");
    check_fails("{{ 1", "unclosed action");
    check_fails("{{}}", "missing value for command");
}

#[test]
fn libraries_give_their_defines_to_many_templates() {
    let mut library = crate::Library::new(&PLAIN);
    library.add("{{ define \"a\" }}a{{ template \"b\" . }}{{ end }} text outside").unwrap();
    assert!(library.check().unwrap_err().to_string().contains("template \"b\" not defined"));
    library.add("{{ define \"b\" }}b{{ . }}{{ end }}").unwrap();
    library.check().unwrap();
    let program = Program::parse_with("{{ template \"a\" 1 }}", &library).unwrap();
    assert_eq!(program.render(Value::Nil, [], &Nowhere).unwrap(), "ab1");
    assert_eq!(program.templates().collect::<Vec<_>>(), ["a", "b"]);
    let own = "{{ define \"b\" }}own{{ end }}{{ template \"a\" }}";
    let program = Program::parse_with(own, &library).unwrap();
    assert_eq!(program.render(Value::Nil, [], &Nowhere).unwrap(), "aown");
    // A file with nothing in a define does not take the other one away.
    library.add("{{ define \"b\" }} {{ end }}").unwrap();
    let program = Program::parse_with("{{ template \"b\" 2 }}", &library).unwrap();
    assert_eq!(program.render(Value::Text(Text::Borrowed("x")), [], &Nowhere).unwrap(), "b2");
}
