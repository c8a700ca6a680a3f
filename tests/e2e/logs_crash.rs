//! The log store is killed in all its phases: while it takes records, starts, seals, merges, deletes
//! and drops what is too old. Limits of fractions of a second make the phases follow each other
//! quickly.
//!
//! Every record has a number, which is in its line and tells its time; times jump over three days.
//! After each kill every acknowledged record is there once, and what was not acknowledged once or
//! not at all; from the first look on it stays as it was found. Batches of other records are deleted
//! as soon as they are there: once that was acknowledged, none of them is ever seen again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;

use crate::support::otlp::{self, LOGS};
use crate::support::{Random, Server, Setup, client, eventually, now_ms};

const ROUNDS: u64 = 25;
const SEED: u64 = 20_261_123;
const SENDERS: u64 = 4;
const RECORDS_PER_REQUEST_MAX: u64 = 80;
const UPTIME_MS: Range<u64> = 60..900;
const NS_PER_MS: u64 = 1_000_000;
const SPAN_MS: u64 = 3 * 86_400_000;
/// Has no divisor in common with the span: each number has a time of its own.
const JUMP_MS: u64 = 7_654_321;
const RETENTION_MS: u64 = 5 * 86_400_000;
const STORE: &str = "stores: {logs: {memory_bytes_max: 1MiB, idle_seal: 60ms, head_age_max: 90ms, \
                     undo_window: 300ms, retention: 5d}}\n";

/// What the senders have done so far.
struct Load {
    base_ms: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    acknowledged: BTreeSet<u64>,
    unanswered: BTreeSet<u64>,
}

impl Load {
    fn time_ns(&self, number: u64) -> u64 {
        (self.base_ms + number * JUMP_MS % SPAN_MS) * NS_PER_MS
    }

    fn body(&self, numbers: Range<u64>, sender: u64) -> Vec<u8> {
        let record = |number| {
            let line = format!("item {number} took {} ms", number % 97);
            otlp::record(self.time_ns(number), line)
        };
        otlp::logs(&format!("kept-{sender}"), numbers.map(record).collect()).encode_to_vec()
    }

    /// Compares what the server has with what it was sent, and settles what may be there or not.
    /// `present` is what was found the last time.
    async fn check(&self, server: &Server, present: &mut BTreeSet<u64>, when: &str) {
        let (start, end) = (self.base_ms * NS_PER_MS, (self.base_ms + SPAN_MS) * NS_PER_MS);
        let mut numbers = BTreeSet::new();
        for line in server.lines(r#"{service_name=~"kept-.*"}"#, start, end).await {
            let number = line.text.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(line.at_ns, self.time_ns(number), "{when}: a line keeps its time");
            assert!(numbers.insert(number), "{when}: {number} is there more than once");
        }
        let mut expected = std::mem::take(present);
        let maybe = {
            let mut state = self.state.lock().unwrap();
            expected.append(&mut state.acknowledged);
            std::mem::take(&mut state.unanswered)
        };
        let lost: Vec<&u64> = expected.difference(&numbers).collect();
        assert!(lost.is_empty(), "{when}: lost {} acknowledged records: {lost:?}", lost.len());
        let extra: Vec<&u64> =
            numbers.difference(&expected).filter(|number| !maybe.contains(number)).collect();
        assert!(extra.is_empty(), "{when}: {} records from nowhere: {extra:?}", extra.len());
        *present = numbers;
    }
}

