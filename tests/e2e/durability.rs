//! Acknowledged means durable: the process is killed again and again under load, and afterwards
//! every acknowledged item is found, and none twice.
//!
//! Each item of all signals has a number of its own: a point of a gauge has it as its time and
//! value, a log record in its line, a span as its id. What was not acknowledged may be found once or
//! not at all.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message as _;

use crate::support::otlp::{self, LOGS, METRICS, TRACES};
use crate::support::{Addresses, Random, Server, client, now_ns};

const ROUNDS: u64 = 20;
const SEED: u64 = 20_260_401;
const SENDERS: [&str; 6] = [METRICS, LOGS, TRACES, METRICS, LOGS, TRACES];
const ITEMS_PER_REQUEST_MAX: u64 = 40;
const UPTIME_MS: Range<u64> = 10..900;
const NS_PER_MS: u64 = 1_000_000;

/// One request and what became of it.
#[derive(Debug, Clone)]
struct Request {
    path: &'static str,
    trace_id: u128,
    ids: Range<u64>,
    is_acknowledged: bool,
}

/// Where numbers and times come from; shared by all senders.
struct Source {
    next_id: AtomicU64,
    /// The time of the item with number 0. An hour ago, so that no number is in the future.
    base_ms: u64,
}

impl Source {
    fn time_ms(&self, id: u64) -> u64 {
        self.base_ms + id
    }

    fn take(&self, count: u64) -> Range<u64> {
        let start = self.next_id.fetch_add(count, Ordering::Relaxed);
        start..start + count
    }

    fn body(&self, request: &Request, sender: usize) -> Vec<u8> {
        let ids = request.ids.clone();
        match request.path {
            METRICS => {
                let label = || vec![otlp::attribute("sender", sender.to_string())];
                let points = ids.map(|id| otlp::point(self.time_ms(id), id as f64, label()));
                otlp::gauge("durable", "durable", points.collect()).encode_to_vec()
            }
            LOGS => {
                let record = |id| otlp::record(self.time_ms(id) * NS_PER_MS, format!("item {id}"));
                otlp::logs("durable", ids.map(record).collect()).encode_to_vec()
            }
            _ => {
                let span =
                    |id| otlp::span(request.trace_id, id, "durable", self.time_ms(id) * NS_PER_MS);
                otlp::traces("durable", ids.map(span).collect()).encode_to_vec()
            }
        }
    }
}

