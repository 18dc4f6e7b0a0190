//! What reports count, and reports themselves; and views of lists.

pub mod clock;
pub mod definition;
pub mod facts;
pub mod report;
pub mod view;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<report::Report>();
    visitor.visit::<view::View>();
}
