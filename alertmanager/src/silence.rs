//! Silences: alerts that match all matchers of an active one are not told of.
//!
//! Semantics are Alertmanager's (alertmanager `silence/silence.go`, `api/v2/api.go`), but a silence
//! is on disk before its id is told.

use std::hash::{BuildHasher, Hasher, RandomState};

use model::{Labels, Matcher, TimestampMs};

use crate::error::{Error, Result};

/// How long an expired silence is kept.
pub(crate) const RETENTION_MS: i64 = 120 * 3_600_000;

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceState {
    /// It begins later.
    Pending,
    /// It keeps alerts quiet.
    Active,
    /// It is over.
    Expired,
}

impl SilenceState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        }
    }
}

/// A silence.
#[derive(Debug, Clone, PartialEq)]
pub struct Silence {
    /// A UUID.
    pub id: String,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// When it begins.
    pub starts_at: TimestampMs,
    /// When it ends.
    pub ends_at: TimestampMs,
    /// When it was changed last.
    pub updated_at: TimestampMs,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further words.
    pub annotations: Labels,
}

/// A silence as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSilence {
    /// The silence to change; empty for a new one.
    pub id: String,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// When it begins; one in the past begins now.
    pub starts_at: TimestampMs,
    /// When it ends.
    pub ends_at: TimestampMs,
    /// Who makes it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further words.
    pub annotations: Labels,
}

impl Silence {
    /// Where it stands at `now`.
    pub fn state(&self, now: TimestampMs) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// Whether it keeps an alert with these labels quiet at `now`.
    pub fn mutes(&self, labels: &Labels, now: TimestampMs) -> bool {
        self.state(now) == SilenceState::Active && Matcher::all_match(&self.matchers, labels)
    }

    /// Whether it can become `new` and keep its id; otherwise it is ended and a new one made.
    fn can_become(&self, new: &NewSilence, now: TimestampMs) -> bool {
        if self.matchers != new.matchers {
            return false;
        }
        match self.state(now) {
            SilenceState::Active => self.starts_at == new.starts_at && new.ends_at >= now,
            SilenceState::Pending => new.starts_at >= now,
            SilenceState::Expired => false,
        }
    }

    fn expire(&mut self, now: TimestampMs) {
        if self.state(now) == SilenceState::Pending {
            self.starts_at = now;
        }
        self.ends_at = now;
        self.updated_at = now;
    }
}

/// What a request changes: silences to keep under their ids, the asked one last.
pub(crate) struct Change {
    pub(crate) silences: Vec<Silence>,
}

fn check(new: &NewSilence, now: TimestampMs) -> Result<()> {
    let refuse = |message: &str| Err(Error::BadSilence { message: message.to_owned() });
    if new.matchers.is_empty() {
        return refuse("at least one matcher required");
    }
    if new.matchers.iter().any(|matcher| matcher.name.is_empty()) {
        return refuse("invalid label name \"\"");
    }
    if new.matchers.iter().all(Matcher::matches_empty) {
        return refuse("at least one matcher must not match the empty string");
    }
    if new.starts_at >= new.ends_at {
        return refuse("start time must be before end time");
    }
    if new.ends_at < now {
        return refuse("end time can't be in the past");
    }
    Ok(())
}

/// What creating or changing a silence does.
pub(crate) fn plan(new: NewSilence, old: Option<&Silence>, now: TimestampMs) -> Result<Change> {
    check(&new, now)?;
    let mut silences = Vec::new();
    let (mut id, mut starts_at) = (new_id(), new.starts_at.max(now));
    match (old, new.id.is_empty()) {
        (None, false) => return Err(Error::SilenceNotFound { id: new.id }),
        (Some(old), false) if old.can_become(&new, now) => {
            (id, starts_at) = (old.id.clone(), new.starts_at);
        }
        (Some(old), false) if old.state(now) != SilenceState::Expired => {
            let mut ended = old.clone();
            ended.expire(now);
            silences.push(ended);
        }
        _ => {}
    }
    silences.push(Silence {
        id,
        matchers: new.matchers,
        starts_at,
        ends_at: new.ends_at,
        updated_at: now,
        created_by: new.created_by,
        comment: new.comment,
        annotations: new.annotations,
    });
    Ok(Change { silences })
}

/// What ending a silence does; `None` if it is over already.
pub(crate) fn plan_expire(silence: &Silence, now: TimestampMs) -> Option<Silence> {
    if silence.state(now) == SilenceState::Expired {
        return None;
    }
    let mut ended = silence.clone();
    ended.expire(now);
    Some(ended)
}

/// A random UUID (RFC 9562, version 4). The standard library's hash seeds are random, and an id
/// needs to be unique, not secret.
fn new_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff,
    )
}
