//! From which end a thread is read.

/// In which order what was written is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeOrder {
    /// The oldest first.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}

impl TimeOrder {
    /// How what comes later in this order compares, and how it is sorted.
    pub(crate) fn sql(self) -> (&'static str, &'static str) {
        match self {
            TimeOrder::Oldest => (">", "asc"),
            TimeOrder::Newest => ("<", "desc"),
        }
    }

    /// Puts what is told from the oldest on into this order.
    pub fn arrange<T>(self, entries: &mut [T]) {
        if self == TimeOrder::Newest {
            entries.reverse();
        }
    }
}
