//! The help desk: tickets, products, and who owns which.

pub mod entitlement;
pub mod product;
pub mod product_category;
pub mod ticket;
