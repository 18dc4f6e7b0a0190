//! The help desk: tickets, products, and who owns which.

pub mod article;
pub mod article_category;
pub mod entitlement;
pub mod form;
pub mod form_submission;
pub mod product;
pub mod product_category;
pub mod ticket;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<product::Product>();
    visitor.visit::<product_category::ProductCategory>();
    visitor.visit::<entitlement::Entitlement>();
    visitor.visit::<ticket::Ticket>();
    visitor.visit::<article::Article>();
    visitor.visit::<article_category::ArticleCategory>();
    visitor.visit::<form::Form>();
    visitor.visit::<form_submission::FormSubmission>();
}
