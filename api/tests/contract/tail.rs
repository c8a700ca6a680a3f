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
    // One that arrives long after its time, one from before the tail's start, and one of the future.
    let hour = 3600 * 1_000_000_000;
    for (at, line) in
        [(at - hour / 2, "late line"), (at - 2 * hour, "line 0"), (at + hour, "line 3")]
    {
        fixture.logs.0.lock().push(&shop, at, line, &[]);
        if line != "line 0" {
            assert_eq!(next_text(&mut socket).await, frame(at, line));
        }
    }
}

#[tokio::test]
async fn a_tail_with_a_delay_shows_lines_when_that_is_over() {
    let fixture = Fixture::new();
    let address = listen(&fixture).await;
    let query = encode(r#"{service_name="slow"}"#);
    let url = format!("ws://{address}/loki/api/v1/tail?query={query}&delay_for=2");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let slow = Labels::from_pairs([("service_name", "slow")]);
    let at = NOW * 1_000_000_000;
    fixture.logs.0.lock().push(&slow, at, "first", &[]);
    let early = tokio::time::timeout(Duration::from_millis(700), socket.next()).await;
    assert!(early.is_err(), "{early:?}");
    fixture.clock.advance(Duration::from_secs(2));
    assert!(next_text(&mut socket).await.contains("first"));
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
    // As if the client had taken nothing for an hour.
    {
        let mut logs = fixture.logs.0.lock();
        logs.push(&twins, start + 7, "missed", &[]);
        fixture.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(
        next_text(&mut socket).await,
        format!(
            r#"{{"streams":[],"dropped_entries":[{{"labels":{{"service_name":"twins"}},"timestamp":"{}"}}]}}"#,
            start + 7
        )
    );
    fixture.logs.0.lock().push(&twins, start + 5, "same", &[]);
    assert_eq!(next_text(&mut socket).await, frame);
}

#[tokio::test]
async fn more_lines_than_a_frame_takes_come_in_several_each_once() {
    let fixture = Fixture::new();
    let address = listen(&fixture).await;
    let query = encode(r#"{service_name="many"}"#);
    let url = format!("ws://{address}/loki/api/v1/tail?query={query}");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let many = Labels::from_pairs([("service_name", "many")]);
    const COUNT: usize = 12_000;
    {
        let mut logs = fixture.logs.0.lock();
        for i in 0..COUNT {
            logs.push(&many, (NOW - i as i64 % 7) * 1_000_000_000, &format!("line {i}"), &[]);
        }
    }
    let (mut found, mut frames) = (Vec::new(), 0);
    while found.len() < COUNT {
        let frame: serde_json::Value = serde_json::from_str(&next_text(&mut socket).await).unwrap();
        let values = frame["streams"][0]["values"].as_array().unwrap();
        found.extend(values.iter().map(|value| value[1].as_str().unwrap().to_owned()));
        frames += 1;
    }
    assert_eq!(frames, 3);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), COUNT);
}
