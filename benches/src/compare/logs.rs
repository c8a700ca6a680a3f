//! Log stores side by side: the same records over OTLP, then the same questions in the language of
//! each. Answers that are counts must be equal.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use proto::Signal;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value as AnyValue;
use serde_json::Value;

use super::disk::Kind;
use super::meter::Meter;
use super::query::percent_encode;
use super::replay::{Body, deal, replay};
use super::store::{Running, Store};
use super::table::Run;
use super::workloads::{Bench, CONNECTIONS, MIB, note, now_ms, tell_machine};
use crate::corpora::{Corpus, Options};
use crate::process::Memory;
use crate::sender::{Compression, Connection};

/// Records in a request.
const RECORDS: usize = 2_000;
/// All records are in the hours before the end.
const HOURS: i64 = 2;
/// A question that took this long in all is not asked again.
const ENOUGH: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One number.
    Count,
    /// Numbers by minute.
    ByMinute,
    /// The newest hundred lines.
    Newest,
}

/// A question in both languages: a selection, and what is counted by.
struct Question {
    name: &'static str,
    form: Form,
    /// Line filters of LogQL behind the selector.
    logql: String,
    /// The selector, if not all streams.
    selector: String,
    /// Labels to count by in LogQL.
    by: &'static str,
    /// A filter of LogsQL.
    logsql: String,
    /// Fields to count by in LogsQL.
    logsql_by: &'static str,
    times: u32,
}

const ALL: &str = r#"{service_name=~".+"}"#;

/// Ids that are in some line.
struct Needles {
    trace_id: String,
    service: String,
}

impl Needles {
    fn of(request: &[u8]) -> anyhow::Result<Self> {
        let request = ExportLogsServiceRequest::decode(request).context("decode a request")?;
        for resource_logs in request.resource_logs {
            let resource = resource_logs.resource.clone().unwrap_or_default();
            let service = resource.attributes.into_iter().find_map(|attribute| {
                let value = attribute.value?.value?;
                match value {
                    AnyValue::StringValue(text) if attribute.key == "service.name" => Some(text),
                    _ => None,
                }
            });
            let records = resource_logs.scope_logs.into_iter().flat_map(|logs| logs.log_records);
            for record in records {
                let Some(AnyValue::StringValue(line)) = record.body.and_then(|body| body.value)
                else {
                    continue;
                };
                if let (Some((_, id)), Some(service)) = (line.split_once("trace_id="), &service) {
                    let trace_id = id.chars().take(32).collect();
                    return Ok(Needles { trace_id, service: service.clone() });
                }
            }
        }
        anyhow::bail!("no line has a trace id")
    }
}

fn questions(needles: &Needles) -> Vec<Question> {
    let contains = |name, text: &str, times| Question {
        name,
        form: Form::Count,
        logql: format!("|= `{text}`"),
        selector: ALL.to_owned(),
        by: "",
        logsql: format!("~{text:?}"),
        logsql_by: "",
        times,
    };
    let by_minute = |name, logql: &str, by, logsql: &str, logsql_by| Question {
        name,
        form: Form::ByMinute,
        logql: logql.to_owned(),
        selector: ALL.to_owned(),
        by,
        logsql: logsql.to_owned(),
        logsql_by,
        times: 10,
    };
    let id = &needles.trace_id;
    let mut questions = vec![
        contains("absent literal", "zqxjkvw", 20),
        contains("rare literal: a whole id", id, 20),
        contains("infix of an id", &id[9..21], 10),
        contains("substring of static text", "checked o", 10),
        contains("substring across text and number", "order 42", 10),
    ];
    questions.push(Question {
        logql: "|~ `Retrying call to \\w+ .attempt [34]`".to_owned(),
        logsql: "~\"Retrying call to \\\\w+ .attempt [34]\"".to_owned(),
        ..contains("regex with a literal", "", 6)
    });
    questions.extend([
        by_minute("count by level", "", "detected_level", "*", "severity"),
        by_minute("count by service", "", "service_name", "*", "\"service.name\""),
        by_minute("lines with a word by minute", "|= `inventory`", "", "~\"inventory\"", ""),
    ]);
    questions.push(Question {
        form: Form::Newest,
        ..contains("newest 100 lines with a word", "inventory", 10)
    });
    let service = &needles.service;
    questions.push(Question {
        form: Form::Newest,
        logql: String::new(),
        selector: format!("{{service_name={service:?}}}"),
        logsql: format!("{{\"service.name\"={service:?}}}"),
        ..contains("newest 100 lines of a service", "", 10)
    });
    questions
}

