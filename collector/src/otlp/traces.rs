//! Spans: OTLP to [`SpanBatch`].

use std::ops::Range;

use model::SpanId;
use model::read::RangeNs;
use model::span::{SpanKind, StatusCode};
use model::write::{AttributeRef, EventRow, LinkRow, SpanBatch, SpanOrigin, SpanRow, WriteOutcome};
use proto::otlp::{Attributes, SpanRef, TracesRef};

use crate::limits::Limits;
use crate::otlp::fields::{
    to_hex, to_span_id, to_time, to_trace_id, to_value_ref, too_many_attributes,
};
use crate::rejection::Rejection;

/// Walks a whole request. Spans that can not be kept are refused in the outcome.
pub(crate) fn map<'a>(
    request: TracesRef<'a>,
    limits: &Limits,
    accepted_starts: RangeNs,
) -> Result<(SpanBatch<'a>, WriteOutcome), Rejection> {
    let mut mapper = Mapper {
        batch: SpanBatch::default(),
        outcome: WriteOutcome::default(),
        limits,
        accepted_starts,
    };
    for resource_spans in request.resource_spans() {
        let resource_spans = resource_spans?;
        let resource = resource_spans.resource;
        let attributes = mapper.attributes(resource.attributes())?;
        let resource_count = attributes.len();
        mapper.batch.resources.push(SpanOrigin {
            name: "",
            version: "",
            attributes,
            dropped_attributes_count: resource.dropped_attributes_count,
            schema_url: resource_spans.schema_url,
        });
        for scope_spans in resource_spans.scope_spans() {
            let scope_spans = scope_spans?;
            let scope = scope_spans.scope;
            let attributes = mapper.attributes(scope.attributes())?;
            let origin_count = resource_count.max(attributes.len());
            mapper.batch.scopes.push(SpanOrigin {
                name: scope.name,
                version: scope.version,
                attributes,
                dropped_attributes_count: scope.dropped_attributes_count,
                schema_url: scope_spans.schema_url,
            });
            for span in scope_spans.spans() {
                mapper.span(span?, origin_count)?;
            }
        }
    }
    Ok((mapper.batch, mapper.outcome))
}

struct Mapper<'a, 'l> {
    batch: SpanBatch<'a>,
    outcome: WriteOutcome,
    limits: &'l Limits,
    accepted_starts: RangeNs,
}

