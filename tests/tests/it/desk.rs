//! The help desk: tickets, products, and who owns which.

pub(crate) mod forms;
pub(crate) mod portal;
pub(crate) mod products;
pub(crate) mod stages;
pub(crate) mod story;
pub(crate) mod tickets;
