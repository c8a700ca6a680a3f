//! The fleet of the OTLP corpus as remote write, under the names that Prometheus gives its series.
//!
//! The same points at the same times as over OTLP; a series carries job and instance of the
//! resource and nothing else of it, which is what Prometheus keeps without promotion.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::KeyValue;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::metrics::v1::metric::Data;
use proto::generated::opentelemetry::proto::metrics::v1::number_data_point::Value as Number;
use proto::generated::opentelemetry::proto::metrics::v1::{
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
};

use super::remote_write::{EncodedLabels, Encoder};
use super::replay::Body;

/// Translates requests; labels of a pod are made when it is first seen.
#[derive(Debug, Default)]
pub(super) struct Translator {
    /// The series of each pod by its instance, in the order of its report.
    pods: HashMap<String, Vec<EncodedLabels>>,
    encoder: Encoder,
}

impl Translator {
    /// The same points as remote write.
    ///
    /// # Errors
    ///
    /// When the request is not OTLP, or holds what the corpus never has.
    pub(super) fn translate(&mut self, request: &[u8]) -> anyhow::Result<Body> {
        let request = ExportMetricsServiceRequest::decode(request).context("read a request")?;
        for pod in &request.resource_metrics {
            let resource = pod.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            let instance = attribute(resource, "service.instance.id");
            if !self.pods.contains_key(&instance) {
                let job =
                    [attribute(resource, "service.namespace"), attribute(resource, "service.name")];
                let series = series_of_pod(pod, &job.join("/"), &instance);
                self.pods.insert(instance.clone(), series);
            }
            let series = self.pods.get(&instance).context("the series of a pod")?;
            let mut series = series.iter();
            for metric in pod.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                add_metric(&mut self.encoder, &mut series, metric)?;
            }
            ensure!(series.next().is_none(), "pod {instance} reports fewer points than before");
        }
        let (bytes, samples) = self.encoder.finish()?;
        Ok(Body { bytes, samples })
    }
}

fn add_metric<'a>(
    encoder: &mut Encoder,
    series: &mut impl Iterator<Item = &'a EncodedLabels>,
    metric: &Metric,
) -> anyhow::Result<()> {
    let mut add = |value, at_ms| -> anyhow::Result<()> {
        let labels = series.next().context("a pod reports more points than before")?;
        encoder.add(labels, value, at_ms);
        Ok(())
    };
    for point in numbers(metric) {
        let value = match point.value {
            Some(Number::AsInt(value)) => value as f64,
            Some(Number::AsDouble(value)) => value,
            None => f64::NAN,
        };
        add(value, to_ms(point.time_unix_nano))?;
    }
    for point in histograms(metric) {
        let at_ms = to_ms(point.time_unix_nano);
        let mut count = 0;
        for in_bucket in &point.bucket_counts {
            count += in_bucket;
            add(count as f64, at_ms)?;
        }
        add(point.sum.unwrap_or(0.0), at_ms)?;
        add(point.count as f64, at_ms)?;
    }
    Ok(())
}

fn series_of_pod(pod: &ResourceMetrics, job: &str, instance: &str) -> Vec<EncodedLabels> {
    let mut series = Vec::new();
    for metric in pod.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
        let name = name_of(metric);
        let mut push = |suffix: &str, attributes: &[KeyValue], bound: Option<&str>| {
            let name = format!("{name}{suffix}");
            let own: Vec<_> = attributes
                .iter()
                .map(|pair| (translate_name(&pair.key), attribute(attributes, &pair.key)))
                .collect();
            let mut labels: Vec<_> =
                own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            labels.extend([("__name__", name.as_str()), ("job", job), ("instance", instance)]);
            labels.extend(bound.map(|bound| ("le", bound)));
            series.push(EncodedLabels::new(labels));
        };
        numbers(metric).iter().for_each(|point| push("", &point.attributes, None));
        for point in histograms(metric) {
            for bound in &point.explicit_bounds {
                push("_bucket", &point.attributes, Some(&bound.to_string()));
            }
            push("_bucket", &point.attributes, Some("+Inf"));
            push("_sum", &point.attributes, None);
            push("_count", &point.attributes, None);
        }
    }
    series
}

/// Name, unit and type as Prometheus' translation puts them together; only the units of the corpus.
fn name_of(metric: &Metric) -> String {
    let mut name = translate_name(&metric.name);
    let unit = match metric.unit.as_str() {
        "s" => "_seconds",
        "By" => "_bytes",
        "1" if matches!(metric.data, Some(Data::Gauge(_))) => "_ratio",
        _ => "",
    };
    name.push_str(unit);
    if matches!(&metric.data, Some(Data::Sum(sum)) if sum.is_monotonic) {
        name.push_str("_total");
    }
    name
}

fn translate_name(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

fn numbers(metric: &Metric) -> &[NumberDataPoint] {
    match &metric.data {
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        Some(Data::Sum(sum)) => &sum.data_points,
        _ => &[],
    }
}

fn histograms(metric: &Metric) -> &[HistogramDataPoint] {
    match &metric.data {
        Some(Data::Histogram(histogram)) => &histogram.data_points,
        _ => &[],
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|pair| pair.key == key);
    match value.and_then(|pair| pair.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn to_ms(ns: u64) -> i64 {
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proto::Signal;

    use super::*;
    use crate::corpora::{Corpus, Options};

    #[test]
    fn a_request_becomes_as_many_samples_as_it_counts() {
        let options =
            Options { pods: 8, requests: 6, points_per_request: 256, ..Options::default() };
        let corpus = Corpus::generate(Signal::Metrics, &options);
        let mut translator = Translator::default();
        for request in &corpus.requests {
            let body = translator.translate(&request.bytes).unwrap();
            assert_eq!(body.samples, request.samples);
        }
        // One pod of eight is another one from the middle on.
        assert_eq!(translator.pods.len(), 9);
        assert!(translator.pods.values().all(|series| series.len() == 224));
    }

    #[test]
    fn names_are_those_of_prometheus() {
        let named = |name: &str, unit: &str, data| {
            name_of(&Metric {
                name: name.to_owned(),
                unit: unit.to_owned(),
                data: Some(data),
                ..Metric::default()
            })
        };
        let sum = |is_monotonic| Data::Sum(proto_sum(is_monotonic));
        assert_eq!(named("process.cpu.time", "s", sum(true)), "process_cpu_time_seconds_total");
        assert_eq!(named("jvm.memory.used", "By", sum(false)), "jvm_memory_used_bytes");
        let gauge = Data::Gauge(Default::default());
        assert_eq!(named("jvm.utilization", "1", gauge), "jvm_utilization_ratio");
        assert_eq!(named("shop.orders", "{order}", sum(true)), "shop_orders_total");
    }

    fn proto_sum(is_monotonic: bool) -> proto::generated::opentelemetry::proto::metrics::v1::Sum {
        proto::generated::opentelemetry::proto::metrics::v1::Sum {
            is_monotonic,
            ..Default::default()
        }
    }
}
