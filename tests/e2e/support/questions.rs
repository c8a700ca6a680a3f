//! Questions to a server in the three languages, and answers as plain data.

use std::collections::BTreeMap;

use prost::Message;
use proto::generated::tempopb::TraceByIdResponse;
use serde_json::Value;

use super::otlp::Span;
use super::server::Server;

/// Names and values of labels.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// A series with its value at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: LabelMap,
    pub(crate) value: f64,
}

/// A log line with the labels of its stream, structured metadata included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) labels: LabelMap,
    pub(crate) at_ns: u64,
    pub(crate) text: String,
}

/// Lines of one answer; the server's default limit is no less.
const LINES_PER_PAGE: usize = 5000;

fn to_labels(value: &Value) -> LabelMap {
    serde_json::from_value(value.clone()).unwrap()
}

fn to_number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

impl Server {
    /// The `data.result` of a PromQL query at a time, or the present.
    async fn promql_result(&self, query: &str, at_s: Option<f64>) -> Vec<Value> {
        let time = at_s.map(|at| at.to_string());
        let mut parameters = vec![("query", query)];
        parameters.extend(time.as_deref().map(|time| ("time", time)));
        let answer = self.ask("/prometheus/api/v1/query", &parameters).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].as_array().unwrap().clone()
    }

    /// A PromQL vector at a time, or the present.
    pub(crate) async fn promql(&self, query: &str, at_s: Option<f64>) -> Vec<Sample> {
        let to_sample = |result: &Value| Sample {
            labels: to_labels(&result["metric"]),
            value: to_number(&result["value"][1]),
        };
        self.promql_result(query, at_s).await.iter().map(to_sample).collect()
    }

    /// The one number that a PromQL query answers; nothing if there is no series.
    pub(crate) async fn number(&self, query: &str) -> Option<f64> {
        let samples = self.promql(query, None).await;
        assert!(samples.len() <= 1, "{query}: {samples:?}");
        samples.first().map(|sample| sample.value)
    }

    /// All points of a range selector: labels, then times in milliseconds with values.
    pub(crate) async fn points(
        &self,
        selector: &str,
        at_s: f64,
    ) -> Vec<(LabelMap, Vec<(u64, f64)>)> {
        let to_point = |point: &Value| {
            let at_ms = (point[0].as_f64().unwrap() * 1000.0).round() as u64;
            (at_ms, to_number(&point[1]))
        };
        let to_series = |result: &Value| {
            let points = result["values"].as_array().unwrap().iter().map(to_point).collect();
            (to_labels(&result["metric"]), points)
        };
        self.promql_result(selector, Some(at_s)).await.iter().map(to_series).collect()
    }

    /// All lines of a LogQL selector in `[start_ns, end_ns)`, oldest first, however many pages.
    pub(crate) async fn lines(&self, query: &str, start_ns: u64, end_ns: u64) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut start_ns = start_ns;
        loop {
            let page = self.page_of_lines(query, start_ns, end_ns).await;
            let Some(last) = page.last() else { return lines };
            if page.len() < LINES_PER_PAGE {
                lines.extend(page);
                return lines;
            }
            // Lines of the last instant may go on on the next page, which begins with them.
            start_ns = last.at_ns;
            let kept = page.partition_point(|line| line.at_ns < start_ns);
            assert!(kept > 0, "more than a page of lines at {start_ns}");
            lines.extend(page.into_iter().take(kept));
        }
    }

    async fn page_of_lines(&self, query: &str, start_ns: u64, end_ns: u64) -> Vec<Line> {
        let (start, end) = (start_ns.to_string(), end_ns.to_string());
        let limit = LINES_PER_PAGE.to_string();
        let parameters = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("limit", &limit),
            ("direction", "forward"),
        ];
        let answer = self.ask("/loki/api/v1/query_range", &parameters).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let mut lines = Vec::new();
        for stream in answer.json()["data"]["result"].as_array().unwrap() {
            let labels = to_labels(&stream["stream"]);
            for value in stream["values"].as_array().unwrap() {
                lines.push(Line {
                    labels: labels.clone(),
                    at_ns: value[0].as_str().unwrap().parse().unwrap(),
                    text: value[1].as_str().unwrap().to_owned(),
                });
            }
        }
        lines.sort_by_key(|line| line.at_ns);
        lines
    }

    /// The spans of a trace with their services, as Grafana fetches them; none if it is unknown.
    pub(crate) async fn trace(&self, trace_id: u128) -> Vec<(String, Span)> {
        let url = format!("http://{}/tempo/api/v2/traces/{trace_id:032x}", self.addresses.query);
        let request = super::client().get(url).header("accept", "application/protobuf");
        let answer = super::Answer::of(request.send().await.unwrap()).await.unwrap();
        if answer.status == 404 {
            assert!(!answer.text().contains("page not found"), "{}", answer.text());
            return Vec::new();
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/protobuf");
        let response = TraceByIdResponse::decode(&*answer.body).unwrap();
        let mut spans = Vec::new();
        for part in response.trace.unwrap_or_default().resource_spans {
            let attributes = part.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = service.and_then(|service| service.value.clone()?.value);
            let Some(super::otlp::Value::StringValue(service)) = service else {
                panic!("a resource without a service: {attributes:?}")
            };
            let of_scopes = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(of_scopes.map(|span| (service.clone(), span)));
        }
        spans
    }

    /// The ids of the traces that a TraceQL query finds, at most `limit`.
    pub(crate) async fn search(&self, query: &str, limit: usize) -> Vec<String> {
        let limit = limit.to_string();
        let answer = self.ask("/tempo/api/search", &[("q", query), ("limit", &limit)]).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let json = answer.json();
        let traces = json["traces"].as_array().cloned().unwrap_or_default();
        traces.iter().map(|trace| trace["traceID"].as_str().unwrap().to_owned()).collect()
    }

    /// The sum of a counter or gauge on `/metrics` over all label sets that contain `labels`, a
    /// piece such as `signal="traces"`.
    pub(crate) async fn own_metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let of_name = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (set, value) = rest.rsplit_once(' ')?;
            let is_meant = (set.is_empty() || set.starts_with('{'))
                && labels.iter().all(|label| set.contains(label));
            is_meant.then(|| value.parse::<f64>().unwrap())
        });
        of_name.sum()
    }
}
