//! `tail`: new lines over a WebSocket.
//!
//! The store numbers records as they arrive, and is asked again and again for those that it has got
//! since: whatever their times say, lines are shown once, when they come. A client that falls far
//! behind misses lines and is told.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use model::log::LogRow;
use model::read::{Direction, RangeNs};
use model::{Labels, QueryContext, TimestampNs};
use query::logql::{self, LogExpr, LogResult, LogStream, LogVisit, StreamGroups};
use rustc_hash::FxHashSet;

use super::range::{self, HOUR_NS, SECOND_NS};
use super::result::{wants_categories, write_stream_list};
use super::{Answer, parse_log};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::parameters::Parameters;
use crate::state::{App, Shared};

/// The time between two polls.
const POLL: Duration = Duration::from_millis(250);

/// A tail that is farther behind than this goes on near the present.
const BEHIND_NS: i64 = 60 * SECOND_NS;

/// Lines that are named of those that were left out.
const DROPPED_MAX: usize = 100;

/// A client that does not take a frame for so long is gone.
const SEND_MAX: Duration = Duration::from_secs(30);

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
    let sent = Mark { at: now, arrivals: app.state.logs.arrivals_end() };
    let tail = Tail {
        app,
        log,
        limit,
        delay_ns: delay * SECOND_NS,
        categorized: wants_categories(&headers),
        start,
        sent,
        next: None,
        partly: FxHashSet::default(),
        marks: VecDeque::new(),
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

/// How many records had arrived at an instant.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: TimestampNs,
    arrivals: u64,
}

/// A line that was left out because the client is too slow.
struct Dropped {
    labels: Labels,
    at: TimestampNs,
}

/// What one poll found.
#[derive(Default)]
struct Frame {
    streams: Vec<LogStream>,
    dropped: Vec<Dropped>,
}

/// One tail.
struct Tail {
    app: Arc<Shared>,
    log: LogExpr,
    limit: usize,
    delay_ns: i64,
    categorized: bool,
    start: TimestampNs,
    /// All that came before it was sent.
    sent: Mark,
    /// Up to where lines are being sent, if one poll could not take them all.
    next: Option<Mark>,
    /// What was sent of those.
    partly: FxHashSet<u64>,
    /// What has arrived, but waits for the delay, oldest first.
    marks: VecDeque<Mark>,
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

    /// The newest lines from before the tail began, oldest first.
    async fn past(&self) -> Result<Frame> {
        let (direction, arrivals) = (Direction::Backward, 0..self.sent.arrivals);
        let ((mut streams, _), _) =
            self.lines(arrivals, direction, FxHashSet::default(), self.limit).await?;
        for stream in &mut streams {
            stream.entries.reverse();
        }
        Ok(Frame { streams, dropped: Vec::new() })
    }

    /// Lines that have these numbers and not one of `except`, whether there may be more, and
    /// `except`.
    async fn lines(
        &self,
        arrivals: Range<u64>,
        direction: Direction,
        except: FxHashSet<u64>,
        limit: usize,
    ) -> Result<((Vec<LogStream>, bool), FxHashSet<u64>)> {
        if arrivals.is_empty() {
            return Ok(((Vec::new(), false), except));
        }
        let (app, log, start) = (self.app.clone(), self.log.clone(), self.start);
        let work = move |context: &QueryContext, _| {
            let mut groups = StreamGroups::default();
            let mut count = 0;
            let wants = |row: &LogRow<'_>| !except.contains(&row.arrival);
            let visit = LogVisit {
                log: &log,
                range: RangeNs { start, end: RangeNs::ALL.end },
                direction,
                lines: Vec::new(),
                wants: &wants,
                arrivals: Some(arrivals),
            };
            let source = app.state.logs.as_ref();
            logql::visit_log(&visit, source, context, &mut |_, stream, entry| {
                context.hold(entry.held_bytes())?;
                groups.push(stream, entry);
                count += 1;
                Ok(if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            Ok(((groups.streams, count >= limit), except))
        };
        self.app.runner.run(None, work).await
    }

    /// What has arrived and waited for the delay.
    fn ripe(&mut self) -> Mark {
        let arrivals = self.app.state.logs.arrivals_end();
        let now = self.app.state.clock.now();
        self.marks.push_back(Mark { at: now, arrivals });
        let mut ripe = self.sent;
        while let Some(mark) = self.marks.front().filter(|m| m.at.plus_ns(self.delay_ns) <= now) {
            ripe = *mark;
            self.marks.pop_front();
        }
        ripe
    }

    async fn poll(&mut self) -> Result<Frame> {
        let ripe = self.ripe();
        let mut frame = Frame::default();
        if ripe.at.0.saturating_sub(self.sent.at.0) > BEHIND_NS {
            frame.dropped = self.skip(ripe).await?;
            return Ok(frame);
        }
        let until = *self.next.get_or_insert(ripe);
        let arrivals = self.sent.arrivals..until.arrivals;
        let partly = std::mem::take(&mut self.partly);
        let limit = self.app.state.options.log_lines_max;
        let ((streams, is_cut), partly) =
            self.lines(arrivals, Direction::Forward, partly, limit).await?;
        if is_cut {
            // The next poll goes on where this one was cut.
            self.partly = partly;
            let entries = streams.iter().flat_map(|stream| &stream.entries);
            self.partly.extend(entries.map(|entry| entry.arrival));
        } else {
            (self.sent, self.next) = (until, None);
        }
        frame.streams = streams;
        Ok(frame)
    }

    /// Leaves out what came before `until`, and tells the first of it.
    async fn skip(&mut self, until: Mark) -> Result<Vec<Dropped>> {
        let arrivals = self.sent.arrivals..until.arrivals;
        let partly = std::mem::take(&mut self.partly);
        let ((streams, _), _) =
            self.lines(arrivals, Direction::Forward, partly, DROPPED_MAX).await?;
        (self.sent, self.next) = (until, None);
        let dropped = streams.into_iter().flat_map(|stream| {
            let labels = stream.labels;
            let entries = stream.entries.into_iter();
            entries.map(move |entry| Dropped { labels: labels.clone(), at: entry.at })
        });
        Ok(dropped.collect())
    }

    /// Whether the client is still there.
    async fn send(&self, socket: &mut WebSocket, frame: Frame) -> bool {
        let Frame { streams, dropped } = frame;
        if streams.is_empty() && dropped.is_empty() {
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
        json.raw(r#","dropped_entries":"#);
        json.array(&dropped, |json, dropped| {
            json.raw(r#"{"labels":"#);
            json.labels(&dropped.labels);
            json.raw_fmt(format_args!(",\"timestamp\":\"{}\"}}", dropped.at.0));
        });
        json.raw("}");
        let sent = socket.send(Message::text(json.finish()));
        matches!(tokio::time::timeout(SEND_MAX, sent).await, Ok(Ok(())))
    }
}
