//! Reports: what they count, and against what they are checked; dashboards; and views.

pub(crate) mod ahead;
pub(crate) mod analysts;
pub(crate) mod dashboards;
pub(crate) mod facts;
pub(crate) mod history;
pub(crate) mod reports;
pub(crate) mod search;
pub(crate) mod views;
