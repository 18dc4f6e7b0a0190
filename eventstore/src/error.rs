//! Why the log could not be read or opened.

use crate::presence::Lost;

/// Why the log could not be read or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or cannot be reached.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A row of the log could not be understood.
    #[error("a row of the log cannot be read: {0}")]
    Unreadable(String),
    /// The database is away.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
}
