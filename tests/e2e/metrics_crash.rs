//! The time-series store is killed in all its phases: while it takes samples, loads, writes
//! checkpoints, seals, merges, deletes, makes snapshots and drops what is too old. Windows of two seconds of data make the phases
//! follow each other in a fraction of a second.
//!
//! Every sample has a number, which is its value and tells its time; groups of numbers are series
//! of their own, and whole groups or their first halves are deleted. After each kill the store must
//! have exactly what was acknowledged and not deleted. What was not acknowledged may be there or
//! not, a deletion wholly or not at all; from the first look on it stays as it was found.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use proto::remote_write::messages::{Sample, v1};

use crate::remote_write::snappy;
use crate::support::{Binary, Random, Server, Setup, client, eventually, now_ms};

const ROUNDS: u64 = 30;
const SEED: u64 = 20_261_122;
const SENDERS: u64 = 4;
const SAMPLES_PER_REQUEST_MAX: u64 = 60;
const UPTIME_MS: Range<u64> = 60..800;
/// Between two numbers; a window has a thousand.
const STEP_MS: u64 = 2;
const GROUP: u64 = 300;
const RETENTION_MS: u64 = 3_600_000;
const RULED_MS: u64 = 1_500;
const STORE: &str = "stores: {metrics: {window: 2s, grace: 300ms, idle_seal: 400ms, \
                     checkpoint_interval: 100ms, undo_window: 500ms, retention: 1h, \
                     retention_rules: [{selector: ruled, keep: 1500ms}]}}\n";

/// What the senders and the deleter have done so far.
struct Load {
    base_ms: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// First numbers of requests that have no answer yet.
    open: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    unanswered: BTreeSet<u64>,
    /// Ranges of numbers, and whether the deletion was acknowledged; in order.
    deletions: Vec<(Range<u64>, bool)>,
    /// Times of samples that retention drops soon.
    old: BTreeSet<u64>,
    merges: u64,
    /// Names of snapshots that were acknowledged.
    snapshots: Vec<String>,
}

impl Load {
    fn time_ms(&self, number: u64) -> u64 {
        self.base_ms + number * STEP_MS
    }

    fn series(&self, group: u64, numbers: Range<u64>) -> v1::TimeSeries {
        let sample = |number| Sample {
            value: number as f64,
            timestamp: self.time_ms(number) as i64,
            start_timestamp: 0,
        };
        let group = format!("g{group}");
        series(&[("__name__", "kept"), ("group", &group)], numbers.map(sample).collect())
    }

    fn body(&self, numbers: Range<u64>) -> Vec<u8> {
        let groups = numbers.start / GROUP..(numbers.end - 1) / GROUP + 1;
        let timeseries = groups.map(|group| {
            let own = group * GROUP..(group + 1) * GROUP;
            self.series(group, numbers.start.max(own.start)..numbers.end.min(own.end))
        });
        write_request(timeseries.collect())
    }
}

pub(crate) fn series(labels: &[(&str, &str)], samples: Vec<Sample>) -> v1::TimeSeries {
    let label = |(name, value): &(&str, &str)| v1::Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    v1::TimeSeries { labels: labels.iter().map(label).collect(), samples, ..Default::default() }
}

pub(crate) fn write_request(timeseries: Vec<v1::TimeSeries>) -> Vec<u8> {
    snappy(&v1::WriteRequest { timeseries, ..Default::default() }.encode_to_vec())
}

/// Status and text of the answer, or `None` when the server is gone.
pub(crate) async fn post(url: &str, body: Vec<u8>) -> Option<(u16, String)> {
    let request = client().post(url).body(body);
    let request = request
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy");
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.text().await.ok()?))
}

async fn send(load: Arc<Load>, url: String, mut random: Random) {
    loop {
        let count = random.within(1..SAMPLES_PER_REQUEST_MAX + 1);
        let numbers = {
            let mut state = load.state.lock().unwrap();
            let numbers = state.next..state.next + count;
            state.next = numbers.end;
            state.open.insert(numbers.start);
            numbers
        };
        let answer = post(&url, load.body(numbers.clone())).await;
        {
            let mut state = load.state.lock().unwrap();
            state.open.remove(&numbers.start);
            let Some((status, text)) = answer else { return state.unanswered.extend(numbers) };
            assert_eq!(status, 204, "nothing is wrong with it: {text}");
            state.acknowledged.extend(numbers);
        }
        tokio::time::sleep(Duration::from_millis(random.within(0..20))).await;
    }
}

