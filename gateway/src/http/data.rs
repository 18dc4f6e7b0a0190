//! What is brought in from elsewhere.

pub(in crate::http) mod external;
pub(in crate::http) mod imports;
