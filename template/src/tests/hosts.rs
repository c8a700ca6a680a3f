//! Objects with fields and methods, as notifications have them: `.Alerts.Firing`,
//! `.GroupLabels.SortedPairs.Values`, `.CommonLabels.Remove .GroupLabels.Names`; and times.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::{Answer, Function, GoTime, Labels, Library, Object, RULE_FUNCTIONS, TemplateError};

/// Alertmanager's `KV`: a map of strings with methods.
#[derive(Debug, Clone)]
struct Kv(Labels);

/// Alertmanager's `Pairs`: names and values in order.
#[derive(Debug, Clone)]
struct Pairs(Vec<(String, String)>);

/// Alertmanager's `Alerts`.
#[derive(Debug, Clone)]
struct Alerts(Vec<(bool, Labels)>);

fn texts(items: impl IntoIterator<Item = String>) -> Value<'static> {
    Value::list(items.into_iter().map(Value::text).collect()).unwrap()
}

impl Kv {
    fn pairs(&self) -> Pairs {
        // The name of the alert comes first.
        let mut pairs: Vec<_> = self.0.clone().into_iter().collect();
        pairs.sort_by_key(|(name, _)| (name != "alertname", name.clone()));
        Pairs(pairs)
    }
}

impl Object for Kv {
    fn type_name(&self) -> &str {
        "template.KV"
    }

