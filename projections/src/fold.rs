//! Small things that several folds need.

use domain::Time;

/// An instant as precise as the tables are: to the microsecond.
pub(crate) fn micros(time: Time) -> Time {
    time.round(jiff::Unit::Microsecond).unwrap_or(time)
}

/// Moves an instant forward, never back: imports tell old news late.
pub(crate) fn raise(time: &mut Time, to: Time) {
    *time = (*time).max(to);
}
