//! Log records: OTLP to [`LogBatch`], mapped as Loki maps `POST /otlp/v1/logs`, so that LogQL and
//! Grafana's Logs Drilldown find what they expect.

use std::borrow::Cow;

use model::TimestampNs;
use model::labels::Labels;
use model::log::{LEVEL, Origin};
use model::write::{LogBatch, LogEntry, LogField, LogGroup, WriteOutcome};
use proto::otlp::{Attributes, LogRecordRef, LogsRef, ResourceRef, ScopeRef, ValueRef};

use crate::limits::Limits;
use crate::log_record::{SERVICE_NAME, cut, discover_service, level};
use crate::otlp::fields::{to_field_name, to_hex, to_text, to_time, too_many_attributes};
use crate::rejection::Rejection;

/// Resource attributes that become stream labels: Loki's default list
/// (docs/configuration, `distributor.otlp.default_resource_attributes_as_index_labels`).
const STREAM_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// Walks a whole request. Records that can not be kept are refused in the outcome.
pub(crate) fn map<'a>(
    request: LogsRef<'a>,
    limits: &Limits,
    now: TimestampNs,
) -> Result<(LogBatch<'a>, WriteOutcome), Rejection> {
    let mut mapper = Mapper {
        batch: LogBatch::default(),
        outcome: WriteOutcome::default(),
        limits,
        now,
        rows_bytes: 0,
    };
    for resource_logs in request.resource_logs() {
        let resource_logs = resource_logs?;
        let shared_start = mapper.batch.fields.len();
        let (stream, resource_count) = mapper.resource(resource_logs.resource)?;
        let resource_fields = mapper.batch.fields[shared_start..].to_vec();
        for (i, scope_logs) in resource_logs.scope_logs().enumerate() {
            let scope_logs = scope_logs?;
            // The first scope extends the resource's fields, a later one needs them again: the
            // fields of a group are one range.
            let start = if i == 0 { shared_start } else { mapper.batch.fields.len() };
            if i > 0 {
                let bytes =
                    resource_fields.iter().map(|f| f.name.len() + f.value.len() + FIELD_BYTES);
                mapper.add_bytes(bytes.sum())?;
                mapper.batch.fields.extend_from_slice(&resource_fields);
            }
            let scope_count = mapper.scope(scope_logs.scope)?;
            let shared = start as u32..mapper.batch.fields.len() as u32;
            let records_start = mapper.batch.records.len() as u32;
            let origin_count = resource_count.max(scope_count);
            for record in scope_logs.log_records() {
                mapper.record(record?, origin_count)?;
            }
            let records = records_start..mapper.batch.records.len() as u32;
            if !records.is_empty() {
                mapper.batch.groups.push(LogGroup { stream: stream.clone(), shared, records });
            }
        }
    }
    Ok((mapper.batch, mapper.outcome))
}

struct Mapper<'a, 'l> {
    batch: LogBatch<'a>,
    outcome: WriteOutcome,
    limits: &'l Limits,
    now: TimestampNs,
    /// Memory of the rows so far, and of what a store writes for them.
    rows_bytes: usize,
}

/// The memory of a field and of a record, without their text.
const FIELD_BYTES: usize = size_of::<LogField<'_>>();
const RECORD_BYTES: usize = size_of::<LogEntry<'_>>() + FIELD_BYTES;

