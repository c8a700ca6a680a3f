//! `tail` over a real WebSocket.

use std::time::Duration;

use futures_util::StreamExt;
use model::Labels;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Fixture, NOW, encode};

async fn listen(fixture: &Fixture) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn next_text<S>(socket: &mut S) -> String
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
    match message.unwrap().unwrap().unwrap() {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tail_shows_the_past_then_new_lines_each_once() {
    let fixture = Fixture::new();
    let address = listen(&fixture).await;
    let query = encode(r#"{service_name="shop"} |= "line""#);
    let url = format!("ws://{address}/loki/api/v1/tail?query={query}&limit=10");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(
        next_text(&mut socket).await,
        r#"{"streams":[{"stream":{"level":"error","service_name":"shop"},"values":[["1699999990000000000","plain \"quoted\" line"]]}],"dropped_entries":[]}"#
    );
    let shop = Labels::from_pairs([("service_name", "shop")]);
    let at = NOW * 1_000_000_000;
    fixture.logs.0.lock().push(&shop, at + 5, "line 2", &[]);
    fixture.clock.advance(Duration::from_secs(1));
    let frame = |at: i64, line: &str| {
        format!(
            r#"{{"streams":[{{"stream":{{"service_name":"shop"}},"values":[["{at}","{line}"]]}}],"dropped_entries":[]}}"#
        )
    };
    assert_eq!(next_text(&mut socket).await, frame(at + 5, "line 2"));
    // One that arrives late, and is older than what was sent.
    fixture.logs.0.lock().push(&shop, at + 1, "late line", &[]);
    assert_eq!(next_text(&mut socket).await, frame(at + 1, "late line"));
}

#[tokio::test]
async fn a_bad_tail_is_refused_in_words() {
    let fixture = Fixture::new();
    let path = "/loki/api/v1/tail";
    let shop = encode(r#"{service_name="shop"}"#);
    for (parameters, text) in [
        ("query=vector(1)".to_owned(), "only log selector is supported, not a metric query"),
        (format!("query={shop}&delay_for=6"), "delay_for can't be greater than 5 seconds"),
    ] {
        fixture.check(&format!("{path}?{parameters}"), 400, text).await;
    }
    let reply = fixture.get(&format!("{path}?query={shop}")).await;
    assert!(reply.status.is_client_error());
}

#[tokio::test]
async fn equal_lines_are_all_shown_and_a_tail_that_fell_behind_is_told_so() {
    let fixture = Fixture::new();
    let address = listen(&fixture).await;
    let query = encode(r#"{service_name="twins"}"#);
    let start = NOW * 1_000_000_000;
    let url = format!("ws://{address}/loki/api/v1/tail?query={query}&limit=10&start={start}");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let twins = Labels::from_pairs([("service_name", "twins")]);
    fixture.clock.advance(Duration::from_secs(1));
    let frame = format!(
        r#"{{"streams":[{{"stream":{{"service_name":"twins"}},"values":[["{}","same"]]}}],"dropped_entries":[]}}"#,
        start + 5
    );
    for _ in 0..2 {
        fixture.logs.0.lock().push(&twins, start + 5, "same", &[]);
        assert_eq!(next_text(&mut socket).await, frame);
    }
    // As if the client had taken nothing for an hour. Both lines are there before the time is.
    let hour = 3600 * 1_000_000_000;
    fixture.logs.0.lock().push(&twins, start + hour / 2, "missed", &[]);
    fixture.logs.0.lock().push(&twins, start + hour, "shown", &[]);
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        next_text(&mut socket).await,
        format!(
            r#"{{"streams":[{{"stream":{{"service_name":"twins"}},"values":[["{}","shown"]]}}],"dropped_entries":[{{"labels":{{"service_name":"twins"}},"timestamp":"{}"}}]}}"#,
            start + hour,
            start + hour / 2
        )
    );
}
