//! What is brought in from elsewhere, and what is done to many records at once.

pub mod bulk;
pub mod delivery;
pub mod import;
pub mod intake_source;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<import::Import>();
    visitor.visit::<bulk::Bulk>();
    visitor.visit::<intake_source::IntakeSource>();
    visitor.visit::<delivery::Delivery>();
}