impl<'a> Mapper<'a, '_> {
    /// Counts memory; a request that takes too much is refused whole.
    fn add_bytes(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.rows_bytes = self.rows_bytes.saturating_add(bytes);
        match self.limits.rows_bytes_max() {
            limit if self.rows_bytes > limit => Err(Rejection::too_many_rows(limit)),
            _ => Ok(()),
        }
    }

    /// Adds the fields of a resource; answers its stream and how many attributes it has.
    fn resource(&mut self, resource: ResourceRef<'a>) -> Result<(Labels, usize), Rejection> {
        let mut labels: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        let mut count = 0;
        let fields_start = self.batch.fields.len();
        for attribute in resource.attributes() {
            let attribute = attribute?;
            count += 1;
            if STREAM_ATTRIBUTES.contains(&attribute.key) {
                labels.push((to_field_name(attribute.key), to_text(attribute.value)?));
            } else {
                self.field(to_field_name(attribute.key), attribute.value, Origin::Resource)?;
            }
        }
        if !labels.iter().any(|(name, value)| name == SERVICE_NAME && !value.is_empty()) {
            let fields = &self.batch.fields[fields_start..];
            let name = discover_service(|wanted| {
                let label = labels.iter().find(|(name, _)| name == wanted);
                let value = label.map(|(_, value)| value.clone());
                let field = || fields.iter().find(|field| field.name == *wanted);
                value.or_else(|| field().map(|field| field.value.clone()))
            });
            labels.push((Cow::Borrowed(SERVICE_NAME), name));
        }
        Ok((Labels::from_pairs(labels), count))
    }

    fn scope(&mut self, scope: ScopeRef<'a>) -> Result<usize, Rejection> {
        let count = self.attributes(scope.attributes(), Origin::Scope)?;
        self.text("scope_name", scope.name, Origin::Scope);
        self.text("scope_version", scope.version, Origin::Scope);
        if scope.dropped_attributes_count > 0 {
            let dropped = scope.dropped_attributes_count.to_string();
            self.owned("scope_dropped_attributes_count", dropped, Origin::Scope);
        }
        Ok(count)
    }

    fn record(&mut self, record: LogRecordRef<'a>, origin_count: usize) -> Result<(), Rejection> {
        self.add_bytes(RECORD_BYTES)?;
        let start = self.batch.fields.len();
        let count = self.attributes(record.attributes(), Origin::Record)?.max(origin_count);
        let refuse = |mapper: &mut Self, reason, example: &dyn Fn() -> String| {
            mapper.batch.fields.truncate(start);
            mapper.outcome.refuse(reason, example);
        };
        if count > self.limits.attributes_max {
            let limit = self.limits.attributes_max;
            let example = || too_many_attributes("the record, its scope or resource", count, limit);
            refuse(self, "too_many_attributes", &example);
            return Ok(());
        }
        let time = match (record.time_unix_nano, record.observed_time_unix_nano) {
            (0, 0) => Some(self.now),
            (0, observed) => to_time(observed),
            (time, _) => to_time(time),
        };
        let Some(at) = time else {
            let example = || "the record's time is beyond the year 2262 (or negative)".to_owned();
            refuse(self, "timestamp_out_of_range", &example);
            return Ok(());
        };
        let mut line = match record.body {
            Some(body) => to_text(body)?,
            None => Cow::Borrowed(""),
        };
        if record.time_unix_nano != 0 && record.observed_time_unix_nano != 0 {
            let observed = record.observed_time_unix_nano.to_string();
            self.owned("observed_timestamp", observed, Origin::Record);
        }
        if record.severity_number != 0 {
            let number = severity_number_text(record.severity_number);
            self.batch.fields.push(field("severity_number", number, Origin::Record));
        }
        self.text("severity_text", record.severity_text, Origin::Record);
        if record.dropped_attributes_count > 0 {
            let dropped = record.dropped_attributes_count.to_string();
            self.owned("dropped_attributes_count", dropped, Origin::Record);
        }
        if record.flags != 0 {
            self.owned("flags", record.flags.to_string(), Origin::Record);
        }
        if !record.trace_id.is_empty() {
            self.owned("trace_id", to_hex(record.trace_id), Origin::Record);
        }
        if !record.span_id.is_empty() {
            self.owned("span_id", to_hex(record.span_id), Origin::Record);
        }
        self.text("event_name", record.event_name, Origin::Record);
        let number = record.severity_number;
        let level = level::detect(&self.batch.fields[start..], &Labels::empty(), number, &line);
        self.text(LEVEL, level, Origin::Derived);
        if let Some(length) = cut(&mut line, self.limits.log_line_bytes_max) {
            self.batch.fields.push(length);
            self.outcome.cut += 1;
        }
        let fields = start as u32..self.batch.fields.len() as u32;
        self.batch.records.push(LogEntry { at, line, fields });
        Ok(())
    }

    fn attributes(
        &mut self,
        attributes: Attributes<'a>,
        origin: Origin,
    ) -> Result<usize, Rejection> {
        let mut count = 0;
        for attribute in attributes {
            let attribute = attribute?;
            count += 1;
            self.field(to_field_name(attribute.key), attribute.value, origin)?;
        }
        Ok(count)
    }

    /// Adds a field; a map becomes one field for each leaf, with `_` between the names.
    fn field(
        &mut self,
        name: Cow<'a, str>,
        value: ValueRef<'a>,
        origin: Origin,
    ) -> Result<(), Rejection> {
        if let ValueRef::Map(map) = value {
            for entry in map.entries() {
                let entry = entry?;
                let name = format!("{name}_{}", to_field_name(entry.key));
                self.field(Cow::Owned(name), entry.value, origin)?;
            }
            return Ok(());
        }
        let value = to_text(value)?;
        self.add_bytes(FIELD_BYTES + name.len() + value.len())?;
        self.batch.fields.push(LogField { name, value, origin });
        Ok(())
    }

    /// Adds a field unless its value is empty.
    fn text(&mut self, name: &'static str, value: &'a str, origin: Origin) {
        if !value.is_empty() {
            self.batch.fields.push(field(name, Cow::Borrowed(value), origin));
        }
    }

    fn owned(&mut self, name: &'static str, value: String, origin: Origin) {
        self.batch.fields.push(field(name, Cow::Owned(value), origin));
    }
}

fn field<'a>(name: &'static str, value: Cow<'a, str>, origin: Origin) -> LogField<'a> {
    LogField { name: Cow::Borrowed(name), value, origin }
}

/// The usual numbers need no allocation.
fn severity_number_text(number: i32) -> Cow<'static, str> {
    const TEXTS: [&str; 25] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23", "24",
    ];
    match usize::try_from(number).ok().and_then(|i| TEXTS.get(i)) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(number.to_string()),
    }
}
