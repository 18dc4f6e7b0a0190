//! What goes into the log, and what comes back.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// Everything one command changes: applied whole or not at all.
///
/// A repeat is told as one and answers with the stored result. Of a command that is remembered, it is told by its id,
/// whatever it would write now. Of any other, by the events that stand where its own are to stand: it must come as it was,
/// with the same expected versions and event ids. Without a single event an append does nothing but to remember its command.
#[derive(Clone, Debug)]
pub struct Append {
    /// The tenant all its streams belong to.
    pub tenant: String,
    /// Applied once.
    pub command_id: Uuid,
    /// A digest of what was asked, so that an id reused for something else is refused.
    pub fingerprint: i64,
    /// Whether somebody may ask for the command later, or decide it anew. What its events alone cannot tell is remembered in
    /// any case: that it wrote nothing, that it wrote whatever the version, which numbers it drew.
    pub remember: bool,
    /// Streams written or only checked, each at most once.
    pub writes: Vec<StreamWrite>,
    /// Unique keys taken or released with it.
    pub claims: Vec<Claim>,
}

/// Events for one stream, and the version it must have. Without events the version is only checked.
#[derive(Clone, Debug)]
pub struct StreamWrite {
    /// `category-key`.
    pub stream: String,
    /// The version the decision was made on.
    pub expected: Expected,
    /// Appended in this order.
    pub events: Vec<NewEvent>,
}

/// What must be true of a stream for an append to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// No event yet.
    NoStream,
    /// At least one event.
    StreamExists,
    /// The newest event has this version.
    Exact(i64),
}

/// An event to be written.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event's own id.
    pub id: Uuid,
    /// Stored type, such as `ticket.opened`.
    pub kind: String,
    /// When it happened in the world, to the microsecond; `None`: when it is recorded.
    pub occurred_at: Option<Timestamp>,
    /// Whether `data` and `metadata` are JSON.
    pub is_json: bool,
    /// What happened.
    pub data: Bytes,
    /// Who did it and why.
    pub metadata: Bytes,
    /// A number to draw in the append itself.
    pub number: Option<Number>,
}

/// Draws the next number of a counter of the tenant (1, 2, 3, ... without a hole) and writes it into the event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The counter's name, such as `ticket`.
    pub counter: String,
    /// Byte offset in `data` of the single ASCII `0` whose place the number takes.
    pub offset: usize,
}

/// A unique key to take or to release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of key, such as `contact.email`.
    pub scope: String,
    /// The key, normalised by the caller.
    pub key: String,
    /// The stream that owns it.
    pub stream: String,
    /// Unique in the whole deployment instead of in the tenant.
    pub global: bool,
    /// What to do.
    pub action: ClaimAction,
}

/// What to do with a unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAction {
    /// Own it, or refuse the append if another stream does. Owning it already is fine.
    Take,
    /// Let go of it if the stream owns it. Releases of an append come before its takes.
    Release,
}

/// Who owns a unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimOwner {
    /// The tenant of the owning stream.
    pub tenant: String,
    /// The owning stream.
    pub stream: String,
}

impl ClaimOwner {
    /// The part of the stream's name after the first `-`, as [`Recorded::key`](crate::Recorded::key) is of an event's.
    pub fn key(&self) -> &str {
        self.stream.split_once('-').map_or("", |(_, key)| key)
    }
}

/// The outcome of an accepted append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The command had been applied before: this is the result of that time.
    pub duplicate: bool,
    /// Position of the first event.
    pub first_position: i64,
    /// Position of the last event; `first_position - 1` for an append without events, which is the head at that moment.
    pub last_position: i64,
    /// When it was written, by the database's clock.
    pub recorded_at: Timestamp,
    /// The version of each written or checked stream after the append, in the order of `writes`. Of a duplicate: after
    /// the append of that time, and -1 for a stream which that append did not write.
    pub versions: Vec<i64>,
    /// The numbers drawn, in the order of the events that asked for one.
    pub numbers: Vec<i64>,
}

/// What is remembered of an applied command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    /// The tenant it was applied for.
    pub tenant: String,
    /// The digest given with it.
    pub fingerprint: i64,
    /// Position of its first event.
    pub first_position: i64,
    /// Position of its last event; smaller than the first when it changed nothing.
    pub last_position: i64,
}

/// Why an append was not accepted. Nothing of it was written, except perhaps for [`AppendError::Unavailable`]
/// and [`AppendError::Away`]: then ask again with the same command id.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream was not as expected.
    #[error("stream {stream}: expected {expected:?}, found version {actual}")]
    Conflict {
        /// The first stream that differs.
        stream: String,
        /// What the append expected.
        expected: Expected,
        /// The stream's version: -1 when it has no events.
        actual: i64,
    },
    /// A unique key belongs to another stream.
    #[error("{scope} {key} is taken")]
    Claimed {
        /// The scope of the key.
        scope: String,
        /// The key.
        key: String,
        /// The stream that owns it; empty when that stream belongs to another tenant.
        owner_stream: String,
    },
    /// The command id was used before for something else.
    #[error("the command id was used before for another command")]
    CommandReused,
    /// The append cannot be written as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The database could not be reached in time: whether the append was applied is not known.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// The database is away: if it went while the append was on its way, whether it was applied is not known.
    #[error(transparent)]
    Away(#[from] crate::presence::Lost),
    /// There is no room, or too little, to write anything.
    #[error("the database has no room left to write")]
    StorageFull,
    /// The database refused.
    #[error("the log failed: {0}")]
    Store(std::sync::Arc<sqlx::Error>),
}

