//! Rule files, good and bad, our own and upstream's.

use std::path::{Path, PathBuf};

use super::*;

fn parse_text(text: &str) -> Result<(RuleFile, Vec<Warning>), Vec<FileError>> {
    parse("rules.yml", text, &|_, expr| match expr {
        "rate(hi)" => Err("expected type range vector".to_owned()),
        _ => Ok(()),
    })
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    let errors = parse_text(text).expect_err(text);
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|error| error.contains(expected)), "{shown:?}");
}

fn with_rule(rule: &str) -> String {
    format!("groups:\n  - name: g\n    rules:\n      - {rule}\n")
}

#[test]
fn errors_name_file_place_group_and_rule() {
    check_fails(
        &with_rule("{alert: A, expr: 'rate(hi)'}"),
        "rules.yml:4:26: group \"g\", rule 1, \"A\": could not parse expression: expected type",
    );
    check_fails(&with_rule("{alert: A, expr: up, annotation: {}}"), "rules.yml:4:");
    check_fails(&with_rule("{alert: A, expr: up, annotation: {}}"), "unknown field `annotation`");
}

#[test]
fn every_check_of_upstream_is_made() {
    for (rule, expected) in [
        ("{expr: up}", "one of 'record' or 'alert' must be set"),
        ("{record: a, alert: b, expr: up}", "only one of 'record' and 'alert' must be set"),
        ("{record: a}", "field 'expr' must be set"),
        ("{record: a, expr: up, for: 1m}", "invalid field 'for' in recording rule"),
        ("{record: a, expr: up, annotations: {x: y}}", "invalid field 'annotations'"),
        ("{record: 'a{b=\"c\"}', expr: up}", "braces present in the recording rule name"),
        ("{alert: a, expr: up, labels: {__name__: x}}", "invalid label name: \"__name__\""),
        ("{alert: a, expr: up, for: 5}", "not a valid duration string: \"5\""),
        ("{alert: a, expr: up, annotations: {x: '{{ $nosuch }}'}}", "undefined variable"),
        ("{alert: a, expr: up, labels: {x: '{{ '}}", "label \"x\": error parsing template"),
    ] {
        check_fails(&with_rule(rule), expected);
    }
    check_fails("groups:\n  - name: ''\n", "group name must not be empty");
    check_fails("groups:\n  - name: a\n  - name: a\n", "group name is repeated");
    check_fails("groups:\n  - {name: a, interval: x}\n", "interval: not a valid duration");
    check_fails("groups: [", "rules.yml:");
}

#[test]
fn labels_of_a_group_are_merged_and_the_rule_wins() {
    let text = "groups:\n  - name: g\n    labels: {a: '1', b: '2'}\n    rules:\n      - {record: r, expr: 1, labels: {b: 3}}\n";
    let (file, _) = parse_text(text).unwrap();
    let rule = &file.groups[0].rules[0];
    assert_eq!(rule.label_set().to_string(), r#"{a="1", b="3"}"#);
    assert_eq!(rule.expr, "1");
}

#[test]
fn a_page_without_runbook_or_severity_is_warned_about() {
    let (_, warnings) = parse_text(&with_rule("{alert: A, expr: up}")).unwrap();
    let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "rules.yml: group \"g\", rule \"A\": has no runbook_url annotation",
            "rules.yml: group \"g\", rule \"A\": has no severity label",
        ]
    );
    let good = "{alert: A, expr: up, labels: {severity: page}, annotations: {runbook_url: x}}";
    assert!(parse_text(&with_rule(good)).unwrap().1.is_empty());
}

#[test]
fn only_the_first_document_counts() {
    let (file, warnings) = parse_text("---\ngroups:\n  - name: a\n---\nnonsense: 1\n").unwrap();
    assert_eq!(file.groups.len(), 1);
    assert!(warnings[0].message.contains("only the first YAML document"));
    assert!(parse_text("# nothing\n").unwrap().0.groups.is_empty());
}

#[test]
fn lines_of_a_quoted_text_may_begin_left_of_their_key() {
    let text = with_rule("{alert: A, expr: up}")
        + "      - alert: B\n        expr: up\n        annotations:\n          x: \"a\n        b\n        c\"\n";
    let (file, _) = parse_text(&text).unwrap();
    let annotations = &file.groups[0].rules[1].alert.as_ref().unwrap().annotations;
    assert_eq!(annotations[0].1, "a b c");
}

