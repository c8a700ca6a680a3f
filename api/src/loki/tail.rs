//! `tail`: new lines over a WebSocket.
//!
//! The store is asked again and again for the newest lines. Lines may arrive late, so each poll
//! looks a little further back than the last one did and leaves out what was sent before.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::TimestampNs;
use model::read::{Direction, RangeNs};
use query::logql::{self, LogEntry, LogExpr, LogResult, LogStream};
use rustc_hash::{FxHashMap, FxHasher};

use super::range::{self, HOUR_NS, SECOND_NS};
use super::result::{wants_categories, write_stream_list};
use super::{Answer, parse_log};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// The time between two polls.
const POLL: Duration = Duration::from_millis(250);

/// How late a line may be and still be sent.
const LATE_NS: i64 = 5 * SECOND_NS;

/// The longest `delay_for`, in seconds.
const DELAY_MAX: i64 = 5;

/// The reason of a close frame may have this many bytes (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 120;

/// The close code for a server that can not go on.
const CLOSE_ERROR: u16 = 1011;

/// `tail`.
pub(super) async fn tail(
    State(app): App,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
    parameters: Parameters,
) -> Answer {
    let log = parse_log(&parameters)?;
    let limit = range::lines(&parameters, app.state.options.log_lines_max)?;
    let delay = match parameters.get("delay_for") {
        None => 0,
        Some(text) => {
            text.parse::<i64>().ok().filter(|s| (0..=DELAY_MAX).contains(s)).ok_or_else(|| {
                Error::BadRequest(format!("delay_for can't be greater than {DELAY_MAX} seconds"))
            })?
        }
    };
    let now = app.state.clock.now();
    let start = parameters.time_ns("start")?.unwrap_or_else(|| now.plus_ns(-HOUR_NS));
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let Ok(permit) = app.tails.clone().try_acquire_owned() else {
        app.telemetry.tails_refused.inc();
        return Ok(too_many(app.state.options.tails_max));
    };
    let began = now.plus_ns(-delay * SECOND_NS);
    let tail = Tail {
        app,
        log,
        limit,
        delay_ns: delay * SECOND_NS,
        categorized: wants_categories(&headers),
        start,
        began,
        sent: Sent { from: began, counts: FxHashMap::default() },
    };
    Ok(upgrade.on_upgrade(async move |socket| {
        let gauge = tail.app.telemetry.tails.clone();
        gauge.inc();
        tail.serve(socket).await;
        gauge.dec();
        drop(permit);
    }))
}

fn too_many(max: usize) -> Response {
    let text = format!("max concurrent tail requests limit exceeded, tails_max is {max}");
    (StatusCode::TOO_MANY_REQUESTS, text).into_response()
}

/// What was sent of the time that the next poll looks at again.
#[derive(Debug)]
struct Sent {
    from: TimestampNs,
    counts: FxHashMap<u64, (TimestampNs, usize)>,
}

impl Sent {
    /// Keeps only lines that were not sent, and remembers them. `next_from` is where the next poll
    /// begins.
    fn keep_new(&mut self, result: LogResult, next_from: TimestampNs) -> Vec<LogStream> {
        let mut counts: FxHashMap<u64, (TimestampNs, usize)> = FxHashMap::default();
        let mut new = Vec::new();
        for mut stream in result.streams {
            stream.entries.retain(|entry| {
                let key = key(&stream.labels, entry);
                let count = counts.entry(key).or_insert((entry.at, 0));
                count.1 += 1;
                self.counts.get(&key).is_none_or(|(_, sent)| count.1 > *sent)
            });
            if !stream.entries.is_empty() {
                new.push(stream);
            }
        }
        counts.retain(|_, (at, _)| *at >= next_from);
        self.from = next_from;
        self.counts = counts;
        new
    }
}

fn key(labels: &model::Labels, entry: &LogEntry) -> u64 {
    let mut hasher = FxHasher::default();
    labels.hash(&mut hasher);
    (entry.at.0, &entry.line, &entry.metadata).hash(&mut hasher);
    hasher.finish()
}

/// One tail.
struct Tail {
    app: Arc<Shared>,
    log: LogExpr,
    limit: usize,
    delay_ns: i64,
    categorized: bool,
    start: TimestampNs,
    began: TimestampNs,
    sent: Sent,
}

impl Tail {
    async fn serve(mut self, mut socket: WebSocket) {
        if let Err(error) = self.talk(&mut socket).await {
            let mut reason = error.to_string();
            let end = (0..=REASON_BYTES_MAX.min(reason.len()))
                .rev()
                .find(|end| reason.is_char_boundary(*end));
            reason.truncate(end.unwrap_or(0));
            let frame = CloseFrame { code: CLOSE_ERROR, reason: reason.into() };
            // The client may be gone, which is just as well.
            let _gone = socket.send(Message::Close(Some(frame))).await.is_err();
        }
    }

    /// Sends until the client leaves (`Ok`) or a query fails.
    async fn talk(&mut self, socket: &mut WebSocket) -> Result<()> {
        let past = self.past().await?;
        if !self.send(socket, past).await {
            return Ok(());
        }
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    // Pings are answered by the library; there is nothing else to say to us.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
                _ = ticks.tick() => {
                    let new = self.poll().await?;
                    if !self.send(socket, new).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn query(&self, over: RangeNs, limit: usize, direction: Direction) -> Result<LogResult> {
        let (app, log) = (self.app.clone(), self.log.clone());
        let work = move |context: &model::QueryContext, _| {
            let source = app.state.logs.as_ref();
            Ok(logql::evaluate_log(&log, over, limit, direction, source, context)?)
        };
        self.app.runner.run(None, work).await
    }

    /// The newest lines from before the tail began, oldest first.
    async fn past(&self) -> Result<Vec<LogStream>> {
        let over = RangeNs { start: self.start, end: self.began };
        let mut streams = self.query(over, self.limit, Direction::Backward).await?.streams;
        for stream in &mut streams {
            stream.entries.reverse();
        }
        Ok(streams)
    }

    async fn poll(&mut self) -> Result<Vec<LogStream>> {
        let until = self.app.state.clock.now().plus_ns(-self.delay_ns);
        let over = RangeNs { start: self.sent.from, end: until };
        let sent: usize = self.sent.counts.values().map(|(_, count)| *count).sum();
        let limit = sent.saturating_add(self.app.state.options.log_lines_max);
        let result = self.query(over, limit, Direction::Forward).await?;
        let is_cut = result.stats.lines_matched >= limit as u64;
        let last = result.streams.iter().flat_map(|stream| &stream.entries).map(|e| e.at).max();
        // If there were more lines than one poll takes, the next one goes on where it was cut.
        let reached = if is_cut { last.unwrap_or(until) } else { until };
        let next_from = reached.plus_ns(-LATE_NS).max(self.began).max(self.sent.from);
        Ok(self.sent.keep_new(result, next_from))
    }

    /// Whether the client is still there.
    async fn send(&self, socket: &mut WebSocket, streams: Vec<LogStream>) -> bool {
        if streams.is_empty() {
            return true;
        }
        let streams = if self.categorized {
            streams
        } else {
            LogResult { streams, ..LogResult::default() }.grouped_by_all_labels()
        };
        let mut json = Json::new();
        json.raw(r#"{"streams":"#);
        write_stream_list(&mut json, &streams, self.categorized);
        json.raw(r#","dropped_entries":[]}"#);
        socket.send(Message::text(json.finish())).await.is_ok()
    }
}
