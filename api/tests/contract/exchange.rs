//! What other servers read: remote read and federation.

use std::sync::Arc;

use api::ApiOptions;
use axum::body::Body;
use http::Request;
use model::{Labels, NativeHistogram};
use prost::Message;
use proto::exposition::MetricFamily;
use proto::remote_read::{
    Chunk, ChunkedReadResponse, LabelMatcher, Query, ReadRequest, ReadResponse, TimeSeries,
};
use query::promql::memory::MemorySeries;

use crate::fixture::{Fixture, NOW, Reply, Series, requests};

fn odd() -> Labels {
    Labels::from_pairs([("__name__", "odd.name"), ("http.route", "/a"), ("q", "a\"b\n")])
}

/// Times that jump about and values of all kinds.
fn samples() -> Vec<(i64, f64)> {
    let jumps = [0, 1, 15_000, 15_000, 15_003, 20_000, 1 << 17, 1 << 20, 1 << 40, 7];
    let values = [0.0, 1.0, 1.0, -2.5, 1e300, f64::NAN, f64::INFINITY, 0.1, 0.30000000000000004];
    let mut at = -(1 << 50);
    let mut found = Vec::new();
    for i in 0..300 {
        at += 1 + jumps[i % jumps.len()];
        found.push((at, values[i % values.len()] + (i / 90) as f64));
    }
    found
}

fn custom() -> NativeHistogram {
    NativeHistogram {
        schema: -53,
        count: 6.0,
        sum: 20.5,
        custom_bounds: vec![0.25, 5.0, 1e9],
        positive: vec![(0, 1.0), (1, 2.0), (3, 3.0)],
        ..Default::default()
    }
}

fn exponential(count: f64) -> NativeHistogram {
    NativeHistogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count,
        sum: 39.4,
        positive: vec![(0, 1.0), (1, 2.0), (3, count), (4, 1.0)],
        negative: vec![(-2, 1.0)],
        ..Default::default()
    }
}

fn fixture(external: &[(&str, &str)]) -> Fixture {
    let mut series = MemorySeries::new();
    for (at, value) in samples() {
        series.push(&Labels::from_pairs([("__name__", "jumps"), ("job", "a")]), at, 0, value);
    }
    let now = NOW * 1000;
    for i in 0..3 {
        series.push(&requests("200"), now - 15_000 * (2 - i), 0, 2_432_672.5 * i as f64);
    }
    series.push(&requests("500"), now - 299_999, 0, 981.0);
    series.push(&requests("too_old"), now - 300_001, 0, 981.0);
    series.push(&requests("gone"), now - 1000, 0, 1.0);
    series.push(&requests("gone"), now, 0, model::sample::stale_nan());
    series.push(&odd(), now, 0, 1e-7);
    for i in 0..4 {
        let at = now - 1000 * (3 - i);
        let native = Labels::from_pairs([("__name__", "native")]);
        // Grows, and is reset once.
        series.push_histogram(&native, at, exponential([5.0, 6.0, 1.0, 2.0][i as usize]));
        series.push_histogram(&Labels::from_pairs([("__name__", "nhcb")]), at, custom());
    }
    let pairs = external.iter().map(|(name, value)| (*name, *value));
    let options = ApiOptions { external_labels: Labels::from_pairs(pairs), ..Default::default() };
    Fixture::with(options, Arc::new(Series(series)))
}

async fn federate(fixture: &Fixture, query: &str, accept: &str) -> Reply {
    let query = query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
    let request = Request::get(format!("/federate?{query}")).header("accept", accept);
    fixture.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn federation_tells_the_newest_samples_by_metric() {
    let fixture = fixture(&[]);
    let reply = federate(&fixture, "match[]=http_requests_total&match[]={job=\"shop\"}", "").await;
    assert_eq!(
        reply.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    assert_eq!(
        reply.text(),
        "# TYPE http_requests_total untyped\n\
         http_requests_total{code=\"200\",job=\"shop\",instance=\"\"} 4.865345e+06 1700000000000\n\
         http_requests_total{code=\"500\",job=\"shop\",instance=\"\"} 981 1699999700001\n"
    );
    // No text can carry native histograms but those with bounds.
    let reply = federate(&fixture, "match[]=native&match[]=nhcb", "").await;
    assert_eq!(
        reply.text(),
        "# TYPE nhcb histogram\n\
         nhcb_bucket{instance=\"\",le=\"0.25\"} 1 1700000000000\n\
         nhcb_bucket{instance=\"\",le=\"5\"} 3 1700000000000\n\
         nhcb_bucket{instance=\"\",le=\"1e+09\"} 3 1700000000000\n\
         nhcb_bucket{instance=\"\",le=\"+Inf\"} 6 1700000000000\n\
         nhcb_sum{instance=\"\"} 20.5 1700000000000\n\
         nhcb_count{instance=\"\"} 6 1700000000000\n"
    );
    for (query, status, text) in [
        ("", 200, ""),
        ("match[]=absent", 200, ""),
        ("match[]=-not-a-valid-metric-name", 400, "1:1: parse error: unexpected <op:->\n"),
        ("match[]=up&match[]=up[5m]", 400, "1:3: parse error: unexpected \"[\"\n"),
    ] {
        let reply = federate(&fixture, query, "").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, text), "{query}");
    }
}

