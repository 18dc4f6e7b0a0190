//! One run of bringing records in from a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, Ctx, Decision, Id, Rejection, all, data::bulk, kernel::valid, must};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What happened in another help desk, row by row.
    History,
    /// Who owns which product.
    Entitlements,
    /// Records of one kind, row by row.
    Records,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::History, Kind::Entitlements, Kind::Records];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::History => "history",
            Kind::Entitlements => "entitlements",
            Kind::Records => "records",
        }
    }
}

/// What may be asked of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Starts it.
    Start(Start),
    /// Records that every row has been dealt with.
    Complete {
        /// What became of the rows.
        counts: Counts,
    },
    /// Records that it could not go on; starting it again takes up where it stopped.
    Fail {
        /// Why.
        reason: String,
    },
    /// Stops it; what it has brought in stays.
    Cancel {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// An import about to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The system that the file comes from, such as `italian-helpdesk`.
    pub source: String,
    /// What the file holds.
    pub kind: Kind,
    /// The file's name.
    pub file_name: String,
    /// SHA-256 of the file, in hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub digest: String,
    /// The text of the mapping by which rows become commands; absent where the columns speak for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// How many rows the file has, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether it only shows what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of an import's rows: `rows = applied + unchanged + rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows that led to events.
    pub applied: u64,
    /// Rows that said what was already so.
    pub unchanged: u64,
    /// Rows that were refused.
    pub rejected: u64,
    /// Events written.
    pub events: u64,
}

/// What has happened to an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It runs.
    Started(Start),
    /// Every row has been dealt with.
    Completed {
        /// What became of the rows.
        counts: Counts,
    },
    /// It could not go on.
    Failed {
        /// Why.
        reason: String,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A bulk has taken back what it brought in, as far as that was possible.
    Undone {
        /// That bulk.
        by: Id,
        /// What became of its items: the records that the import touched.
        counts: bulk::Counts,
    },
}

/// Where an import stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// At work.
    Running,
    /// Through with every row.
    Completed,
    /// Stuck.
    Failed,
    /// Stopped by somebody.
    Cancelled,
}

/// One run of bringing records in from a file.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Where it stands.
    pub status: Status,
    /// What it brings in.
    pub start: Option<Start>,
    counts: Counts,
}

const UNKNOWN: Rejection = Rejection::missing("import_unknown", "There is no such import.");
const EXISTS: Rejection = Rejection::conflict("import_exists", "An import with this id brings in another file.");
const NOT_RUNNING: Rejection = Rejection::conflict("import_not_running", "The import has ended.");
const DIGEST_INVALID: Rejection =
    Rejection::invalid("import_digest_invalid", "A digest is 64 hex digits in small letters.");
const COUNTS_INVALID: Rejection =
    Rejection::invalid("import_counts_invalid", "Rows are applied, unchanged or rejected, and nothing else.");

fn start(import: &Import, new: Start) -> Decision<Event> {
    let digest = new.digest.len() == 64 && new.digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    all([
        valid::name(&new.source, "/source"),
        valid::name(&new.file_name, "/file_name"),
        must(digest, DIGEST_INVALID, "/digest"),
    ])?;
    match (import.status, &import.start) {
        (Status::Missing, _) => Ok(vec![Event::Started(new)]),
        (_, Some(old)) if *old != new => Err(EXISTS),
        (Status::Failed | Status::Cancelled, _) => Ok(vec![Event::Started(new)]),
        _ => Ok(vec![]),
    }
}

fn complete(import: &Import, counts: Counts) -> Decision<Event> {
    let sum = [counts.applied, counts.unchanged, counts.rejected].into_iter().try_fold(0u64, u64::checked_add);
    match import.status {
        _ if sum != Some(counts.rows) => Err(COUNTS_INVALID.at("/counts/rows")),
        Status::Running => Ok(vec![Event::Completed { counts }]),
        Status::Completed if import.counts == counts => Ok(vec![]),
        _ => Err(NOT_RUNNING),
    }
}

