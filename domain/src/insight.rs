//! What reports count, and reports themselves.

pub mod clock;
pub mod definition;
pub mod facts;
pub mod report;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<report::Report>();
}
