//! The core on a clock that only the test moves, with kills at every step.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::Matcher;
use model::kv::MemoryKeyValue;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60_000;
const START: TimestampMs = TimestampMs(1_700_000_000_000);

/// A store that can be told to fail.
#[derive(Default)]
struct Disk {
    inner: MemoryKeyValue,
    is_broken: AtomicBool,
    writes: AtomicUsize,
}

impl KeyValue for Disk {
    fn get(&self, family: &str, key: &[u8]) -> model::Result<Option<Vec<u8>>> {
        self.inner.get(family, key)
    }

    fn write(&self, family: &str, changes: &[KvChange]) -> model::Result<()> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(model::Error::unavailable("the disk is full"));
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(family, changes)
    }

    fn scan(&self, family: &str, prefix: &[u8]) -> model::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.inner.scan(family, prefix)
    }
}

fn page(send_resolved: bool) -> Integration {
    Integration { receiver: "default".to_owned(), kind: "page".to_owned(), index: 0, send_resolved }
}

fn open_with(kv: &Arc<Disk>, now: TimestampMs, send_resolved: bool) -> Engine {
    let options = EngineOptions {
        config: Config::default(),
        external_url: "http://signalbox".to_owned(),
        integrations: vec![page(send_resolved)],
    };
    Engine::open(options, kv.clone(), now).unwrap()
}

fn open(kv: &Arc<Disk>, now: TimestampMs) -> Engine {
    open_with(kv, now, true)
}

fn labels(name: &str, instance: &str) -> Labels {
    Labels::from_pairs([("alertname", name), ("instance", instance)])
}

fn firing(name: &str, instance: &str, now: TimestampMs) -> Alert {
    Alert {
        labels: labels(name, instance),
        annotations: Labels::empty(),
        starts_at: START,
        ends_at: now.plus_ms(4 * MINUTE),
        generator_url: String::new(),
    }
}

fn resolved(name: &str, instance: &str, now: TimestampMs) -> Alert {
    Alert { ends_at: now, ..firing(name, instance, now) }
}

/// Instances of a notification, resolved ones with a minus.
fn shown(notification: &Notification) -> String {
    let alerts = notification.alerts.iter().map(|notified| {
        let sign = if notified.is_resolved { "-" } else { "" };
        format!("{sign}{}", notified.alert.labels.get_or_empty("instance"))
    });
    format!("{}: {}", notification.reason.as_str(), alerts.collect::<Vec<_>>().join(","))
}

/// Delivers all that is due at `now`.
fn deliver(engine: &Engine, now: TimestampMs) -> Vec<String> {
    let due = engine.due(now).unwrap();
    due.iter().for_each(|notification| engine.finish(notification, Ok(())));
    due.iter().map(shown).collect()
}

#[test]
fn a_group_waits_then_tells_of_changes_then_repeats() {
    let kv = Arc::new(Disk::default());
    let engine = open(&kv, START);
    let at = |seconds: i64| START.plus_ms(seconds * SECOND);
    engine.put_alerts(START, vec![firing("A", "1", START)]).unwrap();
    assert_eq!(engine.next_due(), at(30));
    assert!(deliver(&engine, at(29)).is_empty());
    assert_eq!(deliver(&engine, at(30)), ["first notification: 1"]);
    engine.put_alerts(at(60), vec![firing("A", "2", at(60)), firing("A", "1", at(60))]).unwrap();
    assert!(deliver(&engine, at(60)).is_empty());
    engine.put_alerts(at(300), vec![firing("A", "2", at(300)), firing("A", "1", at(300))]).unwrap();
    assert_eq!(deliver(&engine, at(330)), ["new alerts added: 1,2"]);
    engine.put_alerts(at(400), vec![resolved("A", "1", at(400))]).unwrap();
    engine.put_alerts(at(600), vec![firing("A", "2", at(600))]).unwrap();
    assert_eq!(deliver(&engine, at(630)), ["some alerts resolved: -1,2"]);
    // It is told once and then forgotten.
    assert_eq!(engine.alerts(at(630)).len(), 1);
    let mut repeats = Vec::new();
    for minute in 11..=260 {
        let now = at(minute * 60);
        engine.put_alerts(now, vec![firing("A", "2", now)]).unwrap();
        repeats.extend(deliver(&engine, now).into_iter().map(|text| (minute, text)));
    }
    // Four hours after 10.5 minutes, at the next look at the group.
    assert_eq!(repeats.len(), 1, "{repeats:?}");
    assert_eq!(repeats[0].1, "repeat interval elapsed: 2");
    assert!((250..=256).contains(&repeats[0].0), "{repeats:?}");
    let end = at(261 * 60);
    engine.put_alerts(end, vec![resolved("A", "2", end)]).unwrap();
    assert_eq!(deliver(&engine, end.plus_ms(5 * MINUTE)), ["all alerts resolved: -2"]);
    assert!(engine.groups(end).is_empty());
    assert!(kv.scan(store::FAMILY, b"a/").unwrap().is_empty());
    assert!(kv.scan(store::FAMILY, b"g/").unwrap().is_empty());
}