impl Aggregate for Import {
    const KIND: &'static str = "import";
    const PLURAL: &'static str = "imports";
    const CREATE: &'static str = "start";
    const INTERNAL: &'static [&'static str] = &["start", "complete", "fail"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, _: &Ctx<'_>) -> Decision<Event> {
        match (command, self.status) {
            (Command::Start(new), _) => start(self, new),
            (_, Status::Missing) => Err(UNKNOWN),
            (Command::Complete { counts }, _) => complete(self, counts),
            (Command::Fail { reason }, Status::Running) => Ok(vec![Event::Failed { reason }]),
            (Command::Fail { .. }, Status::Failed) => Ok(vec![]),
            (Command::Fail { .. }, _) => Err(NOT_RUNNING),
            (Command::Cancel { reason }, Status::Running | Status::Failed) => Ok(vec![Event::Cancelled { reason }]),
            (Command::Cancel { .. }, Status::Cancelled) => Ok(vec![]),
            (Command::Cancel { .. }, _) => Err(NOT_RUNNING),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Started(start) => {
                self.status = Status::Running;
                self.start = Some(start.clone());
            }
            Event::Completed { counts } => {
                self.status = Status::Completed;
                self.counts = *counts;
            }
            Event::Failed { .. } => self.status = Status::Failed,
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::Undone { .. } => {}
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, NOT_RUNNING, DIGEST_INVALID, COUNTS_INVALID, valid::NAME_INVALID]
    }

    fn examples() -> Vec<Command> {
        let start = Start {
            source: "old-desk".into(),
            kind: Kind::History,
            file_name: "cases.csv".into(),
            digest: "0123456789abcdef".repeat(4),
            mapping: Some("[columns]\ncase = \"Case ID\"\n".into()),
            rows: Some(3),
            dry_run: false,
        };
        let counts = Counts { rows: 3, applied: 1, unchanged: 1, rejected: 1, events: 2 };
        vec![
            Command::Start(start),
            Command::Fail { reason: "The file ends within a row.".into() },
            Command::Complete { counts },
            Command::Cancel { reason: Some("Wrong file".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, given};

    fn new() -> Start {
        let Some(Command::Start(start)) = Import::examples().into_iter().next() else { unreachable!() };
        start
    }

    fn import(events: impl IntoIterator<Item = Event>) -> Given<Import> {
        given([Event::Started(new())].into_iter().chain(events))
    }

    fn failed() -> Event {
        Event::Failed { reason: "The file ends within a row.".into() }
    }

    fn cancelled() -> Event {
        Event::Cancelled { reason: Some("Wrong file".into()) }
    }

    const COUNTS: Counts = Counts { rows: 3, applied: 1, unchanged: 1, rejected: 1, events: 2 };

    #[test]
    fn it_starts_once_and_again_where_it_stopped() {
        let start = || Command::Start(new());
        given::<Import>([]).when(start()).then([Event::Started(new())]);
        import([]).when(start()).nothing();
        import([Event::Completed { counts: COUNTS }]).when(start()).nothing();
        import([failed()]).when(start()).then([Event::Started(new())]);
        import([cancelled()]).when(start()).then([Event::Started(new())]);
        let other = Start { digest: "f".repeat(64), ..new() };
        import([failed()]).when(Command::Start(other)).rejected(EXISTS);
        let refused = |start, why| given::<Import>([]).when(Command::Start(start)).rejected(why);
        refused(Start { digest: "x".into(), ..new() }, DIGEST_INVALID);
        refused(Start { source: " ".into(), ..new() }, valid::NAME_INVALID);
        refused(Start { file_name: "".into(), ..new() }, valid::NAME_INVALID);
    }

    #[test]
    fn it_completes_when_every_row_is_accounted_for() {
        let complete = |counts| Command::Complete { counts };
        let completed = || Event::Completed { counts: COUNTS };
        import([]).when(complete(COUNTS)).then([completed()]);
        import([completed()]).when(complete(COUNTS)).nothing();
        import([completed()]).when(complete(Counts { events: 9, ..COUNTS })).rejected(NOT_RUNNING);
        import([]).when(complete(Counts { rows: 4, ..COUNTS })).rejected(COUNTS_INVALID);
        import([]).when(complete(Counts { applied: u64::MAX, ..COUNTS })).rejected(COUNTS_INVALID);
        import([cancelled()]).when(complete(COUNTS)).rejected(NOT_RUNNING);
        given::<Import>([]).when(complete(COUNTS)).rejected(UNKNOWN);
    }

    #[test]
    fn it_fails_or_is_stopped() {
        let fail = || Command::Fail { reason: "The file ends within a row.".into() };
        let cancel = || Command::Cancel { reason: Some("Wrong file".into()) };
        let completed = || Event::Completed { counts: COUNTS };
        import([]).when(fail()).then([failed()]);
        import([failed()]).when(fail()).nothing();
        import([completed()]).when(fail()).rejected(NOT_RUNNING);
        import([]).when(cancel()).then([cancelled()]);
        import([failed()]).when(cancel()).then([cancelled()]);
        let counts = bulk::Counts { items: 1, applied: 1, events: 1, ..bulk::Counts::default() };
        let undone = Event::Undone { by: Id::from_bits(9), counts };
        import([completed(), undone]).when(cancel()).rejected(NOT_RUNNING);
        import([cancelled()]).when(cancel()).nothing();
        import([completed()]).when(cancel()).rejected(NOT_RUNNING);
    }
}
