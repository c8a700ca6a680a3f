//! What amtool, Prometheus's notifier and Grafana's Alertmanager data source send.

use http::Method;

use crate::fixture::{Fixture, encode};

const BASE: &str = "/alertmanager/api/v2";

const ALERTS: &str = r#"[{"labels":{"alertname":"Down","job":"shop","empty":""},"annotations":{"summary":"gone"},"startsAt":"2023-11-14T22:10:00Z","endsAt":"2023-11-14T22:20:00Z","generatorURL":"http://x/y"},{"labels":{"alertname":"Slow"},"startsAt":"0001-01-01T00:00:00.000Z"}]"#;

const DOWN: &str = r#"{"annotations":{"summary":"gone"},"endsAt":"2023-11-14T22:20:00.000Z","fingerprint":"FP","receivers":[{"name":"RECEIVER"}],"startsAt":"2023-11-14T22:10:00.000Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2023-11-14T22:13:20.000Z","generatorURL":"http://x/y","labels":{"alertname":"Down","job":"shop"}}"#;

async fn with_alerts() -> Fixture {
    let fixture = Fixture::new();
    fixture.check(&format!("{BASE}/alerts"), 200, "[]").await;
    fixture.check(&format!("{BASE}/alerts/groups"), 200, "[]").await;
    fixture.check(&format!("{BASE}/silences"), 200, "[]").await;
    let reply = fixture.send_json(Method::POST, &format!("{BASE}/alerts"), ALERTS).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    fixture
}

fn down() -> String {
    let labels = model::Labels::from_pairs([("alertname", "Down"), ("job", "shop")]);
    let receiver = &alertmanager::Config::default().route.receiver;
    DOWN.replace("FP", &format!("{:016x}", labels.fingerprint())).replace("RECEIVER", receiver)
}

