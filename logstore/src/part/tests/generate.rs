//! Random rows: lines of a few shapes with values of many looks, and lines of any text.

use model::Labels;
use model::log::Origin;
use proptest::prelude::*;

use super::fixtures::Row;

pub(super) fn streams() -> Vec<Labels> {
    vec![
        Labels::from_pairs([("service_name", "cart"), ("env", "prod")]),
        Labels::from_pairs([("service_name", "pay"), ("detected_level", "warn")]),
        Labels::from_pairs([("service_name", "web"), ("user", "label")]),
    ]
}

fn hex(seed: u64, digits: usize) -> String {
    let text = format!("{:016x}{:016x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), seed);
    text[..digits].to_owned()
}

pub(super) fn line(kind: u8, seed: u64, free: &str) -> String {
    let n = seed % 1000;
    match kind {
        0 => format!("user u{n} logged in from 10.0.{}.{} after {n} ms", n % 7, n % 250),
        1 => format!(
            r#"{{"level":"info","path":"/api/v1/items/{n}","status":{},"trace":"{}","user":""}}"#,
            200 + n % 5,
            hex(seed, 32)
        ),
        2 => format!(
            "level=warn msg=\"payment failed\" trace_id={} user= took={n}.{}s",
            hex(seed, 32),
            n % 10
        ),
        3 => format!(
            "connection {} closed",
            if n.is_multiple_of(2) { "cleanly" } else { "abruptly" }
        ),
        4 => format!("worker {} said {free}", hex(seed, 16)),
        5 => format!("panic: {free}\n  at main.rs:{n}\n  at lib.rs:{}", n % 17),
        6 => String::new(),
        7 => format!(
            "double  blank   {n} at {}-{}-{}",
            hex(seed, 8),
            hex(seed / 2, 4),
            hex(seed, 12)
        ),
        _ => free.to_owned(),
    }
}

fn fields(kind: u8, seed: u64, free: &str) -> Vec<(Origin, String, String)> {
    let field = |origin, name: &str, value: &str| (origin, name.to_owned(), value.to_owned());
    let mut fields = vec![field(Origin::Resource, "k8s_pod_name", "cart-7d4f")];
    if kind.is_multiple_of(2) {
        fields.push(field(Origin::Record, "trace_id", &hex(seed, 32)));
        fields.push(field(Origin::Record, "span_id", &hex(seed, 16)));
    }
    if kind.is_multiple_of(3) {
        fields.push(field(
            Origin::Derived,
            "detected_level",
            ["info", "warn", ""][(seed % 3) as usize],
        ));
    }
    if seed.is_multiple_of(5) {
        fields.push(field(Origin::Scope, "user", free));
        fields.push(field(Origin::Record, "user", "second"));
        fields.push(field(Origin::Scope, "user", ""));
    }
    fields
}

pub(super) fn rows(count: usize) -> impl Strategy<Value = Vec<Row>> {
    let free = prop_oneof![
        3 => "[a-z]{0,12}".prop_map(String::from),
        1 => any::<String>(),
        1 => "([a-z]{1,5} ){1,4}x".prop_map(String::from),
    ];
    let one = (0usize..3, 0i64..120_000_000_000, 0u8..10, any::<u64>(), free);
    prop::collection::vec(one, 1..count).prop_map(|seeds| {
        let rows = seeds.into_iter().enumerate();
        rows.map(|(i, (stream, at, kind, seed, free))| Row {
            stream,
            // Many rows share their times.
            at: at / 1_000_000_000 * 500_000_000,
            arrival: 100 + (i as u64 * 7919) % 100_003,
            line: line(kind, seed % 50 + seed % 3 * 10_000, &free),
            fields: fields(kind, seed % 40, &free),
        })
        .collect()
    })
}
