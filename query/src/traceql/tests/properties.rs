//! Arbitrary texts never panic, and filters agree with an evaluator that is written differently: it
//! works on the text's own tree, recursively, span by span, over owned values.

use proptest::prelude::*;

use super::*;

/// A filter that can be printed and evaluated naively.
#[derive(Debug, Clone)]
enum Naive {
    Compare(&'static str, &'static str, Value),
    Exists(&'static str, bool),
    And(Box<Naive>, Box<Naive>),
    Or(Box<Naive>, Box<Naive>),
    Not(Box<Naive>),
}

const FIELDS: [&str; 6] = ["span.a", "resource.a", ".a", ".b", "name", "span.b"];

fn print(filter: &Naive) -> String {
    match filter {
        Naive::Compare(field, op, Value::Str(text)) => format!("{field} {op} \"{text}\""),
        Naive::Compare(field, op, value) => format!("{field} {op} {value}"),
        Naive::Exists(field, true) => format!("{field} != nil"),
        Naive::Exists(field, false) => format!("{field} = nil"),
        Naive::And(l, r) => format!("({}) && ({})", print(l), print(r)),
        Naive::Or(l, r) => format!("({}) || ({})", print(l), print(r)),
        Naive::Not(inner) => format!("!({})", print(inner)),
    }
}

fn lookup(span: &Span, field: &str) -> Option<Value> {
    let get = |list: &Attributes, name: &str| {
        list.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
    };
    match field.split_once('.') {
        None => Some(Value::Str(span.name.clone())),
        Some(("span", name)) => get(&span.attributes, name),
        Some(("resource", name)) => get(&span.resource.attributes, name),
        Some((_, name)) => get(&span.attributes, name).or(get(&span.resource.attributes, name)),
    }
}

fn holds_one(found: &Value, op: &str, wanted: &Value) -> Option<bool> {
    let ordering = match (found, wanted) {
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => {
            return match op {
                "=" => Some(a == b),
                "!=" => Some(a != b),
                _ => Some(false),
            };
        }
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(a), Value::Double(b)) => (*a as f64).total_cmp(b),
        (Value::Double(a), Value::Int(b)) => a.total_cmp(&(*b as f64)),
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        _ => return None,
    };
    Some(match op {
        "=" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        ">" => ordering.is_gt(),
        ">=" => ordering.is_ge(),
        "<" => ordering.is_lt(),
        _ => ordering.is_le(),
    })
}

fn holds(filter: &Naive, span: &Span) -> bool {
    match filter {
        Naive::And(l, r) => holds(l, span) && holds(r, span),
        Naive::Or(l, r) => holds(l, span) || holds(r, span),
        Naive::Not(inner) => !holds(inner, span),
        Naive::Exists(field, wanted) => lookup(span, field).is_some() == *wanted,
        Naive::Compare(field, op, wanted) => match lookup(span, field) {
            None => false,
            Some(Value::Array(items)) => {
                let outcomes: Vec<bool> =
                    items.iter().filter_map(|item| holds_one(item, op, wanted)).collect();
                if *op == "!=" {
                    !outcomes.is_empty() && outcomes.iter().all(|b| *b)
                } else {
                    outcomes.contains(&true)
                }
            }
            Some(value) => holds_one(&value, op, wanted).unwrap_or(false),
        },
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2i64..3).prop_map(Value::Int),
        prop_oneof![Just(0.5), Just(1.5), Just(-1.5)].prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        "[xy]{0,1}".prop_map(Value::Str),
    ]
}

fn stored() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::Array),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let pair = (prop_oneof![Just("a"), Just("b")], stored());
    prop::collection::vec(pair.prop_map(|(k, v)| (k.to_owned(), v)), 0..3)
}

/// Parents have smaller numbers, so there are no circles; some are missing.
fn traces() -> impl Strategy<Value = Trace> {
    let one = (attributes(), attributes(), 0u8..12, "[xy]");
    prop::collection::vec(one, 1..8).prop_map(|spans| {
        let spans = spans.into_iter().enumerate().map(|(i, (own, resource, parent, name))| {
            let id = u8::try_from(i).unwrap() + 1;
            let parent = if parent < id { parent } else { 99 };
            let mut span = span(id, parent, &name, &[]);
            span.attributes = own;
            span.resource = Arc::new(Resource { attributes: resource, ..Default::default() });
            span
        });
        trace(1, spans.collect())
    })
}

fn filters() -> impl Strategy<Value = Naive> {
    let field = prop::sample::select(FIELDS.to_vec());
    let op = prop::sample::select(vec!["=", "!=", ">", ">=", "<", "<="]);
    let leaf = prop_oneof![
        4 => (field.clone(), op, scalar()).prop_map(|(field, op, value)| match (field, &value) {
            // The type checker knows that names are strings, and that booleans have no order.
            ("name", Value::Str(_)) => Naive::Compare(field, op, value),
            ("name", _) => Naive::Compare(field, op, Value::Str("x".into())),
            (_, Value::Bool(_)) => Naive::Compare(field, if op.starts_with('!') { "!=" } else { "=" }, value),
            _ => Naive::Compare(field, op, value),
        }),
        1 => (field, any::<bool>()).prop_map(|(field, exists)| match field {
            "name" => Naive::Exists("span.a", exists),
            field => Naive::Exists(field, exists),
        }),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Naive::And(Box::new(l), Box::new(r))),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Naive::Or(Box::new(l), Box::new(r))),
            inner.prop_map(|inner| Naive::Not(Box::new(inner))),
        ]
    })
}

