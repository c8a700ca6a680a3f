//! Groups on a clock that only the test moves.

use std::sync::atomic::{AtomicBool, Ordering};

use model::kv::MemoryKeyValue;
use model::{ErrorKind, ManualClock};

use super::*;
use crate::file;
use crate::status::{AlertState, Health, RuleKind};
use crate::testing::{FakeQuery, MemorySink};

const MINUTE: i64 = 60_000;

struct House {
    manager: Manager,
    query: Arc<FakeQuery>,
    sink: Arc<MemorySink>,
    kv: Arc<MemoryKeyValue>,
    sent: Arc<Mutex<Vec<(TimestampMs, Alert)>>>,
    send_fails: Arc<AtomicBool>,
    now: TimestampMs,
}

impl House {
    /// Stands right before the first tick of its only group.
    fn new(yaml: &str) -> Self {
        Self::on(Arc::default(), yaml, TimestampMs(1_700_000_000_000))
    }

    fn on(kv: Arc<MemoryKeyValue>, yaml: &str, start: TimestampMs) -> Self {
        let (query, sink) = (Arc::new(FakeQuery::default()), Arc::new(MemorySink::default()));
        let sent: Arc<Mutex<Vec<(TimestampMs, Alert)>>> = Arc::default();
        let send_fails = Arc::new(AtomicBool::new(false));
        let (log, kv_seen, fails) = (sent.clone(), kv.clone(), send_fails.clone());
        let send: SendAlerts = Arc::new(move |now, alerts| {
            if fails.load(Ordering::SeqCst) {
                return Err(model::Error::unavailable("alertmanager is away"));
            }
            // What is handed out is on disk already.
            let kept = kv_seen.scan(store::FAMILY, b"")?;
            for alert in alerts {
                let name = format!("\"{}\"", alert.name());
                assert!(kept.iter().any(|(_, v)| String::from_utf8_lossy(v).contains(&name)));
                log.lock().push((now, alert));
            }
            Ok(())
        });
        let config = ManagerConfig {
            external_url: "http://signalbox:9090".to_owned(),
            external_labels: Labels::from_pairs([("cluster", "eu"), ("job", "never wins")]),
            ..ManagerConfig::default()
        };
        let clock = Arc::new(ManualClock::at(start));
        let manager = Manager::new(config, query.clone(), sink.clone(), kv.clone(), send, clock);
        manager.load(start, &[read(yaml)]).unwrap();
        let now = manager.next_due().unwrap();
        House { manager, query, sink, kv, sent, send_fails, now }
    }

    /// Evaluates at the present tick and moves to the next one.
    fn tick(&mut self) {
        self.manager.evaluate_due(self.now);
        self.now = self.manager.next_due().unwrap();
    }

    fn last_tick(&self) -> TimestampMs {
        self.now.plus_ms(-MINUTE)
    }

    fn take_sent(&self) -> Vec<(TimestampMs, Alert)> {
        std::mem::take(&mut self.sent.lock())
    }

    fn states(&self) -> Vec<AlertState> {
        let status = self.manager.statuses();
        let RuleKind::Alerting { alerts, .. } = &status[0].rules[0].kind else {
            panic!("no alerts")
        };
        alerts.iter().map(|alert| alert.state).collect()
    }
}

fn read(yaml: &str) -> RuleFile {
    file::parse("rules.yml", yaml, &|_, _| Ok(())).unwrap().0
}

const DOWN: &str = r#"
groups:
  - name: up
    interval: 1m
    rules:
      - alert: Down
        expr: up == 0
        for: 2m
        labels: {severity: page, team: "{{ $labels.job }}-team", gone: ""}
        annotations: {summary: "{{ $labels.job }} is {{ $value }}", broken: "{{ humanize \"x\" }}"}
"#;

const A: &[(&str, &str)] = &[("__name__", "up"), ("job", "api"), ("gone", "x")];
const B: &[(&str, &str)] = &[("__name__", "up"), ("job", "db")];

#[test]
fn an_alert_is_pending_then_firing_then_resolved() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.tick();
    assert_eq!(house.states(), [AlertState::Pending]);
    let first = house.last_tick();
    house.tick();
    assert!(house.take_sent().is_empty());
    house.tick();
    let fired = house.last_tick();
    assert_eq!(house.states(), [AlertState::Firing]);
    let sent = house.take_sent();
    assert_eq!(sent.len(), 1);
    let alert = &sent[0].1;
    assert_eq!(
        alert.labels.to_string(),
        r#"{alertname="Down", cluster="eu", job="api", severity="page", team="api-team"}"#
    );
    assert_eq!(alert.annotations.get("summary"), Some("api is 0"));
    let broken = alert.annotations.get("broken").unwrap();
    assert!(broken.starts_with("<error expanding template: error executing template"), "{broken}");
    assert_eq!((alert.starts_at, alert.ends_at), (fired, fired.plus_ms(4 * MINUTE)));
    assert_eq!(alert.generator_url, "http://signalbox:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    assert_eq!(
        house.sink.at(fired),
        [
            r#"ALERTS_FOR_STATE{alertname="Down", job="api", severity="page", team="api-team"} "#
                .to_owned()
                + &(first.0 / 1000).to_string(),
            r#"ALERTS{alertname="Down", alertstate="firing", job="api", severity="page", team="api-team"} 1"#.to_owned(),
            r#"ALERTS{alertname="Down", alertstate="pending", job="api", severity="page", team="api-team"} stale"#.to_owned(),
        ]
    );
    house.query.answer("up == 0", &[]);
    house.tick();
    let resolved = house.last_tick();
    let sent = house.take_sent();
    assert_eq!((sent[0].1.starts_at, sent[0].1.ends_at), (fired, resolved));
    assert!(house.sink.at(resolved).iter().all(|line| line.ends_with(" stale")));
    assert!(house.states().is_empty());
    // Sent again for 15 minutes, then forgotten, also on disk.
    for _ in 0..15 {
        house.tick();
        assert_eq!(house.take_sent().len(), 1);
    }
    house.tick();
    assert!(house.take_sent().is_empty());
    assert!(house.kv.scan(store::FAMILY, b"").unwrap().is_empty());
}