    fn plain(&self) -> Value<'static> {
        Value::labels(self.0.clone())
    }

    fn call(&self, name: &str, args: &[Value<'_>]) -> Option<Answer<'static>> {
        Some(match (name, args) {
            ("SortedPairs", []) => Ok(Value::object(self.pairs())),
            ("Names", []) => Ok(texts(self.pairs().0.into_iter().map(|(name, _)| name))),
            ("Values", []) => Ok(texts(self.pairs().0.into_iter().map(|(_, value)| value))),
            ("Remove", [Value::List(names)]) => {
                let mut rest = self.0.clone();
                for name in names.items() {
                    if let Value::Text(name) = name {
                        rest.remove(&**name);
                    }
                }
                Ok(Value::object(Kv(rest)))
            }
            ("Remove", _) => Err("want names".to_owned()),
            _ => return None,
        })
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &str {
        "template.Pairs"
    }

    fn plain(&self) -> Value<'static> {
        let pairs = self.0.iter().map(|(name, value)| {
            let fields =
                vec![("Name", Value::text(name.clone())), ("Value", Value::text(value.clone()))];
            Value::structure("template.Pair", fields)
        });
        Value::list(pairs.collect()).unwrap()
    }

    fn call(&self, name: &str, _: &[Value<'_>]) -> Option<Answer<'static>> {
        match name {
            "Names" => Some(Ok(texts(self.0.iter().map(|(name, _)| name.clone())))),
            "Values" => Some(Ok(texts(self.0.iter().map(|(_, value)| value.clone())))),
            _ => None,
        }
    }
}

impl Object for Alerts {
    fn type_name(&self) -> &str {
        "template.Alerts"
    }

    fn plain(&self) -> Value<'static> {
        let alerts = self.0.iter().map(|(fires, labels)| {
            let status = if *fires { "firing" } else { "resolved" };
            let starts_at = GoTime::of_ns(1_353_755_652_000_000_000);
            let fields = vec![
                ("Status", Value::text(status)),
                ("Labels", Value::object(Kv(labels.clone()))),
                ("Annotations", Value::object(Kv(Labels::new()))),
                ("StartsAt", Value::Time(Arc::new(starts_at.clone()))),
                ("EndsAt", Value::Time(Arc::new(starts_at.add_ns(90_000_000_000)))),
                ("GeneratorURL", Value::text("http://here")),
            ];
            Value::structure("template.Alert", fields)
        });
        Value::list(alerts.collect()).unwrap()
    }

    fn call(&self, name: &str, _: &[Value<'_>]) -> Option<Answer<'static>> {
        let wanted = match name {
            "Firing" => true,
            "Resolved" => false,
            _ => return None,
        };
        let alerts = self.0.iter().filter(|(fires, _)| *fires == wanted).cloned().collect();
        Some(Ok(Value::object(Alerts(alerts))))
    }
}

/// What notifications need to be shown here; Alertmanager has more.
static NOTIFICATION_FUNCTIONS: &[Function] = &[
    Function::exact("join", 2, |call| match call.value(1).plain() {
        Value::List(items) => {
            let items: Vec<String> = items
                .items()
                .iter()
                .map(|item| match item {
                    Value::Text(text) => text.to_string(),
                    other => format!("{other:?}"),
                })
                .collect();
            Ok(Value::text(items.join(call.text(0)?)))
        }
        other => Err(format!("can't join {}", other.type_name())),
    }),
    Function::variadic("stringSlice", 0, |call| Value::list(call.args.to_vec())),
    Function::variadic("list", 0, |call| Value::list(call.args.to_vec())),
    Function::variadic("dict", 0, |call| {
        let mut entries = BTreeMap::new();
        for pair in call.args.chunks(2) {
            let [Value::Text(key), value] = pair else {
                return Err("dict takes texts and values in pairs".to_owned());
            };
            entries.insert(key.clone(), value.clone());
        }
        Value::map(entries)
    }),
];

static NOTIFICATIONS: Language = Language {
    functions: &[NOTIFICATION_FUNCTIONS, RULE_FUNCTIONS],
    variables: &[],
    missing_key: MissingKey::Invalid,
    output_bytes_max: OUTPUT_BYTES_MAX,
};

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn notification() -> Value<'static> {
    let common = labels([("alertname", "Down"), ("job", "node"), ("zone", "a")]);
    Value::structure(
        "*template.Data",
        vec![
            ("Receiver", Value::text("team a")),
            ("Status", Value::text("firing")),
            (
                "Alerts",
                Value::object(Alerts(vec![(true, common.clone()), (false, common.clone())])),
            ),
            ("GroupLabels", Value::object(Kv(labels([("alertname", "Down"), ("job", "node")])))),
            ("CommonLabels", Value::object(Kv(common))),
            ("CommonAnnotations", Value::object(Kv(labels([("summary", "it is down")])))),
            ("ExternalURL", Value::text("http://alerts")),
        ],
    )
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match render_in(&NOTIFICATIONS, text, &notification()) {
        Ok(rendered) => assert_eq!(rendered, expected, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    match render_in(&NOTIFICATIONS, text, &notification()) {
        Ok(rendered) => panic!("{text}: rendered {rendered:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{text}: {error}"),
    }
}

#[test]
fn objects_have_methods_fields_and_entries() {
    check("{{ .Alerts.Firing | len }} {{ len .Alerts }} {{ len .GroupLabels }}", "1 2 2");
    check("{{ .GroupLabels.SortedPairs.Values | join \" \" }}", "Down node");
    check(
        "{{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join \",\" }}{{ end }}",
        "a",
    );
    check("{{ (.CommonLabels.Remove (stringSlice \"job\")).Names }}", "[alertname zone]");
    check("{{ .GroupLabels.Names | .CommonLabels.Remove }}", "map[zone:a]");
    check("{{ .GroupLabels.job }}{{ index .GroupLabels \"alertname\" }}", "nodeDown");
    check(
        "{{ range .GroupLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}",
        "alertname=Down;job=node;",
    );
    check(
        "{{ range $k, $v := .GroupLabels }}{{ $k }}={{ $v }};{{ end }}",
        "alertname=Down;job=node;",
    );
    check("{{ range .Alerts }}{{ .Status }} {{ .Labels.zone }};{{ end }}", "firing a;resolved a;");
    check("{{ range .Alerts.Firing }}{{ .Annotations }}{{ end }}", "map[]");
    check("{{ (index .Alerts 1).Status }}", "resolved");
    check("{{ $a := .Alerts }}{{ len $a.Resolved }}{{ with $a.Firing }}{{ len . }}{{ end }}", "11");
    check(
        "{{ if .CommonAnnotations }}a{{ end }}\
         {{ if (.GroupLabels.Remove .GroupLabels.Names) }}b{{ end }}",
        "a",
    );
    check(
        "{{ .GroupLabels }} {{ .GroupLabels.SortedPairs }}",
        "map[alertname:Down job:node] [{alertname Down} {job node}]",
    );
    check("{{ printf \"%T %T\" .GroupLabels .Alerts.Firing }}", "template.KV template.Alerts");
    check("{{ printf \"%+v\" (index .GroupLabels.SortedPairs 0) }}", "{Name:alertname Value:Down}");
    check_fails("{{ .NoSuch }}", "can't evaluate field NoSuch in type *template.Data");
    check_fails("{{ .Status.X }}", "can't evaluate field X in type string");
    check_fails("{{ .Status 1 }}", "Status has arguments but cannot be invoked as function");
    check_fails("{{ .Alerts.NoSuch }}", "can't evaluate field NoSuch in type template.Alerts");
    check_fails("{{ .CommonLabels.Remove 1 }}", "error calling Remove: want names");
    check_fails("{{ .CommonLabels.job 1 }}", "job is not a method but has arguments");
}

#[test]
fn times_and_durations_have_the_methods_of_go() {
    let first = "{{ with (index .Alerts 0) }}";
    for (text, expected) in [
        ("{{ .StartsAt }}", "2012-11-24 11:14:12 +0000 UTC"),
        ("{{ .StartsAt.Format \"2006-01-02 15:04\" }}", "2012-11-24 11:14"),
        ("{{ .StartsAt.UTC.Format \"Mon Jan 2\" }}", "Sat Nov 24"),
        ("{{ .StartsAt.Unix }} {{ .StartsAt.UnixMilli }}", "1353755652 1353755652000"),
        (
            "{{ .StartsAt.UnixMicro }} {{ .StartsAt.UnixNano }}",
            "1353755652000000 1353755652000000000",
        ),
        ("{{ .StartsAt.Year }}-{{ .StartsAt.Month }}-{{ .StartsAt.Day }}", "2012-November-24"),
        ("{{ printf \"%d\" .StartsAt.Month }} {{ eq .StartsAt.Month 11 }}", "11 true"),
        ("{{ .StartsAt.Weekday }} {{ .StartsAt.YearDay }}", "Saturday 329"),
        ("{{ .StartsAt.Hour }}:{{ .StartsAt.Minute }}:{{ .StartsAt.Second }}", "11:14:12"),
        ("{{ .EndsAt.Sub .StartsAt }} {{ .StartsAt.Sub .EndsAt }}", "1m30s -1m30s"),
        ("{{ (.EndsAt.Sub .StartsAt).Seconds }}", "90"),
        ("{{ (.EndsAt.Sub .StartsAt).Minutes }} {{ (.EndsAt.Sub .StartsAt).Hours }}", "1.5 0.025"),
        ("{{ (.EndsAt.Sub .StartsAt).Round 60000000000 }}", "2m0s"),
        ("{{ (.EndsAt.Sub .StartsAt).Truncate (toDuration 60) }}", "1m0s"),
        ("{{ (.StartsAt.Sub .EndsAt).Abs.Milliseconds }}", "90000"),
        ("{{ .EndsAt.After .StartsAt }} {{ .EndsAt.Before .StartsAt }}", "true false"),
        ("{{ .EndsAt.Equal .EndsAt }} {{ .EndsAt.Compare .StartsAt }}", "true 1"),
        ("{{ .StartsAt.IsZero }} {{ eq .StartsAt .StartsAt }}", "false true"),
        ("{{ (.StartsAt.Add (toDuration \"3600\")).Hour }}", "12"),
        ("{{ toDuration 5 | .StartsAt.Add }}", "2012-11-24 11:14:17 +0000 UTC"),
        ("{{ (.StartsAt.AddDate 0 3 7).Format \"2006-01-02\" }}", "2013-03-03"),
        ("{{ (.StartsAt.AddDate -1 0 0).Format \"2006-01-02\" }}", "2011-11-24"),
        ("{{ (.StartsAt.Truncate (toDuration 3600)).Format \"15:04:05\" }}", "11:00:00"),
        ("{{ (.EndsAt.Round (toDuration 60)).Format \"15:04:05\" }}", "11:16:00"),
        ("{{ .StartsAt.String }} {{ toDuration 0.0015 }}", "2012-11-24 11:14:12 +0000 UTC 1.5ms"),
        ("{{ toDuration 5400.5 }} {{ (toDuration -0.000001).String }}", "1h30m0.5s -1\u{b5}s"),
    ] {
        check(&format!("{first}{text}{{{{ end }}}}"), expected);
    }
    for (text, expected) in [
        ("{{ .StartsAt.Format }}", "wrong number of args for Format: want 1 got 0"),
        ("{{ .StartsAt.Format 1 }}", "wrong type for value; expected string; got int"),
        ("{{ .StartsAt.Sub 1 }}", "wrong type for value; expected time.Time; got int"),
        ("{{ .StartsAt.Unix 1 }}", "wrong number of args for Unix: want 0 got 1"),
        ("{{ .StartsAt.NoSuch }}", "can't evaluate field NoSuch in type time.Time"),
        ("{{ (.EndsAt.Sub .StartsAt).NoSuch }}", "in type time.Duration"),
        ("{{ (.StartsAt.AddDate 999999999 0 0).Year }}", "out of range"),
    ] {
        check_fails(&format!("{first}{text}{{{{ end }}}}"), expected);
    }
    check("{{ ((toTime 9e9).Add 9223372036854775807).Year }}", "2547");
}

fn shared(name: &str) -> Option<String> {
    let shared = std::env::var_os("SIGNALBOX_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = shared.join("conformance/alerting/alertmanager-templates").join(name);
    let text = std::fs::read_to_string(&path);
    if text.is_err() {
        println!("NOT RUN: {} is absent", path.display());
    }
    text.ok()
}

#[test]
fn the_default_templates_of_alertmanager_render() {
    let (Some(text), Some(mail)) = (shared("default.tmpl"), shared("email.tmpl")) else { return };
    let mut library = Library::new(&NOTIFICATIONS);
    library.add(&text).unwrap();
    // Those of mail are in HTML mode, which is another matter, but are read like any.
    library.add(&mail).unwrap();
    library.check().unwrap();
    let render = |name: &str| {
        let text = format!("{{{{ template {name:?} . }}}}");
        let program = Program::parse_with(&text, &library).unwrap();
        program.render(notification(), [], &Nowhere).unwrap()
    };
    assert_eq!(render("__subject"), "[FIRING:1] Down node (a)");
    assert_eq!(render("__alertmanagerURL"), "http://alerts/#/alerts?receiver=team+a");
    assert_eq!(render("slack.default.color"), "danger");
    let listed = "\nAlerts Firing:\nLabels:\n - alertname = Down\n - job = node\n - zone = a\n\
                  Annotations:\nSource: http://here\n";
    assert!(render("pushover.default.message").contains(listed));
    // Every define that takes the data of a notification.
    let all = Program::parse_with("", &library).unwrap();
    for name in all.templates().filter(|name| name.contains(".default.")) {
        if !name.contains("instances") {
            render(name);
        }
    }
}

#[test]
fn the_cases_of_alertmanager_pass_where_they_need_no_function_of_its_own() {
    // Upstream's `template/template_test.go`. What is left out needs HTML mode, functions of
    // Alertmanager's, or data that is only in its Go source.
    const RUN: usize = 13;
    let Some(text) = shared("template_cases.json") else { return };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut run = 0;
    for case in &cases {
        let (title, text) = (case["title"].as_str().unwrap(), case["in"].as_str().unwrap());
        let needs_data = case["needs_data"].as_bool() == Some(true);
        let needs_html = title.starts_with("HTML") || title.starts_with("URL");
        let needs_function = ["toJson", "base64", "routeLabels"].iter().any(|f| text.contains(f));
        let root = match needs_data {
            false => Value::Nil,
            // The data of this case, as upstream's test has it.
            true if title == "Template using stringSlice" => {
                let keys = [("key1", "key1"), ("key2", "key2"), ("key3", "key3"), ("key4", "key4")];
                Value::structure("Data", vec![("GroupLabels", Value::object(Kv(labels(keys))))])
            }
            true => continue,
        };
        if needs_html || needs_function {
            continue;
        }
        run += 1;
        let outcome: Result<String, TemplateError> = render_in(&NOTIFICATIONS, text, &root);
        match case["expected"].as_str() {
            Some(expected) => assert_eq!(outcome.as_deref(), Ok(expected), "{title}: {text}"),
            None => assert!(outcome.is_err(), "{title}: {outcome:?}"),
        }
    }
    assert_eq!(run, RUN);
}