/// Longest tenant, stream, type, scope, key or counter in bytes: index entries must fit a third of a page.
const TEXT_BYTES: usize = 512;
/// Most bytes in one append: it travels as one message.
const APPEND_BYTES: usize = 128 << 20;

impl Append {
    /// Whether more than exact versions must be looked at to accept it.
    pub(crate) fn needs_care(&self) -> bool {
        !self.claims.is_empty() || self.events() == 0 || !self.writes.iter().all(StreamWrite::is_exact)
    }

    /// Whether its command id goes into `log_command`.
    pub(crate) fn is_remembered(&self) -> bool {
        let unclear = |write: &StreamWrite| !write.events.is_empty() && !write.is_exact();
        let numbered = |write: &StreamWrite| write.events.iter().any(|event| event.number.is_some());
        self.remember || self.events() == 0 || self.writes.iter().any(|write| unclear(write) || numbered(write))
    }

    /// How many events it carries.
    pub(crate) fn events(&self) -> usize {
        self.writes.iter().map(|write| write.events.len()).sum()
    }

    /// The only stream it writes, at a version that is given, if nothing else has to be looked at and no number drawn.
    pub(crate) fn single(&self) -> Option<&StreamWrite> {
        let [write] = self.writes.as_slice() else { return None };
        let numbered = || write.events.iter().any(|event| event.number.is_some());
        (!self.needs_care() && !numbered()).then_some(write)
    }

    /// About how many bytes it sends.
    pub(crate) fn bytes(&self) -> usize {
        self.writes
            .iter()
            .flat_map(|write| &write.events)
            .map(|event| event.data.len() + event.metadata.len() + 128)
            .sum()
    }

    /// Refuses what PostgreSQL would refuse, before it can trouble the rest of its batch.
    pub(crate) fn validate(&self, event_bytes: usize, append_events: usize) -> Result<(), AppendError> {
        text("tenant", &self.tenant)?;
        if self.events() > append_events {
            return Err(invalid(format!(
                "an append carries at most {append_events} events, this one {}",
                self.events()
            )));
        }
        if self.bytes() > APPEND_BYTES {
            return Err(invalid(format!("an append carries at most {APPEND_BYTES} bytes, this one {}", self.bytes())));
        }
        for (index, write) in self.writes.iter().enumerate() {
            text("stream", &write.stream)?;
            if self.writes.iter().take(index).any(|earlier| earlier.stream == write.stream) {
                return Err(invalid(format!("stream {} is written twice in one append", write.stream)));
            }
            if let Expected::Exact(version) = write.expected
                && version < 0
            {
                return Err(invalid(format!("stream {}: {version} is not a version", write.stream)));
            }
            write.events.iter().try_for_each(|event| event.validate(event_bytes))?;
        }
        for claim in &self.claims {
            text("claim scope", &claim.scope)?;
            text("claim key", &claim.key)?;
            text("stream", &claim.stream)?;
            let same = |other: &&Claim| {
                (&other.scope, &other.key, other.global, other.action)
                    == (&claim.scope, &claim.key, claim.global, claim.action)
            };
            if self.claims.iter().filter(same).count() > 1 {
                return Err(invalid(format!(
                    "{} {} is claimed or released twice in one append",
                    claim.scope, claim.key
                )));
            }
        }
        Ok(())
    }
}

impl StreamWrite {
    /// Whether only one version will do.
    fn is_exact(&self) -> bool {
        matches!(self.expected, Expected::Exact(_) | Expected::NoStream)
    }
}

impl NewEvent {
    fn validate(&self, event_bytes: usize) -> Result<(), AppendError> {
        text("event type", &self.kind)?;
        let bytes = self.data.len() + self.metadata.len();
        if bytes > event_bytes {
            return Err(invalid(format!("{} has {bytes} bytes, the limit is {event_bytes}", self.kind)));
        }
        if let Some(number) = &self.number {
            text("counter", &number.counter)?;
            let digit = |at: usize| self.data.get(at).is_some_and(u8::is_ascii_digit);
            let alone = !digit(number.offset + 1) && number.offset.checked_sub(1).is_none_or(|at| !digit(at));
            if self.data.get(number.offset) != Some(&b'0') || !alone {
                return Err(invalid(format!("{} has no single 0 at byte {} for its number", self.kind, number.offset)));
            }
        }
        Ok(())
    }
}

fn text(what: &str, value: &str) -> Result<(), AppendError> {
    if value.is_empty() || value.len() > TEXT_BYTES {
        return Err(invalid(format!("{what} must have 1 to {TEXT_BYTES} bytes, not {}", value.len())));
    }
    if value.contains('\0') {
        return Err(invalid(format!("{what} must not contain a zero byte")));
    }
    Ok(())
}

fn invalid(message: String) -> AppendError {
    AppendError::Invalid(message)
}