#[test]
fn what_fires_and_resolves_within_the_wait_is_not_told() {
    let engine = open(&Arc::default(), START);
    engine.put_alerts(START, vec![firing("A", "1", START)]).unwrap();
    let soon = START.plus_ms(10 * SECOND);
    engine.put_alerts(soon, vec![resolved("A", "1", soon)]).unwrap();
    assert!(deliver(&engine, START.plus_ms(30 * SECOND)).is_empty());
    assert!(engine.groups(soon).is_empty());
}

#[test]
fn an_old_alert_does_not_wait() {
    let engine = open(&Arc::default(), START);
    let later = START.plus_ms(MINUTE);
    engine.put_alerts(later, vec![firing("A", "1", later)]).unwrap();
    assert_eq!(deliver(&engine, later), ["first notification: 1"]);
}

#[test]
fn a_failed_delivery_is_tried_at_the_next_look() {
    let engine = open(&Arc::default(), START);
    let later = START.plus_ms(MINUTE);
    engine.put_alerts(later, vec![firing("A", "1", later)]).unwrap();
    let due = engine.due(later).unwrap();
    assert_eq!(due[0].try_until, later.plus_ms(5 * MINUTE - SECOND));
    // While it is under way, nobody else is sent.
    assert!(engine.due(later.plus_ms(5 * MINUTE)).unwrap().is_empty());
    engine.finish(&due[0], Err("refused"));
    let next = later.plus_ms(10 * MINUTE);
    engine.put_alerts(next, vec![firing("A", "1", next)]).unwrap();
    assert_eq!(deliver(&engine, next), ["first notification: 1"]);
}

#[test]
fn a_receiver_that_is_not_told_of_ends_is_told_of_the_next_start() {
    let kv = Arc::default();
    let engine = open_with(&kv, START, false);
    let mut now = START.plus_ms(MINUTE);
    engine.put_alerts(now, vec![firing("A", "1", now)]).unwrap();
    assert_eq!(deliver(&engine, now), ["first notification: 1"]);
    now = now.plus_ms(5 * MINUTE);
    engine.put_alerts(now, vec![resolved("A", "1", now)]).unwrap();
    assert!(deliver(&engine, now).is_empty());
    now = now.plus_ms(5 * MINUTE);
    let again = Alert { starts_at: now, ..firing("A", "1", now) };
    engine.put_alerts(now, vec![again]).unwrap();
    assert_eq!(deliver(&engine, now.plus_ms(30 * SECOND)), ["new alerts added: 1"]);
}

#[test]
fn downtime_does_not_resolve_alerts() {
    let kv = Arc::default();
    let engine = open(&kv, START);
    let now = START.plus_ms(MINUTE);
    engine.put_alerts(now, vec![firing("A", "1", now), firing("A", "2", now)]).unwrap();
    assert_eq!(deliver(&engine, now).len(), 1);
    engine.put_alerts(now, vec![resolved("A", "2", now)]).unwrap();
    drop(engine);
    let back = now.plus_ms(60 * MINUTE);
    let engine = open(&kv, back);
    // The end that was told stays an end.
    assert_eq!(deliver(&engine, back), ["some alerts resolved: 1,-2"]);
    assert_eq!(engine.alerts(back).len(), 1);
    let much_later = back.plus_ms(6 * MINUTE);
    assert_eq!(deliver(&engine, much_later), ["all alerts resolved: -1"]);
}

