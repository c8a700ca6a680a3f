//! Files that are tailed while they rotate and the server is killed: every line comes once. The
//! pattern matches the rotated names too, since a file may come and lose its name while the server is
//! down.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Random, Server, Setup, eventually, now_ns};

const ROUNDS: u64 = 12;
const SEED: u64 = 20_261_122;
const UPTIME_MS: std::ops::Range<u64> = 150..900;
const LINES_PER_FILE: u64 = 400;
const JOBS: &str = "tail: [{job: app, files: ['app/app.log*'], poll_interval: 20ms}]\n";

/// Writes numbered lines and renames the file now and then; answers how many when told to stop.
async fn write_lines(folder: PathBuf, stop: Arc<AtomicBool>, mut random: Random) -> u64 {
    let path = folder.join("app.log");
    let open = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let (mut file, mut count): (File, u64) = (open(), 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..random.within(1..30) {
            writeln!(file, "line {count} took {} ms", count % 89).unwrap();
            count += 1;
            if count.is_multiple_of(LINES_PER_FILE) {
                std::fs::rename(&path, folder.join(format!("app.log.{count}"))).unwrap();
                file = open();
            }
        }
        tokio::time::sleep(Duration::from_millis(random.within(1..8))).await;
    }
    count
}

async fn numbers(server: &Server, start_ns: u64) -> Vec<u64> {
    let lines = server.lines(r#"{job="app"}"#, start_ns, now_ns() + 1).await;
    let number = |text: &str| text.split(' ').nth(1).unwrap().parse().unwrap();
    let mut numbers: Vec<u64> = lines.iter().map(|line| number(&line.text)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_rotating_file_comes_once_through_kills() {
    let start_ns = now_ns();
    let mut random = Random::new(SEED);
    let mut server = Setup::default().with_more(JOBS).start().await;
    let folder: PathBuf = server.config().parent().unwrap().join("app");
    std::fs::create_dir(&folder).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (folder, stop, random) = (folder.clone(), stop.clone(), Random::new(random.next()));
        tokio::spawn(write_lines(folder, stop, random))
    };
    for _ in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(random.within(UPTIME_MS))).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(random.within(0..40))).await;
        server.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    let count = writer.await.unwrap();
    let found = eventually("all lines", async || {
        let found = numbers(&server, start_ns).await;
        (found.len() as u64 >= count).then_some(found)
    })
    .await;
    assert!(found.iter().copied().eq(0..count), "{count} lines, found {}", found.len());
    let labels = server.lines(r#"{job="app"}"#, start_ns, now_ns()).await.swap_remove(0).labels;
    assert!(labels["filename"].contains("/app/app.log"), "{labels:?}");
    // Where a line stands in its file is the collector's business, and no label.
    assert!(labels.keys().all(|name| !name.starts_with("__")), "{labels:?}");
    println!("{ROUNDS} kills, {count} lines in {} files", count / LINES_PER_FILE + 1);
}