async fn names(fixture: &Fixture, path: &str) -> Vec<String> {
    let reply = fixture.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let alerts: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
    let name =
        |alert: &serde_json::Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = alerts.as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn alerts_that_are_posted_are_shown_and_filtered() {
    let fixture = with_alerts().await;
    let one = encode("job=\"shop\"");
    fixture.check(&format!("{BASE}/alerts?filter={one}"), 200, &format!("[{}]", down())).await;
    for (parameters, wanted) in [
        ("active=true&silenced=true&inhibited=true&unprocessed=true", &["Down", "Slow"][..]),
        ("active=false", &[]),
        ("filter=alertname%3D~%22D.*%22", &["Down"]),
        ("filter=alertname!%3DDown", &["Slow"]),
        ("filter=alertname%3DDown&filter=job%3D%22%22", &[]),
        ("receiver=nobody", &[]),
        ("receiver=.*", &["Down", "Slow"]),
    ] {
        assert_eq!(names(&fixture, &format!("{BASE}/alerts?{parameters}")).await, wanted);
    }
    let groups = fixture.get(&format!("{BASE}/alerts/groups?filter={one}")).await.text();
    let begin = format!(r#"[{{"alerts":[{}],"labels":{{"#, down());
    assert!(groups.starts_with(&begin), "{groups}");
    assert!(groups.contains(r#""routeLabels":{}"#), "{groups}");
}

#[tokio::test]
async fn silences_are_made_shown_changed_and_ended() {
    let fixture = with_alerts().await;
    let silence = |id: &str, end: &str| {
        format!(
            r#"{{"id":"{id}","matchers":[{{"name":"alertname","value":"D.*","isRegex":true}}],"startsAt":"2023-11-14T22:13:20.000Z","endsAt":"{end}","createdBy":"me","comment":"why \"not\""}}"#
        )
    };
    let made = |text: &str| {
        let id = text.strip_prefix(r#"{"silenceID":""#).and_then(|rest| rest.strip_suffix("\"}"));
        id.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let path = format!("{BASE}/silences");
    let body = silence("", "2023-11-14T23:13:20.000Z");
    let reply = fixture.send_json(Method::POST, &path, &body).await;
    let id = made(&reply.text());
    let shown = |end: &str, state: &str| {
        format!(
            r#"{{"id":"{id}","status":{{"state":"{state}"}},"updatedAt":"2023-11-14T22:13:20.000Z","annotations":{{}},"comment":"why \"not\"","createdBy":"me","endsAt":"{end}","matchers":[{{"isEqual":true,"isRegex":true,"name":"alertname","value":"D.*"}}],"startsAt":"2023-11-14T22:13:20.000Z"}}"#
        )
    };
    let one = shown("2023-11-14T23:13:20.000Z", "active");
    fixture.check(&format!("{BASE}/silence/{id}"), 200, &one).await;
    fixture.check(&path, 200, &format!("[{one}]")).await;
    fixture.check(&format!("{path}?active=false"), 200, "[]").await;
    fixture.check(&format!("{path}?filter=alertname%3D%22D.*%22"), 200, &format!("[{one}]")).await;
    fixture.check(&format!("{path}?filter=alertname%3Dx"), 200, "[]").await;

    assert_eq!(names(&fixture, &format!("{BASE}/alerts?silenced=false")).await, ["Slow"]);
    let quiet = fixture.get(&format!("{BASE}/alerts?active=false")).await.text();
    let status = format!(
        r#""status":{{"inhibitedBy":[],"mutedBy":[],"silencedBy":["{id}"],"state":"suppressed"}}"#
    );
    assert!(quiet.contains(&status), "{quiet}");

    // For ever, as people write it.
    let body = silence(&id, "9999-12-31T23:59:59Z");
    let reply = fixture.send_json(Method::POST, &path, &body).await;
    assert_eq!(made(&reply.text()), id);

    let reply = fixture.send_json(Method::DELETE, &format!("{BASE}/silence/{id}"), "").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    let one = shown("2023-11-14T22:13:20.000Z", "expired");
    fixture.check(&format!("{BASE}/silence/{id}"), 200, &one).await;
    assert_eq!(names(&fixture, &format!("{BASE}/alerts")).await, ["Down", "Slow"]);
}

#[tokio::test]
async fn status_and_receivers_have_all_that_the_api_requires() {
    let fixture = Fixture::new();
    let receiver = alertmanager::Config::default().route.receiver;
    fixture
        .check(&format!("{BASE}/receivers"), 200, &format!(r#"[{{"name":"{receiver}"}}]"#))
        .await;
    let text = fixture.get(&format!("{BASE}/status")).await.text();
    assert!(
        text.starts_with(r#"{"cluster":{"peers":[],"status":"disabled"},"config":{"original":""#),
        "{text}"
    );
    assert!(
        text.ends_with(r#""uptime":"2023-11-14T22:13:20.000Z","versionInfo":{"branch":"","buildDate":"","buildUser":"","goVersion":"","revision":"abc","version":"1.2.3"}}"#),
        "{text}"
    );
}

#[tokio::test]
async fn bad_requests_are_json_strings() {
    let fixture = Fixture::new();
    for (method, path, body, status) in [
        (Method::POST, "alerts", "{", 400),
        (Method::POST, "alerts", r#"[{"labels":{}}]"#, 400),
        (Method::POST, "alerts", r#"[{"labels":{"a":"b"},"startsAt":"soon"}]"#, 400),
        (Method::POST, "silences", "{}", 400),
        (Method::GET, "alerts?filter=x", "", 400),
        (Method::GET, "alerts?active=perhaps", "", 400),
        (Method::GET, "alerts?receiver=(", "", 400),
        (Method::GET, "silence/none", "", 404),
        (Method::DELETE, "silence/none", "", 404),
    ] {
        let reply = fixture.send_json(method, &format!("{BASE}/{path}"), body).await;
        assert_eq!(reply.status, status, "{path} {body}");
        assert!(serde_json::from_str::<String>(&reply.text()).is_ok(), "{}", reply.text());
    }
    let reply = fixture.post_form(&format!("{BASE}/alerts"), "[]").await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn nothing_answers_where_grafana_would_take_it_for_another_product() {
    let fixture = Fixture::new();
    for path in [
        "/api/v2/status",
        "/alertmanager/alertmanager/api/v2/status",
        "/alertmanager/api/v1/status/buildinfo",
    ] {
        assert_eq!(fixture.get(path).await.status, 404, "{path}");
    }
}