fn shared(path: &str) -> PathBuf {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    shared.join("conformance/alerting").join(path)
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("NOT RUN: {} is absent", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

#[test]
fn files_of_prometheus_get_their_verdicts() {
    for folder in ["prometheus-rules/rulefmt", "prometheus-rules/fixtures"] {
        for path in files_in(&shared(folder)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Bad only under the legacy names, which are not the default upstream either.
            let is_legacy = name == "legacy_validation_annotation.bad.yaml";
            let is_bad = (name.contains(".bad.") && !is_legacy) || name == "invalid_rules.yaml";
            let text = std::fs::read_to_string(&path).unwrap();
            let outcome = parse_text(&text);
            assert_eq!(outcome.is_err(), is_bad, "{name}: {outcome:?}");
        }
    }
}

#[test]
fn public_rule_packs_are_read() {
    let mut rules = 0;
    for folder in ["kube-prometheus", "victoriametrics", "kubernetes-mixin"] {
        for path in files_in(&shared("rule-packs").join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = unwrap_resource(&text);
            // A key of vmalert, which Prometheus refuses as well.
            let is_concurrency = |line: &&str| line.trim_start().starts_with("concurrency:");
            if text.lines().any(|line| is_concurrency(&line)) {
                check_fails(&text, "unknown field `concurrency`");
            }
            let kept: Vec<&str> = text.lines().filter(|line| !is_concurrency(line)).collect();
            let outcome = parse_text(&kept.join("\n"));
            let (file, _) = outcome.unwrap_or_else(|errors| {
                panic!("{}: {}", path.display(), errors[0]);
            });
            rules += file.groups.iter().map(|group| group.rules.len()).sum::<usize>();
        }
    }
    println!("{rules} rules of public packs are read");
}

#[test]
fn a_large_file_is_read() {
    let path = shared("promtool/rules_large.yml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("NOT RUN: {} is absent", path.display());
        return;
    };
    let outcome = parse_text(&text);
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err()[0]);
}

/// The rule file inside a Kubernetes `PrometheusRule`.
fn unwrap_resource(text: &str) -> String {
    match text.split_once("\nspec:\n") {
        Some((_, spec)) => {
            let lines = spec.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
            lines.collect::<Vec<_>>().join("\n")
        }
        None => text.to_owned(),
    }
}

#[test]
fn unknown_keys_are_ignored_only_on_request() {
    let text =
        "groups:\n- name: g\n  owner: {team: x}\n  rules:\n  - {record: r, expr: up, note: 1}\n";
    let read_text = |text: &str, unknown_keys| {
        parse_with("rules.yml", text, &|_, _| Ok(()), Language::Promql, unknown_keys)
    };
    let read = |unknown_keys| read_text(text, unknown_keys);
    let errors = read(UnknownKeys::Refused).expect_err("two keys are unknown");
    assert_eq!(errors[0].at, Some((3, 3)), "{errors:?}");
    let (file, _) = read(UnknownKeys::Ignored).expect("they do not matter");
    assert_eq!(file.groups[0].rules[0].name, "r");
    // What is wrong apart from them is found with its place.
    let broken = text.replace("expr: up", "exp: up");
    let errors = read_text(&broken, UnknownKeys::Ignored).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "rules.yml:5:14: group \"g\", rule 1, \"r\": field 'expr' must be set in rule"
    );
}

#[test]
fn a_group_says_in_what_language_it_is_or_its_file_does() {
    let text = "groups:\n- {name: a, rules: [{record: r, expr: x}]}\n- name: b\n  type: loki\n  \
                rules: [{record: r, expr: x}]\n";
    let read = |text: &str, language| {
        let only_of = |found: Language, _: &str| match found {
            Language::Promql => Ok(()),
            Language::Logql => Err("it is not PromQL".to_owned()),
        };
        parse_with("rules.yml", text, &only_of, language, UnknownKeys::Refused)
    };
    let errors = read(text, Language::Promql).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("group \"b\""), "{}", errors[0]);
    assert_eq!(read(text, Language::Logql).unwrap_err().len(), 2);
    let errors = read(&text.replace("loki", "graphite"), Language::Promql).unwrap_err();
    let expected = "rules.yml:4:9: group \"b\": type \"graphite\" is not one of [\"promql\", ";
    assert!(errors[0].to_string().starts_with(expected), "{}", errors[0]);
}