#[test]
fn a_silenced_alert_is_not_told() {
    let kv = Arc::default();
    let engine = open(&kv, START);
    let now = START.plus_ms(MINUTE);
    let id = engine.set_silence(now, silence("1", now, now.plus_ms(20 * MINUTE))).unwrap();
    engine.put_alerts(now, vec![firing("A", "1", now), firing("A", "2", now)]).unwrap();
    assert_eq!(deliver(&engine, now), ["first notification: 2"]);
    let rows = engine.alerts(now);
    let quiet: Vec<_> = rows.iter().filter(|row| row.state == AlertRowState::Suppressed).collect();
    assert_eq!(quiet[0].silenced_by, std::slice::from_ref(&id));
    drop(engine);
    let engine = open(&kv, now);
    engine.expire_silence(now, &id).unwrap();
    assert_eq!(deliver(&engine, now.plus_ms(5 * MINUTE)).len(), 1);
    assert_eq!(engine.silence(&id).unwrap().state(now), SilenceState::Expired);
    assert!(engine.silence("nosuch").is_err());
}

fn silence(instance: &str, starts_at: TimestampMs, ends_at: TimestampMs) -> NewSilence {
    NewSilence {
        id: String::new(),
        matchers: vec![Matcher::equal("instance", instance)],
        starts_at,
        ends_at,
        created_by: "me".to_owned(),
        comment: "test".to_owned(),
        annotations: Labels::empty(),
    }
}