#[tokio::test]
async fn external_labels_are_added_where_they_are_missing() {
    let with_external = fixture(&[("zone", "ie"), ("job", "other"), ("instance", "box")]);
    let reply = federate(&with_external, "match[]=http_requests_total{code=\"500\"}", "").await;
    assert_eq!(
        reply.text(),
        "# TYPE http_requests_total untyped\n\
         http_requests_total{code=\"500\",job=\"shop\",instance=\"box\",zone=\"ie\"} 981 1699999700001\n"
    );
}

#[tokio::test]
async fn names_are_escaped_as_the_reader_can_read_them() {
    let fixture = fixture(&[]);
    let labels = |name: &str, route: &str| {
        format!(
            "# TYPE {name} untyped\n{name}{{{route}=\"/a\",q=\"a\\\"b\\n\",instance=\"\"}} 1e-07 1700000000000\n"
        )
    };
    let query = "match[]={\"odd.name\"}";
    for (escaping, text) in [
        ("underscores", labels("odd_name", "http_route")),
        ("dots", labels("odd_dot_name", "http_dot_route")),
        ("values", labels("U__odd_2e_name", "U__http_2e_route")),
        (
            "allow-utf-8",
            "# TYPE \"odd.name\" untyped\n{\"odd.name\",\"http.route\"=\"/a\",q=\"a\\\"b\\n\",instance=\"\"} 1e-07 1700000000000\n"
                .to_owned(),
        ),
    ] {
        let accept = format!("text/plain;version=0.0.4;escaping={escaping}");
        let reply = federate(&fixture, query, &accept).await;
        assert_eq!(reply.text(), text, "{escaping}");
        let kind = format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
        assert_eq!(reply.headers["content-type"], kind);
    }
    // What Prometheus itself sends, and who reads nothing else.
    let scraper = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                   text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let reply = federate(&fixture, "match[]=absent", scraper).await;
    assert_eq!(
        reply.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
    );
    let open = "application/openmetrics-text;version=1.0.0";
    let reply = federate(&fixture, "match[]=http_requests_total{code=\"500\"}", open).await;
    assert_eq!(
        reply.text(),
        "# TYPE http_requests_total unknown\n\
         http_requests_total{code=\"500\",job=\"shop\",instance=\"\"} 981 1699999700.001\n# EOF\n"
    );
}