/// Sends what is just young enough, so that the store has something to drop.
async fn send_old(load: Arc<Load>, url: String, mut random: Random) {
    loop {
        let at_ms = now_ms() - RETENTION_MS + random.within(300..2500);
        load.state.lock().unwrap().old.insert(at_ms);
        let sample = Sample { value: at_ms as f64, timestamp: at_ms as i64, start_timestamp: 0 };
        let body = write_request(vec![series(&[("__name__", "old")], vec![sample])]);
        let Some((status, text)) = post(&url, body).await else { return };
        let is_too_old = status == 400 && text.contains("too_old");
        assert!(status == 204 || is_too_old, "{status}: only its age may be wrong: {text}");
        tokio::time::sleep(Duration::from_millis(random.within(5..40))).await;
    }
}

/// Sends samples at times of the last two rules' lengths, so that a rule takes some of each block.
async fn send_ruled(url: String, mut random: Random) {
    loop {
        let at_ms = now_ms() - random.within(0..2 * RULED_MS);
        let sample = Sample { value: at_ms as f64, timestamp: at_ms as i64, start_timestamp: 0 };
        let names = ["ruled", "beside"];
        let all = names.map(|name| series(&[("__name__", name)], vec![sample.clone()]));
        let Some((status, text)) = post(&url, write_request(all.to_vec())).await else { return };
        assert_eq!(status, 204, "{text}");
        tokio::time::sleep(Duration::from_millis(random.within(5..40))).await;
    }
}

async fn snapshot(load: Arc<Load>, base_url: String, mut random: Random) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.within(20..300))).await;
        let snapshot = client().post(format!("{base_url}/api/v1/admin/tsdb/snapshot"));
        let Ok(answer) = snapshot.send().await else { return };
        let status = answer.status().as_u16();
        let Ok(text) = answer.text().await else { return };
        assert_eq!(status, 200, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let name = answer["data"]["name"].as_str().unwrap().to_owned();
        load.state.lock().unwrap().snapshots.push(name);
    }
}

/// Deletes groups that nobody writes to any more.
async fn delete(load: Arc<Load>, base_url: String, mut random: Random) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.within(1..150))).await;
        let (numbers, index) = {
            let mut state = load.state.lock().unwrap();
            let complete = state.open.first().copied().unwrap_or(state.next) / GROUP;
            if complete == 0 {
                continue;
            }
            let group = random.within(complete.saturating_sub(8)..complete);
            let length = if random.next().is_multiple_of(2) { GROUP } else { GROUP / 2 };
            let numbers = group * GROUP..group * GROUP + length;
            state.deletions.push((numbers.clone(), false));
            (numbers, state.deletions.len() - 1)
        };
        let selector = format!("kept{{group=\"g{}\"}}", numbers.start / GROUP);
        let seconds = |number| (load.time_ms(number) as f64 / 1000.0).to_string();
        let parameters = [
            ("match[]", selector),
            ("start", seconds(numbers.start)),
            ("end", seconds(numbers.end - 1)),
        ];
        let url = format!("{base_url}/api/v1/admin/tsdb/delete_series");
        let url = reqwest::Url::parse_with_params(&url, &parameters).unwrap();
        let Ok(answer) = client().post(url).send().await else { return };
        let status = answer.status().as_u16();
        let Ok(text) = answer.text().await else { return };
        assert_eq!(status, 204, "{text}");
        load.state.lock().unwrap().deletions[index].1 = true;
    }
}

async fn merge(load: Arc<Load>, base_url: String, mut random: Random) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.within(1..200))).await;
        let merge = client().post(format!("{base_url}/native/v1/metrics/merge"));
        let Ok(answer) = merge.send().await else { return };
        assert_eq!(answer.status().as_u16(), 200);
        load.state.lock().unwrap().merges += 1;
    }
}

/// Values by time of a series or several; each time once.
async fn found(server: &Server, selector: &str, at_ms: u64) -> BTreeMap<u64, f64> {
    let mut found = BTreeMap::new();
    for (labels, points) in server.points(selector, at_ms as f64 / 1000.0).await {
        for (at_ms, value) in points {
            let before = found.insert(at_ms, value);
            assert_eq!(before, None, "{labels:?} has a sample at {at_ms} more than once");
        }
    }
    found
}