/// Sends until the server is gone.
async fn send(load: Arc<Load>, url: String, sender: u64, mut random: Random) {
    loop {
        let count = random.within(1..RECORDS_PER_REQUEST_MAX + 1);
        let numbers = {
            let mut state = load.state.lock().unwrap();
            let numbers = state.next..state.next + count;
            state.next = numbers.end;
            numbers
        };
        let body = load.body(numbers.clone(), sender);
        let post = client().post(&url).header("content-type", "application/x-protobuf").body(body);
        let answered = async {
            let answer = post.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        let outcome = answered.await;
        match outcome {
            Err(_) => return load.state.lock().unwrap().unanswered.extend(numbers),
            // Pushed back: nothing of it was taken.
            Ok((503 | 429, _)) => {}
            Ok((status, body)) => {
                assert_eq!((status, body.as_ref()), (200, &b""[..]), "nothing is wrong with it");
                load.state.lock().unwrap().acknowledged.extend(numbers);
            }
        }
        tokio::time::sleep(Duration::from_millis(random.within(0..12))).await;
    }
}

/// What became of a batch of records that are to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Deleted,
    /// Nobody answered.
    Unknown,
}

/// The batches, by number.
#[derive(Default)]
struct Doomed(Mutex<Vec<Fate>>);

impl Doomed {
    const RECORDS: usize = 10;

