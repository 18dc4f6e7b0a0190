//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub mod activity;
pub mod comment;
pub mod company;
pub mod contact;
pub mod deal;
pub mod enquiry;
pub mod lead;
pub mod offer;
pub(crate) mod party;
pub mod property;
pub mod relation;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<contact::Contact>();
    visitor.visit::<company::Company>();
    visitor.visit::<lead::Lead>();
    visitor.visit::<property::Property>();
    visitor.visit::<enquiry::Enquiry>();
    visitor.visit::<offer::Offer>();
    visitor.visit::<deal::Deal>();
    visitor.visit::<comment::Comment>();
    visitor.visit::<activity::Activity>();
    visitor.visit::<relation::Relation>();
}
