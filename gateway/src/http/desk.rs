//! The help desk: tickets, products, and who owns which.

pub(in crate::http) mod tickets;