#[tokio::test]
async fn protobuf_carries_native_histograms() {
    let fixture = fixture(&[]);
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let reply = federate(&fixture, "match[]=native&match[]=http_requests_total", accept).await;
    let mut rest = reply.bytes.as_slice();
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    let names: Vec<_> = families.iter().map(|family| (family.name(), family.r#type())).collect();
    assert_eq!(names, [("http_requests_total", 3), ("native", 4)]);
    let histogram = families[1].metric[0].histogram.clone().unwrap();
    let spans = |spans: &[proto::exposition::BucketSpan]| -> Vec<_> {
        spans.iter().map(|span| (span.offset(), span.length())).collect()
    };
    assert_eq!((histogram.schema(), histogram.sample_count_float()), (1, 2.0));
    assert_eq!(spans(&histogram.positive_span), [(0, 2), (1, 2)]);
    assert_eq!(histogram.positive_count, [1.0, 2.0, 2.0, 1.0]);
    assert_eq!(spans(&histogram.negative_span), [(-2, 1)]);
}

fn read_request(matchers: &[(i32, &str, &str)], kinds: &[i32]) -> Vec<u8> {
    let matchers = matchers.iter().map(|(kind, name, value)| LabelMatcher {
        r#type: *kind,
        name: (*name).into(),
        value: (*value).into(),
    });
    let query = Query {
        start_timestamp_ms: -(1 << 60),
        end_timestamp_ms: NOW * 1000,
        matchers: matchers.collect(),
    };
    let request = ReadRequest {
        queries: vec![query.clone(), query],
        accepted_response_types: kinds.to_vec(),
    };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

async fn read(fixture: &Fixture, body: Vec<u8>) -> Reply {
    fixture.send(Request::post("/api/v1/read").body(Body::from(body)).unwrap()).await
}

fn names(series: &TimeSeries) -> Vec<(&str, &str)> {
    series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect()
}

#[tokio::test]
async fn remote_read_answers_samples_in_one_message() {
    let fixture = fixture(&[("zone", "ie")]);
    // The zone is ours, so that every series has it.
    let matchers = [(0, "zone", "ie"), (2, "__name__", "http_.*|native"), (1, "code", "500")];
    for kinds in [&[][..], &[0], &[7, 0, 1]] {
        let reply = read(&fixture, read_request(&matchers, kinds)).await;
        assert_eq!(reply.headers["content-type"], "application/x-protobuf");
        assert_eq!(reply.headers["content-encoding"], "snappy");
        let bytes = snap::raw::Decoder::new().decompress_vec(&reply.bytes).unwrap();
        let response = ReadResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(response.results.len(), 2);
        let series = &response.results[1].timeseries;
        assert_eq!(series.len(), 4);
        assert_eq!(
            names(&series[0]),
            [("__name__", "http_requests_total"), ("code", "200"), ("job", "shop"), ("zone", "ie")]
        );
        let points: Vec<_> = series[0].samples.iter().map(|s| (s.timestamp, s.value)).collect();
        assert_eq!(points[2], (NOW * 1000, 4_865_345.0));
        let gone = &series[1];
        assert!(model::sample::is_stale(gone.samples[1].value), "{gone:?}");
        assert_eq!(series[3].histograms.len(), 4);
    }
}

#[tokio::test]
async fn remote_read_refuses_in_words() {
    let fixture = fixture(&[]);
    for (body, begin) in [
        (b"x".to_vec(), "snappy: "),
        (snap::raw::Encoder::new().compress_vec(&[0xff]).unwrap(), "proto: "),
        (
            read_request(&[], &[7]),
            "server does not support any of the requested response types: [7]",
        ),
        (read_request(&[(9, "a", "b")], &[]), "invalid matcher type"),
        (read_request(&[(2, "a", "(")], &[1]), "bad regular expression"),
        // Declares 4 GB.
        (vec![0xff, 0xff, 0xff, 0xff, 0x0f], "snappy: decoded length 4294967295 exceeds limit"),
    ] {
        let reply = read(&fixture, body).await;
        assert_eq!(reply.status, 400, "{begin}");
        assert!(reply.text().starts_with(begin), "{}", reply.text());
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    }
}

/// Reads bits from the highest of each byte on.
struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn take(&mut self, count: usize) -> u64 {
        let mut number = 0;
        for _ in 0..count {
            let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
            number = number << 1 | u64::from(bit);
            self.1 += 1;
        }
        number
    }

    fn uvarint(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.take(8);
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
        }
        number
    }

    fn ones(&mut self, max: usize) -> usize {
        (0..max).take_while(|_| self.take(1) == 1).count()
    }

    /// In so many bits, where the largest positive number stands for itself.
    fn signed(&mut self, bits: usize) -> i64 {
        let number = self.take(bits);
        if bits < 64 && number > 1 << (bits - 1) {
            number as i64 - (1 << bits)
        } else {
            number as i64
        }
    }

    fn varbit(&mut self) -> i64 {
        match [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)] {
            0 => 0,
            bits => self.signed(bits),
        }
    }

    fn unsigned_varbit(&mut self) -> u64 {
        let bits = [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)];
        self.take(bits)
    }
}

/// A value and the window of its last difference.
#[derive(Clone, Copy)]
struct Xor(u64, usize, usize);

impl Xor {
    fn next(&mut self, bits: &mut Bits<'_>) -> f64 {
        if bits.take(1) == 1 {
            if bits.take(1) == 1 {
                self.1 = bits.take(5) as usize;
                let significant = bits.take(6) as usize;
                self.2 = if significant == 0 { 64 } else { significant };
            }
            self.0 ^= bits.take(self.2) << (64 - self.1 - self.2);
        }
        f64::from_bits(self.0)
    }
}

/// Decodes a chunk of floats by the description of the format.
fn decode_xor(chunk: &Chunk) -> Vec<(i64, f64)> {
    let mut bits = Bits(&chunk.data, 0);
    let count = bits.take(16);
    let zigzag = bits.uvarint();
    let mut at = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let mut value = Xor(bits.take(64), 0, 0);
    let mut found = vec![(at, f64::from_bits(value.0))];
    let mut delta = 0;
    for i in 1..count {
        delta += match i {
            1 => bits.uvarint() as i64,
            _ => match [0, 14, 17, 20, 64][bits.ones(4)] {
                0 => 0,
                width => bits.signed(width),
            },
        };
        at += delta;
        found.push((at, value.next(&mut bits)));
    }
    found
}

