//! One command for many records, in the background: which ones is written down when it is asked for, and what became of each as it
//! runs. It goes on after a crash where it was, and does nothing twice: each item has a command id of its own.

mod run;
pub(crate) mod store;
mod undo;

pub(crate) use self::run::{idle, run};

use commands::Refused;
use domain::{FieldError, Id, Rejection};
use uuid::Uuid;

/// Most records that may be named one by one; a filter may find any number.
pub(crate) const MAX_IDS: usize = 10_000;

/// The story that everything of a bulk, or of an import, belongs to.
pub(crate) fn story(id: Id) -> Uuid {
    Uuid::from_u128(id.bits())
}

/// The command that an item is carried out by.
fn command_id(bulk: Id, number: i64) -> Uuid {
    Uuid::new_v5(&story(bulk), &number.to_be_bytes())
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It led to events, up to this position.
    Applied { events: Vec<serde_json::Value>, position: i64 },
    /// It was so already.
    Unchanged,
    /// It was refused.
    Refused { code: String, detail: String, pointer: Option<String> },
}

impl From<Rejection> for Outcome {
    fn from(rejection: Rejection) -> Outcome {
        let pointer = rejection.errors.first().map(|FieldError { pointer, .. }| pointer.clone());
        Outcome::Refused { code: rejection.code.into_owned(), detail: rejection.detail.into_owned(), pointer }
    }
}

/// Why a bulk does not go on now.
#[derive(Debug)]
enum Stop {
    /// Something is out of reach; it goes on later.
    Later(String),
    /// It cannot go on.
    Never(String),
    /// Another runner has it, or this process stops.
    Elsewhere,
    /// Somebody halted it.
    Halted,
    /// It has ended: somebody cancelled it, or it came to its end before.
    Ended,
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        match refused {
            Refused::Broken(_) => Stop::Never(refused.to_string()),
            other => Stop::Later(other.to_string()),
        }
    }
}

impl From<eventstore::Error> for Stop {
    fn from(error: eventstore::Error) -> Stop {
        Refused::from(error).into()
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        Stop::Later(format!("the database: {error}"))
    }
}