#[test]
fn a_failing_evaluation_freezes_alerts_and_still_renews_them() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    (0..3).for_each(|_| house.tick());
    house.take_sent();
    house.query.fail("up == 0");
    for _ in 0..30 {
        house.tick();
        let sent = house.take_sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1.ends_at, house.last_tick().plus_ms(4 * MINUTE));
        // No marker ends the series of what is unknown.
        assert!(house.sink.at(house.last_tick()).is_empty());
    }
    let status = house.manager.statuses();
    assert_eq!(status[0].rules[0].health, Health::Err);
    assert_eq!(status[0].rules[0].last_error, "query timed out");
    assert_eq!(house.states(), [AlertState::Firing]);
    let failures = house.manager.metrics().of_group("rules.yml;up").evaluation_failures.get();
    assert_eq!(failures, 30);
}

#[test]
fn two_samples_with_one_identity_are_an_error() {
    let mut house = House::new(DOWN);
    let again: &[(&str, &str)] = &[("__name__", "up2"), ("job", "api")];
    house.query.answer("up == 0", &[(A, 0.0), (again, 0.0)]);
    house.tick();
    let status = house.manager.statuses();
    assert!(status[0].rules[0].last_error.contains("same labelset after applying"));
    assert!(house.states().is_empty());
}

#[test]
fn the_limit_freezes_instead_of_clearing() {
    let mut house = House::new(&DOWN.replace("interval: 1m", "interval: 1m\n    limit: 1"));
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.tick();
    house.query.answer("up == 0", &[(A, 0.0), (B, 0.0)]);
    house.tick();
    assert_eq!(
        house.manager.statuses()[0].rules[0].last_error,
        "exceeded limit of 1 with 2 alerts"
    );
    assert_eq!(house.states(), [AlertState::Pending]);
}

#[test]
fn keep_firing_for_outlasts_a_gap() {
    let mut house = House::new(&DOWN.replace("for: 2m", "keep_firing_for: 3m"));
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.tick();
    house.query.answer("up == 0", &[]);
    for _ in 0..3 {
        house.tick();
        assert_eq!(house.states(), [AlertState::Firing]);
    }
    house.tick();
    assert!(house.states().is_empty());
}

#[test]
fn states_survive_a_restart_without_a_grace_period() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.tick();
    let active_at = house.last_tick();
    let mut again = House::on(house.kv.clone(), DOWN, house.now);
    assert_eq!(again.states(), [AlertState::Pending]);
    again.query.answer("up == 0", &[(A, 0.0)]);
    again.tick();
    again.tick();
    assert_eq!(again.states(), [AlertState::Firing]);
    let sent = again.take_sent();
    assert_eq!(sent[0].1.starts_at, active_at.plus_ms(2 * MINUTE));
    // A firing alert is told again at once after a start, with its first start.
    let mut third = House::on(house.kv.clone(), DOWN, again.now);
    third.query.fail("up == 0");
    third.tick();
    assert_eq!(third.take_sent()[0].1.starts_at, active_at.plus_ms(2 * MINUTE));
}

#[test]
fn data_that_has_not_come_back_after_a_start_resolves_nothing() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    (0..3).for_each(|_| house.tick());
    let mut again = House::on(house.kv.clone(), DOWN, house.now.plus_ms(30 * MINUTE));
    again.query.answer("up == 0", &[]);
    for _ in 0..2 {
        again.tick();
        assert_eq!(again.states(), [AlertState::Firing]);
        let sent = again.take_sent();
        assert!(sent[0].1.ends_at > again.now);
    }
    again.tick();
    assert!(again.states().is_empty());
    let resolved = again.take_sent();
    assert_eq!(resolved[0].1.ends_at, again.last_tick());
}

#[test]
fn an_alert_whose_data_came_back_after_a_start_is_resolved_without_delay() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    (0..3).for_each(|_| house.tick());
    let mut again = House::on(house.kv.clone(), DOWN, house.now.plus_ms(MINUTE));
    again.query.answer("up == 0", &[(A, 0.0)]);
    again.tick();
    again.query.answer("up == 0", &[]);
    again.tick();
    assert!(again.states().is_empty());
}