impl Load {
    /// Compares what the server has with what it was sent, and settles what may be there or not.
    /// `present` is what was found the last time.
    async fn check(&self, server: &Server, present: &mut BTreeSet<u64>, when: &str) {
        let length = self.state.lock().unwrap().next;
        let selector = format!("kept[{}ms]", (length + 1) * STEP_MS);
        let points = found(server, &selector, self.time_ms(length)).await;
        let mut numbers = BTreeSet::new();
        for (at_ms, value) in points {
            assert_eq!(at_ms, self.time_ms(value as u64), "{when}: a sample keeps time and value");
            numbers.insert(value as u64);
        }
        let mut state = self.state.lock().unwrap();
        let mut expected = std::mem::take(present);
        expected.append(&mut state.acknowledged);
        let mut maybe = std::mem::take(&mut state.unanswered);
        let mut undecided = Vec::new();
        for (range, is_acknowledged) in std::mem::take(&mut state.deletions) {
            if is_acknowledged {
                expected.retain(|number| !range.contains(number));
                maybe.retain(|number| !range.contains(number));
            } else {
                undecided.push(range);
            }
        }
        for range in undecided {
            let inside: BTreeSet<u64> = expected.range(range.clone()).copied().collect();
            let left = numbers.range(range.clone()).filter(|n| inside.contains(n)).count();
            assert!(left == 0 || left == inside.len(), "{when}: half a deletion of {range:?}");
            if left == 0 {
                expected.retain(|number| !range.contains(number));
                maybe.extend(range.filter(|number| numbers.contains(number)));
            }
        }
        let lost: Vec<&u64> = expected.difference(&numbers).collect();
        assert!(lost.is_empty(), "{when}: lost {} acknowledged samples: {lost:?}", lost.len());
        let extra: Vec<&u64> =
            numbers.difference(&expected).filter(|number| !maybe.contains(number)).collect();
        assert!(extra.is_empty(), "{when}: {} samples came back: {extra:?}", extra.len());
        *present = numbers;
    }

    /// What a rule drops is never seen, what it leaves is not changed.
    async fn check_ruled(&self, server: &Server, when: &str) {
        let oldest_ms = now_ms() - RULED_MS;
        for (at_ms, value) in found(server, "ruled[1h]", now_ms()).await {
            assert_eq!(at_ms as f64, value, "{when}: a sample keeps its value");
            assert!(at_ms >= oldest_ms, "{when}: {at_ms} is too old for its rule");
        }
    }

    /// What is about to be dropped may be gone, but not changed, and what is too old is never seen.
    async fn check_old(&self, server: &Server, when: &str) {
        let oldest_ms = now_ms() - RETENTION_MS;
        let points = found(server, "old[2h]", now_ms()).await;
        let state = self.state.lock().unwrap();
        for (at_ms, value) in points {
            assert!(state.old.contains(&at_ms), "{when}: {at_ms} was never sent");
            assert_eq!(at_ms as f64, value, "{when}: a sample keeps its value");
            assert!(at_ms >= oldest_ms, "{when}: {at_ms} is too old");
        }
    }
}

/// Files in the store's folder, without its journal, that its manifest does not name.
fn unnamed_files(server: &Server) -> Option<Vec<String>> {
    let folder = server.data().join("metrics");
    let manifest = std::fs::read_to_string(folder.join("manifest")).ok()?;
    let (json, _) = manifest.trim_end().rsplit_once('\n')?;
    let manifest: serde_json::Value = serde_json::from_str(json).ok()?;
    let blocks = manifest["blocks"].as_array()?.iter().map(|block| (&block["number"], "block"));
    let numbers = blocks.chain([(&manifest["checkpoint"], "head")]);
    let named: Vec<String> = numbers
        .filter_map(|(number, end)| Some(format!("{:012}.{end}", number.as_u64()?)))
        .chain(["journal".to_owned(), "manifest".to_owned()])
        .collect();
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let lacking: Vec<&String> = named.iter().filter(|name| !names.contains(*name)).collect();
    // A look between two changes sees neither all of the old nor all of the new.
    let is_stray = |name: &String| !named.contains(name) && name != "snapshots";
    (lacking.is_empty()).then(|| names.into_iter().filter(is_stray).collect())
}

