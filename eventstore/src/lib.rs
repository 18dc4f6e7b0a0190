//! The log on PostgreSQL: append, read, subscribe, and relay to NATS. It knows envelopes and bytes, and no ticket.
//!
//! Positions run 1, 2, 3, ... in commit order without a hole; versions of a stream run 0, 1, 2, ... in the same order.
//! `docs/decisions/0001-the-log.md` says how the promises are kept, `tests/promises.rs` holds each to account.

mod append;
mod error;
mod event;
mod following;
mod group;
mod lease;
mod log;
mod metrics;
mod nats;
mod options;
mod parked;
mod partition;
mod presence;
mod public;
mod read;
mod reason;
mod refill;
mod relay;
mod room;
mod short;
mod snapshot;
mod subscription;
mod surroundings;
mod tail;
mod turn;
mod wire;
mod writer;

pub use append::{
    Append, AppendError, Appended, Claim, ClaimAction, ClaimOwner, Expected, NewEvent, Number, StoredCommand,
    StreamWrite,
};
pub use error::Error;
pub use event::Recorded;
pub use following::Following;
pub use group::{Value, Write};
pub use log::Log;
pub use metrics::Metrics;
pub use nats::{Nats, NatsMetrics, NatsOptions};
pub use options::Options;
pub use parked::{Lag, Parked, park};
pub use presence::{Lost, Presence};
pub use read::{Direction, Query};
pub use reason::{address, is_away, is_storage_full, reason};
pub use refill::{Filler, Refill};
pub use relay::{Relay, RelayHandle, RelayReport, RelayState, RelayStatus};
pub use room::Room;
pub use snapshot::{Latest, Snapshot};
pub use subscription::{Failure, Handle, Handler, Replayed, Start, Subscription, SubscriptionOptions, blames_data};
pub use tail::Tail;

/// The schema of the whole system: the tables of the log, of the read models and of the gateway.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
