//! What is brought in from elsewhere, and what is done to many records at once.

pub(in crate::http) mod archive;
pub(in crate::http) mod bulk;
pub(in crate::http) mod external;
pub(in crate::http) mod imports;
pub(in crate::http) mod intake;
pub(in crate::http) mod previews;
