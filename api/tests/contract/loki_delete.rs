//! Deletions of log records as Loki's API has them.

use http::Method;
use model::admin::{LogDeletion, LogDeletionState};
use model::{Error, ErrorKind, LogAdmin, LogSelection, Result, TimestampMs};
use parking_lot::Mutex;

use crate::fixture::{Fixture, NOW, encode};

/// Remembers what it is told.
#[derive(Default)]
pub(crate) struct Admin(Mutex<Vec<LogDeletion>>);

impl LogAdmin for Admin {
    fn merge_all(&self) -> Result<()> {
        Ok(())
    }

    fn figures(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn snapshot(&self) -> Result<String> {
        Ok("20260101T000000Z-1".to_owned())
    }

    fn delete(&self, selection: &LogSelection, query: &str) -> Result<u64> {
        let mut deletions = self.0.lock();
        let id = deletions.len() as u64 + 7;
        deletions.push(LogDeletion {
            id,
            made_at: TimestampMs(NOW * 1000),
            query: query.to_owned(),
            selection: selection.clone(),
            state: LogDeletionState::Hidden,
        });
        Ok(id)
    }

    fn undelete(&self, id: u64) -> Result<()> {
        let mut deletions = self.0.lock();
        let before = deletions.len();
        deletions.retain(|deletion| deletion.id != id);
        if deletions.len() < before {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no deletion {id}")))
    }

    fn deletions(&self) -> Vec<LogDeletion> {
        self.0.lock().clone()
    }
}

const PATH: &str = "/loki/api/v1/delete";

#[tokio::test]
async fn a_deletion_is_made_listed_and_taken_back() {
    let fixture = Fixture::new();
    let query = encode(r#"{service_name="shop"} |= "secret" | user="u1""#);
    let path = format!("{PATH}?query={query}&start=1699990000&end=1699999999.5");
    let reply = fixture.send_json(Method::POST, &path, "").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (204, String::new()));
    let listed = concat!(
        r#"[{"request_id":"7","start_time":1699990000,"end_time":1699999999.5,"#,
        r#""query":"{service_name=\"shop\"} |= \"secret\" | user=\"u1\"","#,
        r#""status":"received","created_at":1700000000}]"#
    );
    fixture.check(PATH, 200, listed).await;
    let cancel = format!("{PATH}?request_id=7");
    assert_eq!(fixture.send_json(Method::DELETE, &cancel, "").await.status, 204);
    fixture.check(PATH, 200, "[]").await;
    let reply = fixture.send_json(Method::DELETE, &cancel, "").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (404, "there is no deletion 7".to_owned()));
}

#[tokio::test]
async fn what_can_not_be_deleted_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    for (query, rest, part) in [
        (r#"{a="b"}"#, "", "\"start\""),
        (r#"{a="b"}"#, "&start=5&end=4", "before its start"),
        (r#"{a="b"} | json"#, "&start=1", "can not select what to delete"),
        (r#"rate({a="b"}[1m])"#, "&start=1", "only log selector is supported"),
        (r#"{a=~".*"}"#, "&start=1", "at least one"),
    ] {
        let path = format!("{PATH}?query={}{rest}", encode(query));
        let reply = fixture.send_json(Method::PUT, &path, "").await;
        assert_eq!(reply.status, 400, "{query}{rest}");
        assert!(reply.text().contains(part), "{query}{rest}: {}", reply.text());
    }
}
