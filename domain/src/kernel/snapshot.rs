//! Folded states as bytes, so that a long stream need not be folded anew: all of a state, in a form for this program alone.

use crate::{Aggregate, kernel::access::Access};

/// What the meaning of a snapshot depends on: a digest of this crate's sources and of the versions of what it builds on.
/// A snapshot that another code made means nothing to this one.
pub const CODE: &str = env!("DESKFOLD_DOMAIN_CODE");

/// A state and who stands in what relation to its record, as bytes (MessagePack with names: parts of a state are parts of events, which leave out what is not there);
/// `None` if it cannot be written.
pub fn take<A: Aggregate>(state: &A, access: &Access) -> Option<Vec<u8>> {
    rmp_serde::to_vec_named(&(state, access)).ok()
}

/// The state that [`take`] wrote; `None` when these bytes are none.
pub fn restore<A: Aggregate>(bytes: &[u8]) -> Option<(A, Access)> {
    rmp_serde::from_slice(bytes).ok()
}