    /// Writes batches and deletes two of three, until the server is gone.
    async fn write_and_delete(
        self: Arc<Self>,
        otlp_url: String,
        query: String,
        mut random: Random,
    ) {
        loop {
            let number = {
                let mut fates = self.0.lock().unwrap();
                fates.push(Fate::Unknown);
                fates.len() - 1
            };
            let settle = |fate| self.0.lock().unwrap()[number] = fate;
            let line = |n| otlp::record(now_ms() * NS_PER_MS, format!("batch {number}: {n}"));
            let body = otlp::logs("doomed", (0..Self::RECORDS).map(line).collect()).encode_to_vec();
            let post = client().post(&otlp_url).header("content-type", "application/x-protobuf");
            match post.body(body).send().await.map(|answer| answer.status().as_u16()) {
                Ok(200) => settle(Fate::Written),
                Ok(503 | 429) => settle(Fate::Deleted),
                Ok(other) => panic!("batch {number}: {other}"),
                Err(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(random.within(0..60))).await;
            if number % 3 > 0 {
                let selector = format!(r#"{{service_name="doomed"}} |= "batch {number}:""#);
                let form = [("query", selector.as_str()), ("start", "0")];
                let url = format!("http://{query}/loki/api/v1/delete");
                let url = reqwest::Url::parse_with_params(&url, form).unwrap();
                settle(Fate::Unknown);
                match client().post(url).send().await.map(|a| a.status().as_u16()) {
                    Ok(204) => settle(Fate::Deleted),
                    Ok(other) => panic!("deletion of batch {number}: {other}"),
                    Err(_) => return,
                }
            }
        }
    }

    /// Compares the batches with what is there, and settles what may be there or not.
    async fn check(&self, server: &Server, when: &str) {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for line in server.lines(r#"{service_name="doomed"}"#, 0, now_ms() * NS_PER_MS).await {
            let number = line.text["batch ".len()..].split(':').next().unwrap();
            *counts.entry(number.parse().unwrap()).or_default() += 1;
        }
        for (number, fate) in self.0.lock().unwrap().iter_mut().enumerate() {
            let count = counts.get(&number).copied().unwrap_or(0);
            *fate = match (*fate, count) {
                (Fate::Written | Fate::Unknown, Self::RECORDS) => Fate::Written,
                (Fate::Deleted | Fate::Unknown, 0) => Fate::Deleted,
                wrong => panic!("{when}: batch {number}: {wrong:?}"),
            };
        }
    }

    fn count(&self, fate: Fate) -> usize {
        self.0.lock().unwrap().iter().filter(|own| **own == fate).count()
    }
}

/// Sends what is just young enough or a little too old, so that the store has something to drop.
async fn send_old(url: String, mut random: Random) {
    loop {
        let at_ms = now_ms() - RETENTION_MS + random.within(0..2000) - 1000;
        let records = vec![otlp::record(at_ms * NS_PER_MS, "old")];
        let body = otlp::logs("old", records).encode_to_vec();
        let post = client().post(&url).header("content-type", "application/x-protobuf").body(body);
        if post.send().await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(random.within(5..60))).await;
    }
}

/// Parts in the store's folder that its manifest does not name.
fn unnamed_parts(server: &Server) -> Option<Vec<String>> {
    let folder = server.data().join("logs");
    let manifest = std::fs::read_to_string(folder.join("manifest")).ok()?;
    let (json, _) = manifest.trim_end().rsplit_once('\n')?;
    let manifest: serde_json::Value = serde_json::from_str(json).ok()?;
    let numbers = manifest["parts"].as_array()?.iter();
    let named: Vec<String> = numbers
        .filter_map(|part| Some(format!("{:012}.part", part["number"].as_u64()?)))
        .chain(["journal".to_owned(), "manifest".to_owned()])
        .collect();
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // A look between two changes sees neither all of the old nor all of the new.
    let is_whole = named.iter().all(|name| names.contains(name));
    is_whole.then(|| names.into_iter().filter(|name| !named.contains(name)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_store_killed_in_any_phase_has_what_was_acknowledged_once() {
    let mut random = Random::new(SEED);
    let base_ms = now_ms() - SPAN_MS - 3_600_000;
    let load = Arc::new(Load { base_ms, state: Mutex::default() });
    let doomed = Arc::new(Doomed::default());
    let mut server = Setup::default().with_more(STORE).start().await;
    let mut present = BTreeSet::new();
    let phases = ["seals", "merges"];
    let (mut totals, mut left_behind) = (BTreeMap::new(), 0);
    for round in 0..ROUNDS {
        let url = format!("http://{}{LOGS}", server.addresses.http);
        let mut next = || Random::new(random.next());
        let mut tasks: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(send(load.clone(), url.clone(), sender, next())))
            .collect();
        tasks.push(tokio::spawn(send_old(url.clone(), next())));
        let query = server.addresses.query.to_string();
        tasks.push(tokio::spawn(doomed.clone().write_and_delete(url, query, next())));
        tokio::time::sleep(Duration::from_millis(random.within(UPTIME_MS))).await;
        for phase in phases {
            let name = format!("signalbox_logs_store_{phase}");
            *totals.entry(phase).or_insert(0.0) += server.own_metric(&name, &[]).await;
        }
        tokio::time::sleep(Duration::from_millis(random.within(0..60))).await;
        server.kill();
        left_behind += unnamed_parts(&server).unwrap_or_default().len();
        for task in tasks {
            task.await.unwrap();
        }
        server.restart().await;
        let when = format!("round {round} of seed {SEED}");
        load.check(&server, &mut present, &when).await;
        doomed.check(&server, &when).await;
        assert!(!server.log().contains("damaged"), "{when}: {}", server.log());
        eventually("only parts that the manifest names", async || {
            unnamed_parts(&server).filter(Vec::is_empty)
        })
        .await;
        let old = server.lines(r#"{service_name="old"}"#, 0, now_ms() * NS_PER_MS).await;
        // Counts are kept in cells of ten seconds, and retention goes by them.
        let oldest_ns = (now_ms() - RETENTION_MS - 15_000) * NS_PER_MS;
        assert!(old.iter().all(|line| line.at_ns > oldest_ns), "{when}: an old line is seen");
    }
    server.stop().await;
    server.restart().await;
    load.check(&server, &mut present, "after a clean stop").await;
    doomed.check(&server, "after a clean stop").await;
    println!(
        "{ROUNDS} kills: {} records sent, {} there; {totals:?}; {left_behind} parts left behind; \
         {} batches deleted, {} kept",
        load.state.lock().unwrap().next,
        present.len(),
        doomed.count(Fate::Deleted),
        doomed.count(Fate::Written),
    );
    // How much a busy machine gets done is not promised, but a test of nothing proves nothing.
    assert!(present.len() > 1000, "the load was no load");
    assert!(totals.values().all(|count| *count > 0.0), "{totals:?}");
    assert!(doomed.count(Fate::Deleted) > 10 && doomed.count(Fate::Written) > 10);
}
