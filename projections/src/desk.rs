//! The help desk: tickets, products, and who owns which.

pub mod entitlement_picker;
pub mod form_submissions;
pub mod product_categories;
pub mod product_holders;
pub mod ticket_detail;
pub mod ticket_list;
pub mod ticket_thread;
pub mod tickets_by_product;
