//! An event as the log holds it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// A recorded event with its envelope. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the log: 1, 2, 3, ... in commit order.
    pub position: i64,
    /// The tenant it belongs to.
    pub tenant: Arc<str>,
    /// `category-key`, such as `ticket-01J...`.
    pub stream: Arc<str>,
    /// Place in its stream: 0, 1, 2, ...
    pub version: i64,
    /// The event's own id.
    pub id: Uuid,
    /// Stored type, such as `ticket.opened`.
    pub kind: Arc<str>,
    /// When it happened in the world.
    pub occurred_at: Timestamp,
    /// When it was written, by the database's clock. Never runs backwards along positions.
    pub recorded_at: Timestamp,
    /// Whether `data` and `metadata` are JSON.
    pub is_json: bool,
    /// What happened.
    pub data: Bytes,
    /// Who did it and why.
    pub metadata: Bytes,
}

impl Recorded {
    /// The part of the stream's name before the first `-`.
    pub fn category(&self) -> &str {
        category(&self.stream)
    }

    /// The part of the stream's name after the first `-`; empty when there is none.
    pub fn key(&self) -> &str {
        self.stream.split_once('-').map_or("", |(_, key)| key)
    }

    /// The data as a typed value.
    ///
    /// # Errors
    /// When the data is not JSON of that shape.
    pub fn decode<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }
}

/// The part of a stream's name before the first `-`.
pub(crate) fn category(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}
