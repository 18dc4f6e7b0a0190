//! What is sold and who calls.

pub mod call;
pub mod order;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<order::Order>();
    visitor.visit::<call::Call>();
}
