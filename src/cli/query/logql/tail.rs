//! Following lines over a WebSocket.

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::screen::Screen;
use super::super::{When, print_text, print_to_stderr, view};
use super::lines::{Stream, show_new};
use super::{LogqlArguments, address, headers, placed};

#[derive(Debug, Deserialize)]
struct Tailed {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    dropped_entries: Option<Vec<serde_json::Value>>,
}

/// Shows lines until the server ends it or the process is interrupted.
pub(super) fn run(
    arguments: &LogqlArguments,
    when: When,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(follow(arguments, when, screen))
}

async fn follow(
    arguments: &LogqlArguments,
    when: When,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let mut url = address(&arguments.server, "tail")?;
    if url.scheme() != "http" {
        bail!("--tail speaks to servers without TLS only, such as http://127.0.0.1:4319");
    }
    url.set_scheme("ws").map_err(|()| anyhow!("{url} is no address of a WebSocket"))?;
    let (When::Range { start, .. } | When::At(start)) = when;
    url.query_pairs_mut()
        .append_pair("query", &arguments.query)
        .append_pair("limit", &arguments.limit.to_string())
        .append_pair("start", &start.to_ns().0.to_string());
    let mut request = url.as_str().into_client_request().context("make the request")?;
    for (name, value) in headers(arguments) {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            print_to_stderr(&view::failure(&arguments.query, &placed(text.trim())));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            let server = &arguments.server;
            bail!("no answer from {server}: {error} (--server says where to ask)");
        }
    };
    loop {
        let text = match futures_util::StreamExt::next(&mut socket).await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                if reason.is_empty() {
                    return Ok(ExitCode::SUCCESS);
                }
                bail!("the server ended it: {reason}");
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => bail!("the connection broke: {error}"),
            None => return Ok(ExitCode::SUCCESS),
        };
        if arguments.json {
            print_text(&format!("{}\n", text.trim()))?;
            continue;
        }
        let message: Tailed = serde_json::from_str(&text).context("read a message of the tail")?;
        let dropped = message.dropped_entries.map_or(0, |dropped| dropped.len());
        if dropped > 0 {
            print_to_stderr(&format!("warning: the server left out {dropped} lines"));
        }
        print_text(&show_new(&message.streams, arguments.metadata, screen))?;
    }
}
