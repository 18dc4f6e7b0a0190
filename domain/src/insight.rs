//! What reports count, reports themselves, the dashboards that show them; and views of lists.

pub mod calendar;
pub mod clock;
pub mod dashboard;
pub mod definition;
pub mod facts;
pub mod report;
pub mod shipped;
pub mod view;
pub mod widget;
pub mod window;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<report::Report>();
    visitor.visit::<view::View>();
    visitor.visit::<dashboard::Dashboard>();
}
