//! An HTTP server that takes webhooks and remembers them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens until the test ends.
pub(super) struct Receiver {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(super) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let taken = messages.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if let Some(message) = take(connection).await {
                    taken.lock().unwrap().push(message);
                }
            }
        });
        Receiver { address, messages }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// All messages with this status, `firing` or `resolved`, in the order of their arrival.
    pub(super) fn messages(&self, status: &str) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        messages.iter().filter(|message| message["status"] == status).cloned().collect()
    }
}

/// Reads one request and answers it; nothing if the peer leaves early.
async fn take(mut connection: TcpStream) -> Option<Value> {
    let mut read = Vec::new();
    let (head_bytes, body_bytes) = loop {
        if connection.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /hook "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
        break (end + 4, length.trim().parse::<usize>().ok()?);
    };
    while read.len() < head_bytes + body_bytes {
        if connection.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    connection.write_all(answer).await.ok()?;
    serde_json::from_slice(&read[head_bytes..]).ok()
}
