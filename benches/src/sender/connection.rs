//! One connection to the server, opened again if it breaks.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, TE};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::Signal;
use tokio::net::TcpStream;

use super::{Answer, Compression, Plan, Transport};

/// No answer to an export is larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection of either transport.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    transport: Transport,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens or the server does not speak the protocol.
    pub async fn open(transport: Transport, address: SocketAddr) -> anyhow::Result<Self> {
        let sender = connect(transport, address).await?;
        Ok(Connection { address, transport, sender })
    }

    /// Reads `path`: the status and the body.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<(u16, Bytes)> {
        self.get_up_to(path, ANSWER_BYTES_MAX).await
    }

    /// As [`Connection::get`], for answers of up to `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// When there is no answer, or a larger one.
    pub async fn get_up_to(
        &mut self,
        path: &str,
        bytes_max: usize,
    ) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::get(path)
            .header(HOST, self.address.to_string())
            .body(Full::default())
            .context("build a request")?;
        let response = self.respond(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("read an answer: {error}"))?;
        Ok((status, body.to_bytes()))
    }

    /// Sends `body` to `path` with these headers: the status and the body of the answer. After a
    /// broken connection the next request finds a new one.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        if self.is_closed() {
            self.sender = connect(self.transport, self.address).await?;
        }
        let mut request = Request::post(path).header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.respond(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("read an answer: {error}"))?;
        Ok((status, body.to_bytes()))
    }

    /// Sends one request and waits for the answer. After a broken connection the next request finds
    /// a new one; the one that failed is not sent again.
    pub(super) async fn export(&mut self, plan: &Plan, body: Bytes) -> Answer {
        if self.is_closed() {
            match connect(self.transport, self.address).await {
                Ok(sender) => self.sender = sender,
                Err(error) => return Answer::failure(format_args!("{error:#}")),
            }
        }
        match self.exchange(plan, body).await {
            Ok(answer) => answer,
            Err(error) => Answer::failure(format_args!("{error:#}")),
        }
    }

    async fn exchange(&mut self, plan: &Plan, body: Bytes) -> anyhow::Result<Answer> {
        let request = self.request(plan, body)?;
        let response = self.respond(request).await?;
        let (head, body) = response.into_parts();
        let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let collected = collected.map_err(|error| anyhow::anyhow!("read an answer: {error}"))?;
        let trailers = collected.trailers().cloned();
        let body = collected.to_bytes();
        Ok(match self.transport {
            Transport::Http => Answer::of_http(plan.signal, head.status, &body),
            Transport::Grpc => {
                let (status, headers) = (head.status, &head.headers);
                Answer::of_grpc(plan.signal, status, headers, trailers.as_ref(), &body)
            }
        })
    }

    fn request(&self, plan: &Plan, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let compression = plan.compression;
        let builder = match self.transport {
            Transport::Http => {
                let path = match plan.signal {
                    Signal::Metrics => "/v1/metrics",
                    Signal::Logs => "/v1/logs",
                    Signal::Traces => "/v1/traces",
                };
                let builder = Request::post(path)
                    .header(HOST, self.address.to_string())
                    .header(CONTENT_TYPE, "application/x-protobuf");
                match compression {
                    Compression::None => builder,
                    _ => builder.header(CONTENT_ENCODING, compression.name()),
                }
            }
            Transport::Grpc => {
                let service = match plan.signal {
                    Signal::Metrics => "metrics.v1.MetricsService",
                    Signal::Logs => "logs.v1.LogsService",
                    Signal::Traces => "trace.v1.TraceService",
                };
                let address = self.address;
                let uri =
                    format!("http://{address}/opentelemetry.proto.collector.{service}/Export");
                Request::post(uri)
                    .header(CONTENT_TYPE, "application/grpc")
                    .header(TE, "trailers")
                    .header("grpc-encoding", compression.name())
            }
        };
        builder.body(Full::new(body)).context("build a request")
    }

    async fn respond(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        let response = match &mut self.sender {
            Sender::Http(sender) => {
                sender.ready().await.context("the connection broke")?;
                sender.send_request(request).await
            }
            Sender::Grpc(sender) => {
                sender.ready().await.context("the connection broke")?;
                sender.send_request(request).await
            }
        };
        response.context("no answer")
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http(sender) => sender.is_closed(),
            Sender::Grpc(sender) => sender.is_closed(),
        }
    }
}

async fn connect(transport: Transport, address: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true).context("connect")?;
    let io = TokioIo::new(stream);
    match transport {
        Transport::Http => {
            let (sender, connection) = http1::handshake(io).await.context("start HTTP/1.1")?;
            // Its error is also the error of the request that is under way.
            tokio::spawn(connection);
            Ok(Sender::Http(sender))
        }
        Transport::Grpc => {
            let handshake = http2::handshake(TokioExecutor::new(), io).await;
            let (sender, connection) = handshake.context("start HTTP/2")?;
            // As above.
            tokio::spawn(connection);
            Ok(Sender::Grpc(sender))
        }
    }
}