/// Whether the span at `index` has `above` somewhere above it.
fn is_below(trace: &Trace, index: usize, above: usize) -> bool {
    let parent_id = trace.spans[index].parent_span_id;
    match trace.spans.iter().position(|span| span.span_id == parent_id) {
        None => false,
        Some(parent) => parent == above || is_below(trace, parent, above),
    }
}

/// The spans by number that a naive evaluation of two filters and an operator returns.
fn naive_relation(trace: &Trace, left: &Naive, op: &str, right: &Naive) -> Vec<usize> {
    let spans = &trace.spans;
    let all = || 0..spans.len();
    let parent_of = |i: usize| spans.iter().position(|s| s.span_id == spans[i].parent_span_id);
    let relates = |l: usize, r: usize| match op.trim_start_matches(['!', '&']) {
        ">" => parent_of(r) == Some(l),
        "<" => parent_of(l) == Some(r),
        ">>" => is_below(trace, r, l),
        "<<" => is_below(trace, l, r),
        _ => {
            l != r
                && spans[l].parent_span_id == spans[r].parent_span_id
                && !spans[l].parent_span_id.is_zero()
        }
    };
    let is_left = |i: usize| holds(left, &spans[i]);
    let is_right = |i: usize| holds(right, &spans[i]);
    let has_left = |r: usize| all().any(|l| is_left(l) && relates(l, r));
    let has_right = |l: usize| all().any(|r| is_right(r) && relates(l, r));
    let selected = all().filter(|i| match op.as_bytes()[0] {
        b'!' => is_right(*i) && !has_left(*i),
        b'&' => (is_right(*i) && has_left(*i)) || (is_left(*i) && has_right(*i)),
        _ => is_right(*i) && has_left(*i),
    });
    selected.collect()
}

fn found_ids(trace: &Trace, query: &str) -> Vec<usize> {
    let source = MemorySource(vec![trace.clone()]);
    let result = found(&source, query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let sets = result.traces.iter().flat_map(|trace| &trace.sets);
    sets.flat_map(|set| &set.spans).map(|span| usize::from(span.id.0[7]) - 1).collect()
}

const OPERATORS: [&str; 15] =
    [">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~"];

/// Pieces of the language in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{",
        "}",
        "(",
        ")",
        "|",
        "&&",
        "||",
        "!",
        "=",
        "!=",
        ">",
        "=~",
        "-",
        "+",
        "^",
        ",",
        "span.a",
        ".b",
        "name",
        "status",
        "error",
        "nil",
        "1",
        "2.5",
        "3ms",
        "\"x\"",
        "`y`",
        "by",
        "count()",
        "rate()",
        "topk(2)",
        "with(a=1)",
        "select",
        "coalesce()",
        "compare",
        "&>>",
        "!<",
        "~",
        "quantile_over_time",
        "avg",
        "{}",
        "parent.a",
        "event:name",
        "\"",
        "\\",
        "\u{e9}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.join(" "))
}

fn run_anything(text: &str) {
    let source = MemorySource(vec![trace(1, vec![span(1, 0, "x", &[("a", Value::Int(1))])])]);
    let context = QueryContext::unlimited();
    let range = RangeNs { start: TimestampNs(0), end: TimestampNs(10_000_000) };
    if let Ok(query) = parse(text) {
        let answered = if query.is_metrics() {
            query_instant(&query, range, &source, &context).map(|_| ())
        } else {
            search(&query, range, 10, 3, &source, &context).map(|_| ())
        };
        // Any answer will do; only a panic is wrong.
        drop(answered);
    }
    drop(parse_lenient(text));
    drop(parse_field(text));
}

proptest! {
    #[test]
    fn no_text_makes_the_language_panic(text in any::<String>()) {
        run_anything(&text);
    }

    #[test]
    fn no_order_of_pieces_makes_the_language_panic(text in soup()) {
        run_anything(&text);
        run_anything(&format!("{{ {text} }}"));
        run_anything(&format!("{{ }} | {text}"));
    }

    #[test]
    fn filters_agree_with_the_naive_evaluation(trace in traces(), filter in filters()) {
        let wanted: Vec<usize> =
            (0..trace.spans.len()).filter(|i| holds(&filter, &trace.spans[*i])).collect();
        prop_assert_eq!(found_ids(&trace, &format!("{{ {} }}", print(&filter))), wanted);
    }

    #[test]
    fn relations_agree_with_the_naive_evaluation(
        trace in traces(),
        left in filters(),
        right in filters(),
        op in prop::sample::select(OPERATORS.to_vec()),
    ) {
        let query = format!("{{ {} }} {op} {{ {} }}", print(&left), print(&right));
        let wanted = naive_relation(&trace, &left, op, &right);
        prop_assert_eq!(found_ids(&trace, &query), wanted);
    }
}
