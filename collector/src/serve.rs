//! Serving a router on a listener: HTTP/1.1 and HTTP/2 cleartext on one port, connections that age,
//! and a stop that lets requests finish.
//!
//! Long-lived gRPC connections stick to one backend of a load balancer; closing them gently after
//! [`ConnectionOptions::age_max`] lets clients spread anew (the Collector's `max_connection_age`).

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How connections are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Connections open at once; more wait in the system's queue.
    pub connections_max: usize,
    /// A connection is closed gently when it is this old; `None` lets it live.
    pub age_max: Option<Duration>,
    /// How long a gently closed connection may go on with its requests.
    pub age_grace: Duration,
    /// An HTTP/2 peer that is silent for this long is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// And given this long to answer.
    pub keepalive_timeout: Duration,
    /// How long the headers of a request may take.
    pub header_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        ConnectionOptions {
            connections_max: 10_000,
            age_max: None,
            age_grace: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            header_timeout: Duration::from_secs(60),
        }
    }
}

/// Serves until `stop` is cancelled; then accepts nothing more, lets open requests finish for at most
/// [`ConnectionOptions::age_grace`], and returns.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    options: ConnectionOptions,
    stop: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(256);
    let connections = TaskTracker::new();
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(options.connections_max));
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a peer that left: neither ends the server.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small acknowledgements must not wait for more data.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY failed");
        }
        let (builder, service) = (builder.clone(), TowerToHyperService::new(router.clone()));
        let stop = stop.clone();
        connections.spawn(async move {
            let _slot = slot;
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let age = async {
                match options.age_max {
                    Some(age) => tokio::time::sleep(age).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended badly");
                    }
                    return;
                }
                () = age => {}
                () = stop.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            if tokio::time::timeout(options.age_grace, connection).await.is_err() {
                tracing::debug!("a connection did not finish its requests in time");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}
