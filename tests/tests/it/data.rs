//! What is brought in from elsewhere.

pub(crate) mod archive;
pub(crate) mod backup;
mod bulk;
pub(crate) mod imports;
mod intake;
pub(crate) mod records;
pub(crate) mod replica;
pub(crate) mod takeover;