/// Restores some of the acknowledged snapshots into folders of their own.
async fn restore_some(server: &Server, names: &[String]) {
    for name in names.iter().step_by(names.len().div_ceil(4).max(1)) {
        let snapshot = server.data().join("metrics/snapshots").join(name);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let arguments = ["restore", snapshot.to_str().unwrap(), "--data", data.to_str().unwrap()];
        let (status, out, err) = Binary::run(&arguments).await;
        assert!(status.success() && !out.contains("damaged"), "{name}: {out}{err}");
    }
}

/// What the process did since its start, by name of the figure.
async fn figures(server: &Server) -> BTreeMap<String, u64> {
    let answer = server.get("/native/v1/metrics/status").await.json();
    serde_json::from_value(answer["data"]["figures"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_in_any_phase_has_what_was_acknowledged_and_nothing_deleted_comes_back() {
    let mut random = Random::new(SEED);
    let base_ms = now_ms() - RETENTION_MS / 2;
    let load = Arc::new(Load { base_ms, state: Mutex::default() });
    let mut server = Setup::default().with_more(STORE).start().await;
    let mut present = BTreeSet::new();
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    let (mut left_behind, mut deleted) = (BTreeMap::new(), 0);
    for round in 0..ROUNDS {
        let query = format!("http://{}", server.addresses.query);
        let url = format!("{query}/api/v1/write");
        let mut next = || Random::new(random.next());
        let mut tasks: Vec<_> =
            (0..SENDERS).map(|_| tokio::spawn(send(load.clone(), url.clone(), next()))).collect();
        tasks.push(tokio::spawn(send_old(load.clone(), url.clone(), next())));
        tasks.push(tokio::spawn(send_ruled(url.clone(), next())));
        tasks.push(tokio::spawn(delete(load.clone(), query.clone(), next())));
        tasks.push(tokio::spawn(snapshot(load.clone(), query.clone(), next())));
        tasks.push(tokio::spawn(merge(load.clone(), query, next())));
        tokio::time::sleep(Duration::from_millis(random.within(UPTIME_MS))).await;
        for (name, value) in figures(&server).await {
            *totals.entry(name).or_default() += value;
        }
        tokio::time::sleep(Duration::from_millis(random.within(0..60))).await;
        server.kill();
        for name in unnamed_files(&server).unwrap_or_default() {
            let (_, kind) = name.split_once('.').unwrap();
            *left_behind.entry(kind.to_owned()).or_insert(0) += 1;
        }
        for task in tasks {
            task.await.unwrap();
        }
        let is_final = |(_, is_acknowledged): &&(Range<u64>, bool)| *is_acknowledged;
        deleted += load.state.lock().unwrap().deletions.iter().filter(is_final).count();
        server.restart().await;
        let when = format!("round {round} of seed {SEED}");
        load.check(&server, &mut present, &when).await;
        load.check_old(&server, &when).await;
        load.check_ruled(&server, &when).await;
        eventually("only files that the manifest names", async || {
            unnamed_files(&server).filter(Vec::is_empty)
        })
        .await;
    }
    // Once everything is in one block, and after a clean stop, it is still the same.
    let merge = client().post(format!("http://{}/native/v1/metrics/merge", server.addresses.query));
    assert_eq!(merge.send().await.unwrap().status().as_u16(), 200);
    load.check(&server, &mut present, "after merging all").await;
    server.stop().await;
    server.restart().await;
    load.check(&server, &mut present, "after a clean stop").await;
    let snapshots = load.state.lock().unwrap().snapshots.clone();
    restore_some(&server, &snapshots).await;
    let state = load.state.lock().unwrap();
    let phases = ["seals", "merges", "checkpoints"].map(|name| (name, totals[name]));
    println!(
        "{ROUNDS} kills: {} samples sent, {} there; {deleted} deletions, {} snapshots and {} merges \
         asked for; {phases:?}; left behind: {left_behind:?}",
        state.next,
        present.len(),
        snapshots.len(),
        state.merges
    );
    // How much a busy machine gets done is not promised, but a test of nothing proves nothing.
    assert!(present.len() > 1000 && deleted > 0 && state.merges > 0, "the load was no load");
    assert!(!snapshots.is_empty(), "no snapshot was made");
    assert!(phases.iter().all(|(_, count)| *count > 0), "{phases:?}");
}
