//! Reading: heads and parts as one.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use model::labels::Labels;
use model::log::{LogCount, LogCountRequest, LogRow};
use model::read::{LogRequest, RangeNs};
use model::{LogSource, Matcher, QueryContext};
use rustc_hash::FxHashSet;

use crate::cursor::{Hidden, ScanPlan};
use crate::error::Error;
use crate::head::{self, Head, HeadCursor, Snapshot};
use crate::merge::{self, Source};
use crate::store::LogStore;
use crate::view::{OpenPart, View};

/// Everything that one read sees: each record once, whatever is sealed or merged meanwhile.
struct Seen {
    active: Snapshot,
    frozen: Option<Arc<Head>>,
    view: Arc<View>,
    hidden: Vec<Hidden>,
}

impl Seen {
    fn frozen(&self, matchers: &[Matcher], range: RangeNs, first_arrival: u64) -> Snapshot {
        let frozen = self.frozen.as_ref();
        frozen.map_or_else(Snapshot::default, |head| {
            head.snapshot_since(matchers, range, first_arrival)
        })
    }

    fn parts(&self, range: RangeNs) -> impl Iterator<Item = &Arc<OpenPart>> {
        self.view.parts.iter().filter(move |open| open.overlaps(range))
    }
}

impl LogStore {
    /// What there is of records from an arrival on. Parts may have others too.
    fn see(&self, matchers: &[Matcher], range: RangeNs, first_arrival: u64) -> Seen {
        let live = self.live.read();
        let active = live.active.snapshot_since(matchers, range, first_arrival);
        let (frozen, view) = (live.frozen.clone(), live.view.clone());
        drop(live);
        let hidden = self.hidden(&view);
        Seen { active, frozen, view, hidden }
    }

    /// What deletions and retention hide.
    pub(super) fn hidden(&self, view: &View) -> Vec<Hidden> {
        let deleted = view.deleted.iter().map(|(_, hidden)| hidden.clone());
        deleted.chain(self.retention.hidden(self.clock.now_ms())).collect()
    }

    /// Sets a part aside that turned out to be corrupt, so that the next query does without.
    fn tell(&self, open: Option<&Arc<OpenPart>>, error: Error) -> model::Error {
        if let Some(open) = open
            && error.is_corrupt()
        {
            self.set_aside(open.entry.number, &error.to_string());
        }
        error.into()
    }
}

impl LogSource for LogStore {
    fn scan(
        &self,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        self.scan_arrivals(0..u64::MAX, request, context, visit)
    }

    fn arrivals_end(&self) -> u64 {
        self.live.read().next_arrival
    }

    fn scan_arrivals(
        &self,
        arrivals: Range<u64>,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        context.check()?;
        let seen = self.see(&request.matchers, request.range, arrivals.start);
        let frozen = seen.frozen(&request.matchers, request.range, arrivals.start);
        let plan_of = |hidden: Vec<Hidden>| Arc::new(ScanPlan { request: request.clone(), hidden });
        let plain = plan_of(Vec::new());
        let head_plan = plan_of(seen.hidden.clone());
        let is_new = |open: &&Arc<OpenPart>| open.part.meta().arrivals.end > arrivals.start;
        let parts: Vec<&Arc<OpenPart>> = seen.parts(request.range).filter(is_new).collect();
        let mut sources = Vec::with_capacity(parts.len() + 2);
        for (number, open) in parts.iter().enumerate() {
            let range = open.part.meta().range;
            let hidden = open.hidden(&seen.hidden);
            let plan = if hidden.is_empty() { plain.clone() } else { plan_of(hidden) };
            let part = &open.part;
            sources.push(Source {
                first: range.start.max(request.range.start),
                last: range.end.min(request.range.end),
                open: Box::new(move || part.cursor(&plan, context)),
                number,
            });
        }
        for snapshot in [&frozen, &seen.active] {
            let Some((first, last)) = snapshot.times() else { continue };
            let plan = &head_plan;
            let open = move || -> crate::Result<Box<dyn crate::cursor::RowCursor + '_>> {
                Ok(Box::new(HeadCursor::new(snapshot, plan, context)))
            };
            sources.push(Source { first, last, open: Box::new(open), number: usize::MAX });
        }
        let mut visit = |row: &LogRow<'_>| {
            if arrivals.contains(&row.arrival) { visit(row) } else { ControlFlow::Continue(()) }
        };
        merge::visit(sources, request.order, &mut visit)
            .map_err(|(number, error)| self.tell(parts.get(number).copied(), error))
    }

    fn count(
        &self,
        request: &LogCountRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        context.check()?;
        let range = request.range()?;
        let seen = self.see(&request.matchers, range, 0);
        let frozen = seen.frozen(&request.matchers, range, 0);
        for snapshot in [&frozen, &seen.active] {
            let counted = head::count(snapshot, request, &seen.hidden, context, visit)?;
            if counted.is_break() {
                return Ok(());
            }
        }
        for open in seen.parts(range) {
            let hidden = open.hidden(&seen.hidden);
            let counted = open.part.count(request, &hidden, context, visit);
            if counted.map_err(|error| self.tell(Some(open), error))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        context: &QueryContext,
    ) -> model::Result<Vec<Labels>> {
        context.check()?;
        let (active, frozen, view) = {
            let live = self.live.read();
            (live.active.labels(matchers, range), live.frozen.clone(), live.view.clone())
        };
        let mut found: FxHashSet<Labels> = active.into_iter().collect();
        if let Some(frozen) = frozen {
            found.extend(frozen.labels(matchers, range));
        }
        let hidden = self.hidden(&view);
        let mut streams = 0;
        for open in view.parts.iter().filter(|open| open.overlaps(range)) {
            let hidden = open.hidden(&hidden);
            let arrivals_end = open.part.meta().arrivals.end;
            let labels = open.part.streams();
            for (index, own, ..) in open.part.stream_ranges() {
                streams += 1;
                let Some(labels) = labels.get(index as usize) else { continue };
                let is_hidden = || {
                    hidden.iter().any(|hidden| {
                        let selection = &hidden.selection;
                        selection.lines.is_empty()
                            && selection.fields.is_empty()
                            && arrivals_end <= hidden.before_arrival
                            && selection.range.start <= own.start
                            && own.end <= selection.range.end
                            && Matcher::all_match(&selection.matchers, labels)
                    })
                };
                if own.start < range.end
                    && range.start < own.end
                    && !found.contains(labels)
                    && Matcher::all_match(matchers, labels)
                    && !is_hidden()
                {
                    found.insert(labels.clone());
                }
            }
            context.charge(std::mem::take(&mut streams), 0)?;
        }
        let mut found: Vec<Labels> = found.into_iter().collect();
        found.sort();
        Ok(found)
    }
}
