//! Deskfold's read side: one file per read model, each a pure fold, and the queries on them.

pub mod chat;
pub mod crm;
pub mod data;
pub mod desk;
pub mod kernel;
pub mod org;
pub mod sales;
pub mod work;

pub use chat::conversation_messages::{conversation_messages, conversation_messages_as_of};
pub use desk::entitlement_picker::entitlement_picker;
pub use desk::ticket_thread::{thread, thread_as_of};
pub use desk::tickets_by_product::{Interval, TicketsOfProduct, tickets_by_product};
pub use kernel::as_of::{AsOf, get_as_of, row_as_of};
pub use kernel::custom_names::name_custom;
pub use kernel::engine::{Further, Keys, ReadModel, Tally, Unreadable, Visitor, decode};
pub use kernel::list::{
    Column, Count, DEFAULT_LIMIT, ListError, ListRequest, ListVisitor, Listed, MAX_LIMIT, Page, Record, Sort,
    columns_of, explain, get, list, needs,
};
pub use kernel::models::{Options, ReadModels, Status, compare, names, rebuild, status};
pub use kernel::rebuild::{Difference, Progress};
pub use kernel::redirects::{Redirects, Refers};
pub use kernel::totals::{Group, MAX_GROUPS, Totalled, groups, sum};

/// Why a read model could not be read, kept or rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] eventstore::Error),
    /// An event cannot be understood.
    #[error("an event cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// Shows every read model to a visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<desk::ticket_list::TicketList>();
    visitor.visit::<desk::ticket_detail::TicketDetail>();
    visitor.visit::<desk::ticket_thread::TicketThread>();
    visitor.visit::<crm::contacts::Contacts>();
    visitor.visit::<crm::companies::Companies>();
    visitor.visit::<desk::product_catalogue::ProductCatalogue>();
    visitor.visit::<desk::product_categories::ProductCategories>();
    visitor.visit::<desk::product_holders::ProductHolders>();
    visitor.visit::<org::users::Users>();
    visitor.visit::<org::teams::Teams>();
    visitor.visit::<org::roles::Roles>();
    visitor.visit::<org::api_keys::ApiKeys>();
    visitor.visit::<org::fields::Fields>();
    visitor.visit::<data::imports::Imports>();
    visitor.visit::<org::tenants::Tenants>();
    visitor.visit::<crm::leads::Leads>();
    visitor.visit::<crm::properties::Properties>();
    visitor.visit::<crm::enquiries::Enquiries>();
    visitor.visit::<crm::offers::Offers>();
    visitor.visit::<crm::deals::Deals>();
    visitor.visit::<work::projects::Projects>();
    visitor.visit::<sales::orders::Orders>();
    visitor.visit::<sales::calls::Calls>();
    visitor.visit::<chat::conversations::Conversations>();
    visitor.visit::<chat::conversation_messages::ConversationMessages>();
    visitor.visit::<chat::labels::Labels>();
    visitor.visit::<chat::quick_replies::QuickReplies>();
    visitor.visit::<crm::comments::Comments>();
    visitor.visit::<crm::activities::Activities>();
    visitor.visit::<crm::relations::Relations>();
    visitor.visit::<work::tasks::Tasks>();
    visitor.visit::<work::rules::Rules>();
    visitor.visit::<work::rule_runs::RuleRuns>();
    visitor.visit::<org::holdings::Holdings>();
    visitor.visit::<Redirects>();
    visitor.visit::<work::timers::Timers>();
    visitor.visit::<work::causation::Causation>();
    visitor.visit::<crm::feed::Feed>();
}

/// Shows every list to a visitor.
pub fn visit_lists(visitor: &mut impl ListVisitor) {
    visitor.visit::<desk::ticket_list::TicketList>();
    visitor.visit::<desk::ticket_detail::TicketDetail>();
    visitor.visit::<desk::ticket_thread::TicketThread>();
    visitor.visit::<crm::contacts::Contacts>();
    visitor.visit::<crm::companies::Companies>();
    visitor.visit::<desk::product_catalogue::ProductCatalogue>();
    visitor.visit::<desk::product_categories::ProductCategories>();
    visitor.visit::<desk::product_holders::ProductHolders>();
    visitor.visit::<org::users::Users>();
    visitor.visit::<org::teams::Teams>();
    visitor.visit::<org::roles::Roles>();
    visitor.visit::<org::api_keys::ApiKeys>();
    visitor.visit::<org::fields::Fields>();
    visitor.visit::<data::imports::Imports>();
    visitor.visit::<org::tenants::Tenants>();
    visitor.visit::<crm::leads::Leads>();
    visitor.visit::<crm::properties::Properties>();
    visitor.visit::<crm::enquiries::Enquiries>();
    visitor.visit::<crm::offers::Offers>();
    visitor.visit::<crm::deals::Deals>();
    visitor.visit::<work::projects::Projects>();
    visitor.visit::<sales::orders::Orders>();
    visitor.visit::<sales::calls::Calls>();
    visitor.visit::<chat::conversations::Conversations>();
    visitor.visit::<chat::conversation_messages::ConversationMessages>();
    visitor.visit::<chat::labels::Labels>();
    visitor.visit::<chat::quick_replies::QuickReplies>();
    visitor.visit::<crm::comments::Comments>();
    visitor.visit::<crm::activities::Activities>();
    visitor.visit::<crm::relations::Relations>();
    visitor.visit::<work::tasks::Tasks>();
    visitor.visit::<work::rules::Rules>();
    visitor.visit::<work::rule_runs::RuleRuns>();
    visitor.visit::<org::holdings::Holdings>();
}
