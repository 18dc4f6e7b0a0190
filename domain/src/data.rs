//! What is brought in from elsewhere.

pub mod import;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<import::Import>();
}
