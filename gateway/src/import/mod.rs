//! Bringing data in from elsewhere: files of another help desk's history, of who owns which product, and of records of any kind.
//!
//! A file is uploaded in pieces into the database, so that any process can run its import and take it up again after a
//! crash. Rows are dealt with in windows; what became of a window is recorded in one transaction. A row that was
//! carried out but not recorded yet is recognised by its command id, one that an earlier import of the same file
//! carried out by its mark in the log.

mod attributes;
mod entitlements;
mod finder;
mod history;
mod job;
mod layout;
mod lookup;
mod mapping;
mod plan;
mod preview;
mod records;
mod rows;
mod sheet;
mod shipped;
pub(crate) mod store;
mod suggest;
mod target;
mod template;
mod upsert;

use std::collections::HashMap;

use commands::{Cause, Refused};
use domain::{Actor, Id};
use uuid::Uuid;

pub(crate) use self::{
    attributes::{Shape, shape},
    entitlements::{COLUMNS, CUSTOM, Columns, status_name},
    job::{idle, run},
    layout::{Guess, Layout},
    lookup::{Lookup, LookupError, external},
    mapping::{Mapping, MappingError},
    preview::{Known, Who, foresee, kinds, look, shipped_or},
    records::{Brought, Records},
    rows::{Fault, FileError, Header, Row, Rows},
    sheet::{Existing, Missing, Sheet, Spoken},
    target::Target,
    template::Template,
    upsert::{Standing, Unfit, Wanted, commands as upsert},
};

/// Rows, of as many cases, that are dealt with at once: the log writes them in common batches.
const CONCURRENT: usize = 128;

/// The id of a record that a source knows by a key of its own: the same each time.
pub(crate) fn id_of(tenant: Id, source: &str, kind: &str, key: &str) -> Id {
    Id::named(&[&tenant.to_string(), source, kind, key])
}

/// Which import it is, for whom.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) import: Id,
    pub(crate) tenant: Id,
    pub(crate) source: String,
    /// The importing user.
    pub(crate) actor: Actor,
    /// Where it is no file that is brought in, but one thing that a program handed in.
    pub(crate) handed: Option<Handed>,
}

/// One thing that a program handed in, as it is tried.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    /// By what event.
    pub(crate) cause: Cause,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
}

impl Handed {
    /// Under what it is marked which records have been made of what was handed in.
    pub(crate) const MARK: &'static str = "intake";

    /// The mark of a step of an attempt.
    pub(crate) fn mark(delivery: Id, attempt: u32, step: u64) -> String {
        format!("{delivery}/{attempt}/{step}")
    }
}

impl Run {
    /// The command that a row is carried out by.
    fn command_id(&self, row: u64) -> Uuid {
        match &self.handed {
            None => Uuid::new_v5(&self.correlation(), &row.to_be_bytes()),
            Some(handed) => {
                Uuid::new_v5(&self.correlation(), Handed::mark(self.import, handed.attempt, row).as_bytes())
            }
        }
    }

    /// The story that everything of an import belongs to.
    fn correlation(&self) -> Uuid {
        Uuid::from_u128(self.import.bits())
    }
}

/// Rows of a window that this import carried out before it was interrupted, by number, with their events.
type Before = HashMap<u64, usize>;

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It led to so many events.
    Applied(u64),
    /// It was so already.
    Unchanged,
    /// It was refused.
    Rejected(Fault),
}

impl Verdict {
    fn events(events: usize) -> Verdict {
        if events == 0 { Verdict::Unchanged } else { Verdict::Applied(events as u64) }
    }

    fn of(outcome: Result<usize, Failed>) -> Result<Verdict, Stop> {
        match outcome {
            Ok(events) => Ok(Verdict::events(events)),
            Err(Failed::Fault(fault)) => Ok(Verdict::Rejected(fault)),
            Err(Failed::Refused(Refused::Marked)) => Ok(Verdict::Unchanged),
            Err(Failed::Refused(Refused::Rejected(rejection))) => Ok(Verdict::Rejected(rejection.into())),
            Err(Failed::Refused(refused)) => Err(refused.into()),
        }
    }
}

/// Why a row was not carried out.
enum Failed {
    Fault(Fault),
    Refused(Refused),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Fault(fault)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        Failed::Refused(refused)
    }
}

/// Why an import does not go on now.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is out of reach; it goes on later.
    Later(String),
    /// It cannot go on.
    Never(String),
    /// Another runner has it, or this process stops.
    Elsewhere,
    /// It has ended: somebody cancelled it, or it came to its end before.
    Ended,
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        match refused {
            Refused::Unavailable(_) | Refused::StorageFull | Refused::Busy => Stop::Later(refused.to_string()),
            other => Stop::Never(other.to_string()),
        }
    }
}

impl From<eventstore::Error> for Stop {
    fn from(error: eventstore::Error) -> Stop {
        match error {
            eventstore::Error::Database(error) => error.into(),
            eventstore::Error::Lost(lost) => Stop::Later(lost.to_string()),
            other => Stop::Never(other.to_string()),
        }
    }
}

/// The class of PostgreSQL's errors about values: what it cannot take now it never takes.
const DATA_EXCEPTION: &str = "22";

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match code.is_some_and(|code| code.starts_with(DATA_EXCEPTION)) {
            true => Stop::Never(format!("the database: {error}")),
            false => Stop::Later(format!("the database: {error}")),
        }
    }
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Stop {
        match error {
            FileError::Unfit(why) => Stop::Never(why),
            FileError::Unavailable(why) => Stop::Later(why),
        }
    }
}

impl From<MappingError> for Stop {
    fn from(error: MappingError) -> Stop {
        Stop::Never(format!("the mapping: {error}"))
    }
}
