//! The demo's receiver of pages: shows them in the terminal, with what someone needs to act.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{BoxFuture, Deliver, DeliveryError, Notification};
use model::read::{Direction, LogColumns, LogRequest, RangeNs, SpanRequest};
use model::span::StatusCode;
use model::{Clock, LogSource, Matcher, QueryContext, QueryLimits, SpanSource, TraceId};
use parking_lot::Mutex;

use crate::cli::print_line;
use crate::server::{Addresses, Stores};

/// What the pager knows.
#[derive(Default)]
struct State {
    server: Option<(Arc<Stores>, Addresses)>,
    outage_at: Option<Duration>,
    pages: u64,
    resolved: bool,
    trace: Option<TraceId>,
}

/// Shows pages.
pub(super) struct Pager {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// What was found about a failing service.
#[derive(Default)]
struct Evidence {
    trace: Option<TraceId>,
    operation: Option<String>,
    log: Option<String>,
}

const RULE: &str =
    "================================================================================";

impl Pager {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Pager { clock, state: Mutex::default() }
    }

    /// Tells where evidence is found; the server starts after its receivers.
    pub(super) fn connect(&self, stores: Arc<Stores>, addresses: Addresses) {
        self.state.lock().server = Some((stores, addresses));
    }

    /// Starts the watch that measures how long the page takes.
    pub(super) fn mark_outage(&self) {
        self.state.lock().outage_at = Some(self.clock.monotonic());
    }

    pub(super) fn pages(&self) -> u64 {
        self.state.lock().pages
    }

    pub(super) fn is_resolved(&self) -> bool {
        self.state.lock().resolved
    }

    /// A failed trace that a page showed.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        self.state.lock().trace
    }

    fn evidence(&self, service: &str) -> model::Result<Evidence> {
        let Some((stores, _)) = self.state.lock().server.clone() else {
            return Ok(Evidence::default());
        };
        let now = self.clock.now();
        let two_minutes_ns = 120_000_000_000;
        let range = RangeNs { start: now.plus_ns(-two_minutes_ns), end: now.plus_ns(1) };
        let context = QueryContext::new(QueryLimits::default(), self.clock.clone());
        let mut evidence = Evidence::default();
        let request = SpanRequest { range, hints: Vec::new() };
        stores.spans.scan(&request, &context, &mut |trace| {
            let failed = trace.spans.iter().find(|span| {
                span.status == StatusCode::Error && span.resource.service_name() == service
            });
            let Some(span) = failed else { return ControlFlow::Continue(()) };
            evidence.trace = Some(trace.id);
            evidence.operation = Some(format!("{}: {}", span.name, span.status_message));
            ControlFlow::Break(())
        })?;
        let request = LogRequest {
            matchers: vec![Matcher::equal("service_name", service)],
            range,
            lines: Vec::new(),
            fields: Vec::new(),
            order: Some(Direction::Backward),
            columns: LogColumns { line: true, metadata: true },
        };
        stores.logs.scan(&request, &context, &mut |row| {
            let is_error = row
                .metadata
                .iter()
                .any(|field| field.name == "detected_level" && field.value == "error");
            if !is_error {
                return ControlFlow::Continue(());
            }
            evidence.log = Some(row.line.to_owned());
            ControlFlow::Break(())
        })?;
        Ok(evidence)
    }

    fn show(&self, notification: &Notification) {
        let mut lines = vec![String::new(), RULE.to_owned()];
        let severity = notification.common_labels().get_or_empty("severity").to_uppercase();
        let title = if notification.is_resolved() { "RESOLVED" } else { severity.as_str() };
        lines.push(format!(
            "  {title}  {}  ({})",
            notification.group_labels.get_or_empty("alertname"),
            notification.reason.as_str()
        ));
        for alert in &notification.alerts {
            let service = alert.alert.labels.get_or_empty("service");
            let annotation = |name| alert.alert.annotations.get_or_empty(name);
            let evidence = self.evidence(service).unwrap_or_default();
            self.state.lock().trace = evidence.trace;
            let addresses = self.state.lock().server.as_ref().map(|(_, addresses)| *addresses);
            lines.push(String::new());
            let mut add = |name: &str, text: &str| {
                if !text.is_empty() {
                    lines.push(format!("  {name:<9} {text}"));
                }
            };
            add("what", annotation("summary"));
            add("impact", annotation("description"));
            add("since", &alert.alert.starts_at.to_string());
            add("where", evidence.operation.as_deref().unwrap_or_default());
            add("log", evidence.log.as_deref().unwrap_or_default());
            if let (Some(trace), Some(addresses)) = (evidence.trace, addresses) {
                add("trace", &format!("http://{}/tempo/api/v2/traces/{trace}", addresses.query));
            }
            add("runbook", annotation("runbook_url"));
        }
        let outage_at = self.state.lock().outage_at;
        if let (Some(outage_at), false) = (outage_at, notification.is_resolved()) {
            let took = self.clock.monotonic().saturating_sub(outage_at);
            lines.push(format!("\n  (paged {:.1} s after the first failure)", took.as_secs_f64()));
        }
        lines.push(RULE.to_owned());
        lines.push(String::new());
        print_line(&lines.join("\n"));
        let mut state = self.state.lock();
        state.pages += 1;
        state.resolved = notification.is_resolved();
    }
}

impl Deliver for Pager {
    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            self.show(notification);
            Ok(())
        })
    }
}
