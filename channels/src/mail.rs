//! Mail: how what comes is read, kept and made something of, and how what leaves is written and sent.

pub mod addresses;
pub mod compose;
pub mod imap;
pub mod intake;
pub mod lmtp;
pub mod making;
mod oauth;
pub mod outgoing;
pub mod read;
pub mod smtp;
pub mod tokens;

use commands::{Clock, Commands};

use self::tokens::Tokens;
use crate::{files::intake::Intake, keyed::Keyed};

/// What mail needs of this process. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    /// Where commands go.
    pub commands: Commands,
    /// What time it is.
    pub clock: Clock,
    /// Where files are kept.
    pub files: Intake,
    /// What signs addresses and Message-IDs.
    pub tokens: Keyed<Tokens>,
    /// The domain under which every tenant has one of its own; none where mail comes in by the tenants' own domains alone.
    pub domain: Option<String>,
}