/// Sends until the server is gone.
async fn send_until_killed(
    source: Arc<Source>,
    addresses: Addresses,
    sender: usize,
    seed: u64,
) -> Vec<Request> {
    let path = SENDERS[sender];
    let url = format!("http://{}{path}", addresses.http);
    let (client, mut random, mut requests) = (client(), Random::new(seed), Vec::new());
    // A trace per sender and round is about as long as a real one is at most.
    let trace_id = u128::from(random.next()) << 64 | 1;
    loop {
        let ids = source.take(random.within(1..ITEMS_PER_REQUEST_MAX + 1));
        let mut request = Request { path, trace_id, ids, is_acknowledged: false };
        let body = source.body(&request, sender);
        let post = client.post(&url).header("content-type", "application/x-protobuf").body(body);
        let answered = async {
            let answer = post.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        let outcome = answered.await;
        if let Ok((status, body)) = &outcome {
            assert_eq!((*status, body.as_ref()), (200, &b""[..]), "nothing is wrong with it");
            request.is_acknowledged = true;
        }
        requests.push(request);
        if outcome.is_err() {
            return requests;
        }
    }
}

/// What a server has of the numbers in a range, by signal: how often each was found.
async fn found(server: &Server, source: &Source, requests: &[Request]) -> Found {
    let ids = requests.iter().map(|request| request.ids.start).min().unwrap()
        ..requests.iter().map(|request| request.ids.end).max().unwrap();
    let mut found = Found::default();

    // `durable[Nms]` is open at its left end.
    let selector = format!("durable[{}ms]", ids.end - ids.start);
    let at_s = source.time_ms(ids.end - 1) as f64 / 1000.0;
    for (_, points) in server.points(&selector, at_s).await {
        for (at_ms, value) in points {
            assert_eq!(at_ms - source.base_ms, value as u64, "a point keeps its value");
            *found.points.entry(value as u64).or_default() += 1;
        }
    }

    let (start_ns, end_ns) =
        (source.time_ms(ids.start) * NS_PER_MS, source.time_ms(ids.end) * NS_PER_MS);
    for line in server.lines(r#"{service_name="durable"}"#, start_ns, end_ns).await {
        let id: u64 = line.text.strip_prefix("item ").unwrap().parse().unwrap();
        assert_eq!(line.at_ns, source.time_ms(id) * NS_PER_MS, "a line keeps its time");
        *found.lines.entry(id).or_default() += 1;
    }

    let of_traces = requests.iter().filter(|request| request.path == TRACES);
    let traces: HashSet<u128> = of_traces.map(|request| request.trace_id).collect();
    for trace_id in traces {
        for (_, span) in server.trace(trace_id).await {
            let id = u64::from_be_bytes(span.span_id.try_into().unwrap());
            *found.spans.entry(id).or_default() += 1;
        }
    }
    found
}

#[derive(Debug, Default)]
struct Found {
    points: HashMap<u64, u32>,
    lines: HashMap<u64, u32>,
    spans: HashMap<u64, u32>,
}

impl Found {
    fn of(&self, path: &str) -> &HashMap<u64, u32> {
        match path {
            METRICS => &self.points,
            LOGS => &self.lines,
            _ => &self.spans,
        }
    }

    /// Compares with what was sent.
    fn check(&self, requests: &[Request], when: &str) {
        for path in [METRICS, LOGS, TRACES] {
            let found = self.of(path);
            let sent = || requests.iter().filter(|request| request.path == path);
            let acknowledged = sent().filter(|request| request.is_acknowledged);
            let lost: Vec<u64> = acknowledged
                .flat_map(|request| request.ids.clone())
                .filter(|id| !found.contains_key(id))
                .collect();
            assert!(lost.is_empty(), "{when}: {path} lost {} acknowledged: {lost:?}", lost.len());
            let known: HashSet<u64> = sent().flat_map(|request| request.ids.clone()).collect();
            for (id, count) in found {
                assert!(known.contains(id), "{when}: {path} has {id}, which was never sent");
                assert_eq!(*count, 1, "{when}: {path} has {id} more than once");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_twenty_kills() {
    let mut random = Random::new(SEED);
    let base_ms = now_ns() / NS_PER_MS - 3_600_000;
    // No span id is zero.
    let source = Arc::new(Source { next_id: AtomicU64::new(1), base_ms });
    let mut server = Server::start().await;
    let mut all: Vec<Request> = Vec::new();
    for round in 0..ROUNDS {
        let (addresses, seed) = (server.addresses, random.next());
        let start = |sender| {
            let source = source.clone();
            tokio::spawn(send_until_killed(source, addresses, sender, seed + sender as u64))
        };
        let senders: Vec<_> = (0..SENDERS.len()).map(start).collect();
        tokio::time::sleep(Duration::from_millis(random.within(UPTIME_MS))).await;
        server.kill();
        let mut requests = Vec::new();
        for sender in senders {
            requests.extend(sender.await.unwrap());
        }
        server.restart().await;
        let when = format!("round {round} of seed {SEED}");
        found(&server, &source, &requests).await.check(&requests, &when);
        all.extend(requests);
    }
    // Later kills have not hurt what was found after earlier ones.
    let found = found(&server, &source, &all).await;
    found.check(&all, "at the end");
    for path in [METRICS, LOGS, TRACES] {
        let requests = all.iter().filter(|request| request.path == path);
        let count = |request: &Request| request.ids.end - request.ids.start;
        let acknowledged: u64 =
            requests.clone().filter(|request| request.is_acknowledged).map(count).sum();
        let sent: u64 = requests.map(count).sum();
        println!(
            "{path}: {sent} items sent, {acknowledged} acknowledged, {} found, over {ROUNDS} kills",
            found.of(path).len()
        );
        assert!(acknowledged > 1000, "the load was no load");
    }
}