/// Decodes a chunk of float histograms: times, counts, and the values of positive buckets.
fn decode_histograms(chunk: &Chunk) -> (u8, Vec<(i64, f64, Vec<f64>)>) {
    let mut bits = Bits(&chunk.data, 0);
    let (count, header) = (bits.take(16), bits.take(8) as u8);
    if bits.take(8) == 255 {
        bits.take(64);
    }
    let schema = bits.varbit();
    let mut lengths = [0; 2];
    for length in &mut lengths {
        for _ in 0..bits.unsigned_varbit() {
            *length += bits.unsigned_varbit() as usize;
            bits.varbit();
        }
    }
    if schema == -53 {
        for _ in 0..bits.unsigned_varbit() {
            if bits.unsigned_varbit() == 0 {
                bits.take(64);
            }
        }
    }
    let mut at = bits.varbit();
    let values = 3 + lengths[0] + lengths[1];
    let mut values: Vec<Xor> = (0..values).map(|_| Xor(bits.take(64), 0, 0)).collect();
    let row = |at: i64, values: &[Xor]| {
        let number = |value: &Xor| f64::from_bits(value.0);
        (at, number(&values[0]), values[3..3 + lengths[0]].iter().map(number).collect())
    };
    let mut found = vec![row(at, &values)];
    let mut delta = 0;
    for _ in 1..count {
        delta += bits.varbit();
        at += delta;
        for value in &mut values {
            value.next(&mut bits);
        }
        found.push(row(at, &values));
    }
    (header, found)
}

fn frames(bytes: &[u8]) -> Vec<ChunkedReadResponse> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = prost::encoding::decode_varint(&mut rest).unwrap() as usize;
        let (checksum, after) = rest.split_at(4);
        let (frame, after) = after.split_at(length);
        assert_eq!(checksum, crc32c::crc32c(frame).to_be_bytes());
        found.push(ChunkedReadResponse::decode(frame).unwrap());
        rest = after;
    }
    found
}

#[tokio::test]
async fn remote_read_streams_chunks_that_others_can_decode() {
    let fixture = fixture(&[("zone", "ie")]);
    let matchers = [(2, "__name__", "jumps|native|nhcb|http_.*")];
    let reply = read(&fixture, read_request(&matchers, &[1, 0])).await;
    assert_eq!(
        reply.headers["content-type"],
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert!(reply.headers.get("content-encoding").is_none());
    let frames = frames(&reply.bytes);
    let order: Vec<(i64, &str)> = frames
        .iter()
        .map(|frame| (frame.query_index, frame.chunked_series[0].labels[0].value.as_str()))
        .collect();
    let one = ["http_requests_total"; 4].into_iter().chain(["jumps", "native", "nhcb"]);
    let expected: Vec<_> =
        [0, 1].into_iter().flat_map(|query| one.clone().map(move |name| (query, name))).collect();
    assert_eq!(order, expected);
    let zone = frames[0].chunked_series[0].labels.last().unwrap();
    assert_eq!((zone.name.as_str(), zone.value.as_str()), ("zone", "ie"));

    let jumps = &frames[4].chunked_series[0].chunks;
    let lengths: Vec<usize> = jumps.iter().map(|chunk| decode_xor(chunk).len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), samples().len());
    assert!(lengths.iter().all(|length| *length <= 120));
    let decoded: Vec<_> = jumps.iter().flat_map(decode_xor).collect();
    for ((at, value), (wanted_at, wanted)) in decoded.iter().zip(samples()) {
        assert_eq!((*at, value.to_bits()), (wanted_at, wanted.to_bits()));
    }
    for chunk in jumps {
        let points = decode_xor(chunk);
        assert_eq!(chunk.r#type, 1);
        assert_eq!((chunk.min_time_ms, chunk.max_time_ms), (points[0].0, points.last().unwrap().0));
    }

    // A reset begins a new chunk.
    let native: Vec<_> = frames[5].chunked_series[0].chunks.iter().map(decode_histograms).collect();
    let now = NOW * 1000;
    let row = |at: i64, count: f64| (at, count, vec![1.0, 2.0, count, 1.0]);
    assert_eq!(
        native,
        [
            (0, vec![row(now - 3000, 5.0), row(now - 2000, 6.0)]),
            (0, vec![row(now - 1000, 1.0), row(now, 2.0)])
        ]
    );
    let nhcb: Vec<_> = frames[6].chunked_series[0].chunks.iter().map(decode_histograms).collect();
    assert_eq!(nhcb[0].1.len(), 4);
    assert_eq!(nhcb[0].1[3], (now, 6.0, vec![1.0, 2.0, 3.0]));
}