impl Question {
    fn path(&self, store: Store, end_ms: i64) -> String {
        let start_ms = end_ms - HOURS * 3_600_000;
        match store {
            Store::VictoriaLogs => self.logsql_path(start_ms, end_ms),
            _ => self.logql_path(start_ms, end_ms),
        }
    }

    fn logql_path(&self, start_ms: i64, end_ms: i64) -> String {
        let Question { selector, logql, by, .. } = self;
        let by = if by.is_empty() { String::new() } else { format!(" by ({by})") };
        let range = format!("start={start_ms}000000&end={end_ms}000000");
        match self.form {
            Form::Count => {
                let query = format!("sum{by} (count_over_time({selector} {logql} [{HOURS}h]))");
                let query = percent_encode(&query);
                format!("/loki/api/v1/query?query={query}&time={end_ms}000000")
            }
            Form::ByMinute => {
                let query =
                    percent_encode(&format!("sum{by} (count_over_time({selector} {logql} [1m]))"));
                format!("/loki/api/v1/query_range?query={query}&{range}&step=60")
            }
            Form::Newest => {
                let query = percent_encode(&format!("{selector} {logql}"));
                format!("/loki/api/v1/query_range?query={query}&{range}&limit=100")
            }
        }
    }

    fn logsql_path(&self, start_ms: i64, end_ms: i64) -> String {
        let Question { logsql, logsql_by: by, .. } = self;
        let by = if by.is_empty() { String::new() } else { format!(" by ({by})") };
        let range = format!("start={start_ms}&end={end_ms}");
        match self.form {
            Form::Count => {
                let query = percent_encode(&format!("{logsql} | stats{by} count() n"));
                format!("/select/logsql/query?query={query}&{range}")
            }
            Form::ByMinute => {
                let query = percent_encode(&format!("{logsql} | stats{by} count() n"));
                format!("/select/logsql/stats_query_range?query={query}&{range}&step=1m")
            }
            Form::Newest => {
                let query = percent_encode(&format!("{logsql} | sort by (_time desc) limit 100"));
                format!("/select/logsql/query?query={query}&{range}")
            }
        }
    }

    /// What an answer says as one number: the count, the sum of all counts, or the lines.
    fn read(&self, store: Store, body: &[u8]) -> anyhow::Result<f64> {
        let text = std::str::from_utf8(body).context("the answer is not text")?;
        if store == Store::VictoriaLogs && self.form != Form::ByMinute {
            let lines = text.lines().map(serde_json::from_str::<Value>);
            let lines = lines.collect::<Result<Vec<_>, _>>().context("lines of JSON")?;
            return match self.form {
                Form::Count => lines.iter().map(|line| number(&line["n"])).sum(),
                _ => Ok(lines.len() as f64),
            };
        }
        let answer: Value = serde_json::from_str(text).context("the answer is not JSON")?;
        let result = answer["data"]["result"].as_array().context("no result")?;
        let mut sum = 0.0;
        for series in result {
            match self.form {
                Form::Count => sum += number(&series["value"][1])?,
                Form::ByMinute => {
                    for point in series["values"].as_array().into_iter().flatten() {
                        sum += number(&point[1])?;
                    }
                }
                Form::Newest => sum += series["values"].as_array().map_or(0, Vec::len) as f64,
            }
        }
        Ok(sum)
    }
}

fn number(value: &Value) -> anyhow::Result<f64> {
    let text = value.as_str().context("a number is a text")?;
    text.parse().with_context(|| format!("{text:?} is no number"))
}

