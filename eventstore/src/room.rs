//! Whether there is room to write: appends are refused in time, before PostgreSQL runs out and stops for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long nothing is written after PostgreSQL found no room. Then one batch may try.
const PAUSE: Duration = Duration::from_secs(5);

/// The room that is left for the log. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Room {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    low: AtomicBool,
    ran_out: Mutex<Option<Instant>>,
}

impl Room {
    /// Tells whether little room is left, by whoever can measure it: then appends are refused.
    pub fn set_low(&self, low: bool) {
        self.shared.low.store(low, Ordering::Release);
    }

    /// Whether little room is left.
    pub fn is_low(&self) -> bool {
        self.shared.low.load(Ordering::Acquire)
    }

    /// Whether PostgreSQL itself has just found no room.
    pub fn has_run_out(&self) -> bool {
        self.shared.ran_out.lock().is_some_and(|since| since.elapsed() < PAUSE)
    }

    /// Whether appends are refused.
    pub fn is_full(&self) -> bool {
        self.is_low() || self.has_run_out()
    }

    /// PostgreSQL has found no room.
    pub fn ran_out(&self) {
        *self.shared.ran_out.lock() = Some(Instant::now());
    }
}
