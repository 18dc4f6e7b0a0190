//! The write side: commands in, decided over by the domain, events into the log; and what answers events with commands.

mod acting;
mod bots;
mod cache;
mod channel_policies;
mod contacts;
mod directory;
mod dispatch;
mod hand_over;
mod issue;
mod lists;
mod notices;
mod notifications;
mod reactor;
mod rehearsal;
mod rules;
mod runs;
mod scene;
mod selection;
mod snapshots;
mod team_forms;
mod timers;
mod walls;

pub use acting::{Clock, Reach, ReactMetrics};
pub use cache::Cache;
pub use dispatch::{Accepted, Cause, Commands, Envelope, Metrics, Refused, Written, of_any_kind};
pub use issue::{Undecoded, decode, example, read};
pub use lists::{ListRow, Lists, RowFold};
pub use reactor::Reactors;
pub use rehearsal::{Backtest, Draft, DryRun, ForUser, Opinion, Over, RehearsedRun, Says, Totals, Unrehearsed};
pub use selection::Selection;