#[test]
fn silences_change_as_upstream_changes_them() {
    let engine = open(&Arc::default(), START);
    let end = START.plus_ms(MINUTE);
    let id = engine.set_silence(START, silence("1", START, end)).unwrap();
    assert_eq!(id.len(), 36);
    // A longer end keeps the id; other matchers end it and make another.
    let longer = NewSilence { id: id.clone(), ..silence("1", START, end.plus_ms(MINUTE)) };
    assert_eq!(engine.set_silence(START.plus_ms(SECOND), longer).unwrap(), id);
    let other = NewSilence { id: id.clone(), ..silence("2", START, end.plus_ms(MINUTE)) };
    let now = START.plus_ms(2 * SECOND);
    let other_id = engine.set_silence(now, other).unwrap();
    assert_ne!(other_id, id);
    assert_eq!(engine.silence(&id).unwrap().state(now), SilenceState::Expired);
    assert_eq!(engine.silence(&other_id).unwrap().starts_at, now);
    let order: Vec<String> = engine.silences(now).into_iter().map(|silence| silence.id).collect();
    assert_eq!(order, [other_id, id]);
    for (bad, expected) in [
        (NewSilence { matchers: Vec::new(), ..silence("1", START, end) }, "at least one matcher"),
        (silence("", START, end), "must not match the empty string"),
        (silence("1", end, START), "start time must be before end time"),
        (silence("1", START, now.plus_ms(-1)), "can't be in the past"),
        (NewSilence { id: "nosuch".to_owned(), ..silence("1", START, end) }, "nosuch not found"),
    ] {
        let error = engine.set_silence(now, bad).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn posted_alerts_get_what_their_sender_left_out() {
    let engine = open(&Arc::default(), START);
    let posted = PostedAlert {
        labels: labels("A", "1"),
        annotations: Labels::empty(),
        starts_at: None,
        ends_at: None,
        generator_url: String::new(),
    };
    engine.post_alerts(START, vec![posted.clone()]).unwrap();
    let row = &engine.alerts(START)[0];
    assert_eq!((row.alert.starts_at, row.alert.ends_at), (START, START.plus_ms(5 * MINUTE)));
    let nameless = PostedAlert { labels: Labels::empty(), ..posted };
    assert!(engine.post_alerts(START, vec![nameless]).is_err());
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let kv = Arc::new(Disk::default());
    let engine = open(&kv, START);
    let now = START.plus_ms(MINUTE);
    kv.is_broken.store(true, Ordering::SeqCst);
    assert!(engine.put_alerts(now, vec![firing("A", "1", now)]).is_err());
    assert!(engine.alerts(now).is_empty());
    kv.is_broken.store(false, Ordering::SeqCst);
    let lasting = Alert { ends_at: now.plus_ms(60 * MINUTE), ..firing("A", "1", now) };
    engine.put_alerts(now, vec![lasting]).unwrap();
    kv.is_broken.store(true, Ordering::SeqCst);
    assert!(engine.due(now).is_err());
    kv.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(deliver(&engine, now), ["first notification: 1"]);
    let writes = kv.writes.load(Ordering::SeqCst);
    assert!(deliver(&engine, now.plus_ms(5 * MINUTE)).is_empty());
    assert_eq!(kv.writes.load(Ordering::SeqCst), writes, "a look without news writes nothing");
}

#[test]
fn merging_follows_upstream() {
    let stored = |starts: i64, ends: i64, is_timeout| StoredAlert {
        alert: Alert {
            starts_at: START.plus_ms(starts * MINUTE),
            ends_at: START.plus_ms(ends * MINUTE),
            ..firing("A", "1", START)
        },
        updated_at: START,
        is_timeout,
    };
    let now = START.plus_ms(10 * MINUTE);
    let bounds = |alert: StoredAlert| {
        let of = |at: TimestampMs| (at.0 - START.0) / MINUTE;
        (of(alert.alert.starts_at), of(alert.alert.ends_at))
    };
    // The earliest start and the latest end that someone said.
    assert_eq!(bounds(merge(&stored(0, 20, false), stored(5, 15, false), now)), (0, 20));
    // An end that was made up does not hold.
    assert_eq!(bounds(merge(&stored(0, 20, true), stored(5, 15, false), now)), (0, 15));
    // Over is over.
    assert_eq!(bounds(merge(&stored(0, 20, false), stored(5, 9, false), now)), (0, 9));
    // No overlap: another time of firing.
    assert_eq!(bounds(merge(&stored(0, 5, false), stored(6, 20, false), now)), (6, 20));
}

/// One thing that happens in a simulation.
#[derive(Debug, Clone, Copy)]
enum Event {
    Fire(u8),
    Resolve(u8),
    Wait(u8),
}

/// Runs events with a kill after one step; each put, look, delivery and outcome is a step. Returns
/// what the receiver got.
fn simulate(events: &[Event], kill_at: Option<usize>) -> Outcome {
    let kv = Arc::new(Disk::default());
    let mut world =
        World { engine: open(&kv, START), kv, now: START, step: 0, kill_at, delivered: Vec::new() };
    for event in events {
        match *event {
            Event::Fire(i) => world.put(i, false),
            Event::Resolve(i) => world.put(i, true),
            Event::Wait(seconds) => world.wait(i64::from(seconds) * 10),
        }
    }
    world.wait(20 * 60);
    Outcome { delivered: world.delivered, steps: world.step }
}

struct Outcome {
    delivered: Vec<(String, Vec<(u64, bool)>)>,
    steps: usize,
}

struct World {
    engine: Engine,
    kv: Arc<Disk>,
    now: TimestampMs,
    step: usize,
    kill_at: Option<usize>,
    delivered: Vec<(String, Vec<(u64, bool)>)>,
}

impl World {
    /// Counts a step; `true` if the process was killed right after it.
    fn step_and_kill(&mut self) -> bool {
        self.step += 1;
        if self.kill_at != Some(self.step) {
            return false;
        }
        self.engine = open(&self.kv, self.now);
        true
    }

    fn put(&mut self, instance: u8, is_resolved: bool) {
        let instance = instance.to_string();
        let alert = match is_resolved {
            true => resolved("A", &instance, self.now),
            // Far away, so that time alone resolves nothing.
            false => Alert {
                ends_at: self.now.plus_ms(600 * MINUTE),
                ..firing("A", &instance, self.now)
            },
        };
        self.engine.put_alerts(self.now, vec![alert]).unwrap();
        self.step_and_kill();
    }

    fn wait(&mut self, seconds: i64) {
        for _ in 0..seconds / 10 {
            self.now = self.now.plus_ms(10 * SECOND);
            let due = self.engine.due(self.now).unwrap();
            if self.step_and_kill() {
                continue;
            }
            for notification in due {
                let alerts = notification.alerts.iter().map(|a| (a.fingerprint, a.is_resolved));
                self.delivered.push((notification.reason.as_str().to_owned(), alerts.collect()));
                // The receiver has it, the engine does not know.
                if self.step_and_kill() {
                    break;
                }
                self.engine.finish(&notification, Ok(()));
                if self.step_and_kill() {
                    break;
                }
            }
        }
    }
}

/// Every alert's last told state.
fn last_told(outcome: &Outcome) -> BTreeMap<u64, bool> {
    outcome.delivered.iter().flat_map(|(_, alerts)| alerts.iter().copied()).collect()
}

fn check_kills(events: &[Event]) -> Result<(), TestCaseError> {
    let calm = simulate(events, None);
    for kill_at in 1..=calm.steps {
        let killed = simulate(events, Some(kill_at));
        // What nobody knew to fire may end untold.
        let (told, expected) = (last_told(&killed), last_told(&calm));
        let fired = |one: &u64| calm.delivered.iter().any(|(_, all)| all.contains(&(*one, false)));
        for (fingerprint, is_resolved) in expected.iter().filter(|(one, _)| fired(one)) {
            let found = told.get(fingerprint);
            prop_assert_eq!(found, Some(is_resolved), "kill at {}", kill_at);
        }
        // A restart looks at once, and may tell of what comes and goes before the next look.
        let count = |outcome: &Outcome, told: &[(u64, bool)]| {
            outcome.delivered.iter().filter(|(_, alerts)| alerts == told).count()
        };
        let kinds: BTreeSet<&Vec<(u64, bool)>> =
            killed.delivered.iter().map(|(_, alerts)| alerts).collect();
        let repeated: usize = kinds
            .into_iter()
            .map(|told| count(&killed, told).saturating_sub(count(&calm, told).max(1)))
            .sum();
        prop_assert!(repeated <= 1, "kill at {}: {} deliveries are repeated", kill_at, repeated);
        for (_, alerts) in &calm.delivered {
            for told in alerts.iter().filter(|(_, is_resolved)| !is_resolved) {
                let is_told = killed.delivered.iter().any(|(_, seen)| seen.contains(told));
                prop_assert!(is_told, "kill at {} lost a page", kill_at);
            }
        }
    }
    Ok(())
}

#[test]
fn a_kill_at_any_step_loses_no_page_and_repeats_at_most_one() {
    use Event::{Fire, Resolve, Wait};
    let events = [
        Fire(1),
        Wait(2),
        Fire(2),
        Wait(6),
        Fire(3),
        Wait(40),
        Resolve(1),
        Wait(40),
        Fire(1),
        Wait(10),
        Resolve(2),
        Resolve(3),
        Resolve(1),
        Wait(60),
    ];
    check_kills(&events).unwrap();
}

#[test]
fn an_alert_that_ends_while_its_page_is_in_doubt_is_told_all_the_same() {
    use Event::{Fire, Resolve, Wait};
    check_kills(&[Wait(4), Fire(2), Wait(1), Resolve(2)]).unwrap();
    check_kills(&[Fire(1), Wait(1), Fire(2), Wait(30), Resolve(1), Resolve(2)]).unwrap();
    // The repeated delivery must not move the look at which 2 still fires.
    check_kills(&[Fire(3), Wait(43), Fire(2), Wait(20), Resolve(2)]).unwrap();
    check_kills(&[Fire(3), Wait(35), Fire(2), Wait(28), Resolve(2)]).unwrap();
    // Its end may have been told when it begins again.
    check_kills(&[Fire(2), Wait(17), Resolve(2), Wait(16), Fire(2)]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_kill_at_any_step_of_any_story_loses_no_page(
        events in proptest::collection::vec(
            prop_oneof![
                (1_u8..4).prop_map(Event::Fire),
                (1_u8..4).prop_map(Event::Resolve),
                (1_u8..50).prop_map(Event::Wait),
            ],
            1..12,
        ),
    ) {
        check_kills(&events)?;
    }
}