impl Bench {
    /// Records over OTLP with gzip, then questions.
    pub(super) async fn logs(&self, records: usize) -> anyhow::Result<Vec<Run>> {
        let requests = records.div_ceil(RECORDS).max(1);
        let mut options = Options { seed: self.seed, requests, ..Options::default() };
        options.records_per_request = RECORDS;
        let span_ms = options.span_ns(Signal::Logs) / 1_000_000;
        let end_ms = now_ms() / 60_000 * 60_000;
        options.start = model::TimestampMs(end_ms - span_ms - 1_000).to_ns();
        let corpus = Corpus::generate(Signal::Logs, &options);
        let middle = corpus.requests.get(corpus.requests.len() / 2).context("no request")?;
        let questions = questions(&Needles::of(&middle.bytes)?);
        let mut bodies = Vec::new();
        for request in corpus.requests {
            let bytes = Compression::Gzip.compress(request.bytes)?.into();
            bodies.push((request.lane, Body { bytes, samples: request.items }));
        }
        let lanes = deal(bodies, CONNECTIONS);
        let case = format!("logs, {} records", requests * RECORDS);
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            let meter = Meter::start(running.process())?;
            let outcome = replay(running.otlp_logs(), &lanes).await?;
            running.ensure_alive()?;
            let send = meter.read()?;
            running.settle().await?;
            running.merge_logs().await?;
            running.settle().await?;
            let total = meter.read()?;
            note(run, &outcome);
            tell_machine(run, &total, "");
            let records = outcome.samples as f64;
            run.compare("records / CPU s, sending", Some(records / send.cpu_seconds), 0);
            run.compare("records / CPU s, merged", Some(records / total.cpu_seconds), 0);
            let memory = running.process().memory()?;
            run.compare("peak RSS MiB", Some(memory.peak_bytes as f64 / MIB), 0);
            let stored = running.stored()?.bytes(|kind| kind == Kind::Block) as f64;
            // Loki may have written nothing out by now, whatever it answered to the order to flush.
            let each = Some(stored / records).filter(|bytes| *bytes >= 1.0);
            run.compare("stored, B / record", each, 1);
            let folder = running.whole_folder_bytes()? as f64;
            run.compare("whole folder, B / record", Some(folder / records), 1);
            for question in &questions {
                if let Err(error) = ask(running, run, question, end_ms).await {
                    run.complain(format_args!("{}: {error:#}", question.name));
                }
            }
            Ok(())
        };
        self.each(&case, self.log_stores(), work).await
    }
}

/// Asks until the answer is warm, then as often as the question says.
async fn ask(
    running: &Running,
    run: &mut Run,
    question: &Question,
    end_ms: i64,
) -> anyhow::Result<()> {
    let mut connection = running.connect().await?;
    let path = question.path(running.store, end_ms);
    let answer = get(&mut connection, &path).await?;
    let found = question.read(running.store, &answer)?;
    running.process().wait_until_idle(Duration::from_secs(30)).await?;
    let meter = Meter::start(running.process())?;
    let mut times = 0;
    while times < question.times && meter.read()?.wall < ENOUGH {
        get(&mut connection, &path).await?;
        times += 1;
    }
    let (cost, times, name) = (meter.read()?, f64::from(times), question.name);
    run.compare(format!("{name}: CPU ms"), Some(cost.cpu_seconds / times * 1e3), 1);
    run.compare(format!("{name}: wall ms"), Some(cost.wall.as_secs_f64() / times * 1e3), 1);
    run.tell(format!("{name}: found"), Some(found), 0);
    Ok(())
}

async fn get(connection: &mut Connection, path: &str) -> anyhow::Result<bytes::Bytes> {
    let (status, body) = connection.get_up_to(path, ANSWER_BYTES_MAX).await?;
    ensure!(status == 200, "HTTP {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_languages_are_read_as_one_number() {
        let needles = Needles { trace_id: "0123456789abcdef".repeat(2), service: "cart".into() };
        let questions = questions(&needles);
        let of = |form| questions.iter().find(|question| question.form == form).unwrap();
        let count = br#"{"data":{"result":[{"value":[1,"5"]},{"value":[1,"2"]}]}}"#;
        assert_eq!(of(Form::Count).read(Store::Ours, count).unwrap(), 7.0);
        let lines = b"{\"n\":\"5\"}\n{\"n\":\"2\"}\n";
        assert_eq!(of(Form::Count).read(Store::VictoriaLogs, lines).unwrap(), 7.0);
        assert_eq!(of(Form::Newest).read(Store::VictoriaLogs, lines).unwrap(), 2.0);
        let range = br#"{"data":{"result":[{"values":[[1,"5"],[2,"4"]]}]}}"#;
        for store in [Store::Ours, Store::VictoriaLogs] {
            assert_eq!(of(Form::ByMinute).read(store, range).unwrap(), 9.0);
        }
        assert!(of(Form::Count).read(Store::Ours, b"{}").is_err());
    }
}