#[test]
fn alerts_that_were_not_taken_are_handed_out_again() {
    let mut house = House::new(&DOWN.replace("for: 2m", "for: 0s"));
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.send_fails.store(true, Ordering::SeqCst);
    house.tick();
    assert!(house.manager.statuses()[0].rules[0].last_error.contains("alertmanager is away"));
    house.send_fails.store(false, Ordering::SeqCst);
    house.tick();
    assert_eq!(house.take_sent().len(), 1);
    assert_eq!(house.manager.statuses()[0].rules[0].health, Health::Ok);
}

const RECORD: &str = r#"
groups:
  - name: record
    interval: 1m
    query_offset: 10s
    labels: {team: a, zone: z}
    rules:
      - record: job:up:sum
        expr: sum(up)
        labels: {team: b}
"#;

#[test]
fn recorded_series_have_merged_labels_and_end_when_they_vanish() {
    let mut house = House::new(RECORD);
    house.query.answer("sum(up)", &[(A, 2.0), (B, 1.0)]);
    house.tick();
    assert_eq!(
        house.sink.at(house.last_tick().plus_ms(-10_000)),
        [
            r#"job:up:sum{gone="x", job="api", team="b", zone="z"} 2"#,
            r#"job:up:sum{job="db", team="b", zone="z"} 1"#,
        ]
    );
    house.query.answer("sum(up)", &[(B, 3.0)]);
    house.tick();
    assert_eq!(
        house.sink.at(house.last_tick().plus_ms(-10_000)),
        [
            r#"job:up:sum{gone="x", job="api", team="b", zone="z"} stale"#,
            r#"job:up:sum{job="db", team="b", zone="z"} 3"#,
        ]
    );
    house.sink.is_broken.store(true, Ordering::SeqCst);
    house.tick();
    assert_eq!(house.manager.statuses()[0].rules[0].last_error, "write series: the disk is full");
}

#[test]
fn missed_ticks_are_counted_and_not_made_up_for() {
    let house = House::new(RECORD);
    house.query.answer("sum(up)", &[]);
    let late = house.now.plus_ms(3 * MINUTE + 5_000);
    assert_eq!(house.manager.evaluate_due(late), 1);
    assert_eq!(house.manager.evaluate_due(late), 0);
    let metrics = house.manager.metrics().of_group("rules.yml;record");
    assert_eq!((metrics.iterations.get(), metrics.iterations_missed.get()), (4, 3));
    assert_eq!(house.manager.statuses()[0].last_evaluation, Some(house.now.plus_ms(3 * MINUTE)));
}

#[test]
fn a_clock_that_is_put_back_does_not_stop_the_rules() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[]);
    house.tick();
    let earlier = house.now.plus_ms(-1440 * MINUTE);
    drop(house.manager.due(earlier));
    let due = house.manager.next_due().unwrap();
    assert!(due >= earlier && due <= earlier.plus_ms(MINUTE), "{due} {earlier}");
}

#[test]
fn a_claimed_group_is_not_handed_out_twice() {
    let house = House::new(RECORD);
    let due = house.manager.due(house.now);
    assert_eq!(due.len(), 1);
    assert!(house.manager.due(house.now).is_empty());
    assert_eq!(house.manager.next_due(), None);
    drop(due);
    assert_eq!(house.manager.due(house.now).len(), 1);
}

#[test]
fn slots_spread_groups_and_do_not_move_with_a_restart() {
    let a = House::on(Arc::default(), RECORD, TimestampMs(1_700_000_000_000));
    let b = House::on(Arc::default(), RECORD, TimestampMs(1_700_000_123_456));
    let c = House::on(Arc::default(), DOWN, TimestampMs(1_700_000_000_000));
    assert_eq!(a.now.0 % MINUTE, b.now.0 % MINUTE);
    assert_ne!(a.now.0 % MINUTE, c.now.0 % MINUTE);
}

#[test]
fn a_reload_keeps_the_state_of_rules_that_stay_and_ends_the_others() {
    let mut house = House::new(DOWN);
    house.query.answer("up == 0", &[(A, 0.0)]);
    house.tick();
    let more = DOWN.replace("    rules:", "    rules:\n      - {record: x, expr: sum(up)}");
    house.manager.load(house.now, &[read(&more)]).unwrap();
    let status = house.manager.statuses();
    let RuleKind::Alerting { alerts, .. } = &status[0].rules[1].kind else { panic!("no alerts") };
    assert_eq!(alerts.len(), 1);
    house.manager.load(house.now, &[read(RECORD)]).unwrap();
    assert!(house.sink.at(house.now).iter().all(|line| line.ends_with(" stale")));
    assert_eq!(house.sink.at(house.now).len(), 2);
    assert!(house.kv.scan(store::FAMILY, b"").unwrap().is_empty());
}

#[test]
fn errors_answer_their_kind() {
    let error = Error::Query(model::Error::unavailable("x"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