impl<'a> Mapper<'a, '_> {
    fn attributes(&mut self, attributes: Attributes<'a>) -> Result<Range<u32>, Rejection> {
        let start = self.batch.attributes.len() as u32;
        for attribute in attributes {
            let attribute = attribute?;
            self.batch.attributes.push((attribute.key, to_value_ref(attribute.value)?));
        }
        self.check_rows()?;
        Ok(start..self.batch.attributes.len() as u32)
    }

    /// A request whose rows take too much memory is refused whole.
    fn check_rows(&self) -> Result<(), Rejection> {
        let bytes = self.batch.attributes.len() * size_of::<AttributeRef<'_>>()
            + self.batch.events.len() * size_of::<EventRow<'_>>()
            + self.batch.links.len() * size_of::<LinkRow<'_>>()
            + self.batch.spans.len() * size_of::<SpanRow<'_>>()
            + self.batch.scopes.len() * size_of::<SpanOrigin<'_>>();
        match self.limits.rows_bytes_max() {
            limit if bytes > limit => Err(Rejection::too_many_rows(limit)),
            _ => Ok(()),
        }
    }

    fn span(&mut self, span: SpanRef<'a>, origin_count: usize) -> Result<(), Rejection> {
        let (attributes_before, events_before, links_before) =
            (self.batch.attributes.len(), self.batch.events.len(), self.batch.links.len());
        match self.row(&span, origin_count)? {
            Ok(row) => self.batch.spans.push(row),
            Err((reason, example)) => {
                self.batch.attributes.truncate(attributes_before);
                self.batch.events.truncate(events_before);
                self.batch.links.truncate(links_before);
                self.outcome.refuse(reason, || format!("span {:?}: {example}", span.name));
            }
        }
        Ok(())
    }

    /// The outer result says that the request is broken, the inner that this span is.
    fn row(
        &mut self,
        span: &SpanRef<'a>,
        origin_count: usize,
    ) -> Result<Result<SpanRow<'a>, (&'static str, String)>, Rejection> {
        let attributes = self.attributes(span.attributes())?;
        let events_start = self.batch.events.len() as u32;
        let mut count = attributes.len().max(origin_count);
        let mut is_timely = true;
        for event in span.events() {
            let event = event?;
            let attributes = self.attributes(event.attributes())?;
            count = count.max(attributes.len());
            is_timely &= to_time(event.time_unix_nano).is_some();
            self.batch.events.push(EventRow {
                at: to_time(event.time_unix_nano).unwrap_or_default(),
                name: event.name,
                attributes,
                dropped_attributes_count: event.dropped_attributes_count,
            });
        }
        let links_start = self.batch.links.len() as u32;
        for link in span.links() {
            let link = link?;
            let attributes = self.attributes(link.attributes())?;
            count = count.max(attributes.len());
            // A link to an invalid span says nothing: it is kept as zeros, as the SDKs do.
            self.batch.links.push(LinkRow {
                trace_id: to_trace_id(link.trace_id).unwrap_or_default(),
                span_id: to_span_id(link.span_id).unwrap_or_default(),
                trace_state: link.trace_state,
                flags: link.flags,
                attributes,
                dropped_attributes_count: link.dropped_attributes_count,
            });
        }
        let refuse = |reason, example| Ok(Err((reason, example)));
        let Some(trace_id) = to_trace_id(span.trace_id) else {
            return refuse(
                "invalid_trace_id",
                format!("trace id {:?} is not 16 bytes other than zero", to_hex(span.trace_id)),
            );
        };
        let Some(span_id) = to_span_id(span.span_id) else {
            return refuse(
                "invalid_span_id",
                format!("span id {:?} is not 8 bytes other than zero", to_hex(span.span_id)),
            );
        };
        let parent_span_id = match span.parent_span_id.len() {
            0 => SpanId::default(),
            8 => to_span_id(span.parent_span_id).unwrap_or_default(),
            length => {
                let example = format!("parent span id has {length} bytes, 8 or none are valid");
                return refuse("invalid_span_id", example);
            }
        };
        if count > self.limits.attributes_max {
            let example = too_many_attributes(
                "the span, or an event, link, scope or resource of it,",
                count,
                self.limits.attributes_max,
            );
            return refuse("too_many_attributes", example);
        }
        let times = (to_time(span.start_time_unix_nano), to_time(span.end_time_unix_nano));
        let ((Some(start), Some(end)), true) = (times, is_timely) else {
            let example = "a time is beyond the year 2262 (or negative)".to_owned();
            return refuse("timestamp_out_of_range", example);
        };
        if start < self.accepted_starts.start {
            return refuse("too_old", format!("its start {start} is older than what is kept"));
        }
        if start >= self.accepted_starts.end {
            let example = format!("its start {start} is too far in the future");
            return refuse("too_far_in_future", example);
        }
        Ok(Ok(SpanRow {
            resource: self.batch.resources.len() as u32 - 1,
            scope: self.batch.scopes.len() as u32 - 1,
            trace_id,
            span_id,
            parent_span_id,
            trace_state: span.trace_state,
            flags: span.flags,
            name: span.name,
            kind: SpanKind::from_otlp(span.kind),
            start,
            end,
            attributes,
            dropped_attributes_count: span.dropped_attributes_count,
            events: events_start..self.batch.events.len() as u32,
            dropped_events_count: span.dropped_events_count,
            links: links_start..self.batch.links.len() as u32,
            dropped_links_count: span.dropped_links_count,
            status: StatusCode::from_otlp(span.status_code),
            status_message: span.status_message,
        }))
    }
}
