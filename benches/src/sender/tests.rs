//! The sender against a server that is told what to answer.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::response;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::corpora::{Corpus, Options};

/// Answers the second request of a connection with a partial success and the third with a failure.
async fn answer(
    transport: Transport,
    request: Request<Incoming>,
    number: usize,
    seen: mpsc::UnboundedSender<(String, HeaderMap, Bytes)>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.send((head.uri.path().to_owned(), head.headers, body)).unwrap();
    let message = match number {
        1 => response::partial_success_bytes(Signal::Logs, 7, "late"),
        _ => Vec::new(),
    };
    let answer = match (transport, number) {
        (Transport::Http, 2) => {
            let body = response::status_bytes(8, "full", None);
            let body = Full::new(Bytes::from(body)).boxed();
            Response::builder().status(StatusCode::TOO_MANY_REQUESTS).body(body)
        }
        (Transport::Http, _) => Response::builder().body(Full::new(message.into()).boxed()),
        (Transport::Grpc, 2) => Response::builder()
            .header("grpc-status", "8")
            .header("grpc-message", "full")
            .body(Full::default().boxed()),
        (Transport::Grpc, _) => {
            let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = Full::from(framed).with_trailers(async move { Some(Ok(trailers)) });
            Response::builder().body(body.boxed())
        }
    };
    Ok(answer.unwrap())
}

/// A server for one connection after the other.
async fn serve(
    transport: Transport,
) -> (SocketAddr, mpsc::UnboundedReceiver<(String, HeaderMap, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            let numbers = std::sync::atomic::AtomicUsize::new(0);
            let service = hyper::service::service_fn(move |request| {
                let number = numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                answer(transport, request, number, seen.clone())
            });
            let io = TokioIo::new(stream);
            match transport {
                Transport::Http => {
                    let server = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(server.serve_connection(io, service));
                }
                Transport::Grpc => {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(server.serve_connection(io, service));
                }
            }
        }
    });
    (address, received)
}

fn corpus() -> Corpus {
    let options = Options { requests: 2, pods: 10, records_per_request: 100, ..Options::default() };
    Corpus::generate(Signal::Logs, &options)
}

async fn check_answers(transport: Transport, compression: Compression, path: &str) {
    let (address, mut received) = serve(transport).await;
    let corpus = corpus();
    let (lap_ns, samples) = (corpus.span_ns, 100);
    let expected = corpus.requests[0].bytes.clone();
    let lanes = pack(corpus, transport, compression, 1).unwrap();
    let requests = if compression == Compression::None { 4 } else { 2 };
    let plan = Plan {
        signal: Signal::Logs,
        transport,
        compression,
        address,
        rate: None,
        duration: None,
        requests,
        lap_ns,
    };
    let tally = send(plan, lanes).await.unwrap();
    if compression == Compression::None {
        assert_eq!((tally.accepted, tally.refused, tally.failed), (293, 7, 100));
        assert_eq!((tally.requests, tally.requests_failed), (4, 1));
        assert_eq!(tally.samples, 3 * samples);
        assert_eq!(tally.latencies_us.len(), 4);
    } else {
        assert_eq!((tally.accepted, tally.refused, tally.failed), (193, 7, 0));
    }
    assert_eq!(tally.first_problem.as_deref(), Some("refused 7 items: late"));

    let (seen_path, headers, body) = received.recv().await.unwrap();
    assert_eq!(seen_path, path);
    let encoding = if transport == Transport::Http { "content-encoding" } else { "grpc-encoding" };
    let is_plain_http = transport == Transport::Http && compression == Compression::None;
    let named = headers.get(encoding).map(|name| name.to_str().unwrap());
    assert_eq!(named, (!is_plain_http).then(|| compression.name()));
    let message = match transport {
        Transport::Http => body,
        Transport::Grpc => {
            assert_eq!(body[0], u8::from(compression != Compression::None));
            assert_eq!(body[1..5], (body.len() as u32 - 5).to_be_bytes());
            body.slice(5..)
        }
    };
    if compression == Compression::Zstd {
        assert_eq!(zstd::bulk::decompress(&message, 1 << 20).unwrap(), expected);
    } else {
        assert_eq!(message, expected);
    }
}

#[tokio::test]
async fn answers_over_http_are_counted() {
    check_answers(Transport::Http, Compression::None, "/v1/logs").await;
    check_answers(Transport::Http, Compression::Zstd, "/v1/logs").await;
}

#[tokio::test]
async fn answers_over_grpc_are_counted() {
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    check_answers(Transport::Grpc, Compression::None, path).await;
    check_answers(Transport::Grpc, Compression::Zstd, path).await;
}

#[tokio::test]
async fn nobody_listening_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Connection::open(Transport::Http, address).await.unwrap_err();
    assert!(error.to_string().starts_with("connect"), "{error}");
}

#[test]
fn a_second_lap_is_later_and_a_compressed_one_is_not_possible() {
    let corpus = corpus();
    let plain = pack(corpus.clone(), Transport::Http, Compression::None, 1).unwrap();
    let (first, again) = (plain[0].request(1, 50).unwrap(), plain[0].request(3, 50).unwrap());
    assert_eq!(first.body.len(), again.body.len());
    assert_ne!(first.body, again.body);
    let packed = pack(corpus, Transport::Http, Compression::Gzip, 1).unwrap();
    assert!(packed[0].request(1, 50).is_some());
    assert!(packed[0].request(2, 50).is_none());
}

#[test]
fn connections_share_the_requests_by_lane() {
    let lanes = pack(corpus(), Transport::Http, Compression::None, 2).unwrap();
    assert_eq!(lanes.iter().map(Lane::len).collect::<Vec<_>>(), [1, 1]);
    // A connection without requests is not opened.
    assert_eq!(pack(corpus(), Transport::Http, Compression::None, 5).unwrap().len(), 2);
}

#[test]
fn latencies_are_read_at_their_rank() {
    let tally = Tally { latencies_us: (1..=100).collect(), ..Tally::default() };
    assert_eq!(
        [0.5, 0.95, 0.99, 1.0].map(|quantile| tally.latency_us(quantile)),
        [50, 95, 99, 100]
    );
    assert_eq!(Tally::default().latency_us(0.5), 0);
}
