//! Deskfold's read side: one file per read model, each a pure fold, and the queries on them.

mod as_of;
mod cursor;
mod custom_names;
mod engine;
mod fold;
mod list;
mod model;
mod models;
mod rebuild;
mod record;
mod registry;
mod sql;
mod then;
mod totals;

pub mod activities;
pub mod api_keys;
pub mod author;
pub mod calls;
pub mod causation;
pub mod collation;
pub mod comments;
pub mod companies;
pub mod contacts;
pub mod conversation_messages;
pub mod conversations;
pub mod deals;
pub mod enquiries;
pub mod entitlement_picker;
pub mod feed;
pub mod fields;
pub mod holdings;
pub mod imports;
pub mod labels;
pub mod leads;
pub mod offers;
pub mod orders;
pub mod product_catalogue;
pub mod product_categories;
pub mod product_holders;
pub mod projects;
pub mod properties;
pub mod quick_replies;
pub mod redirects;
pub mod relations;
pub mod roles;
pub mod rule_runs;
pub mod rules;
pub mod tasks;
pub mod teams;
pub mod tenants;
pub mod ticket_detail;
pub mod ticket_list;
pub mod ticket_thread;
pub mod tickets_by_product;
pub mod timers;
mod times;
pub mod users;

pub use as_of::{AsOf, get_as_of, row_as_of};
pub use conversation_messages::{conversation_messages, conversation_messages_as_of};
pub use custom_names::name_custom;
pub use engine::{Further, Keys, ReadModel, Tally, Unreadable, Visitor, decode};
pub use entitlement_picker::entitlement_picker;
pub use list::{
    Column, Count, DEFAULT_LIMIT, ListError, ListRequest, ListVisitor, Listed, MAX_LIMIT, Page, Record, Sort,
    columns_of, explain, get, list, needs,
};
pub use models::{Options, ReadModels, Status, compare, names, rebuild, status};
pub use rebuild::{Difference, Progress};
pub use redirects::{Redirects, Refers};
pub use ticket_thread::{thread, thread_as_of};
pub use tickets_by_product::{Interval, TicketsOfProduct, tickets_by_product};
pub use totals::{Group, MAX_GROUPS, Totalled, groups, sum};

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
    visitor.visit::<ticket_list::TicketList>();
    visitor.visit::<ticket_detail::TicketDetail>();
    visitor.visit::<ticket_thread::TicketThread>();
    visitor.visit::<contacts::Contacts>();
    visitor.visit::<companies::Companies>();
    visitor.visit::<product_catalogue::ProductCatalogue>();
    visitor.visit::<product_categories::ProductCategories>();
    visitor.visit::<product_holders::ProductHolders>();
    visitor.visit::<users::Users>();
    visitor.visit::<teams::Teams>();
    visitor.visit::<roles::Roles>();
    visitor.visit::<api_keys::ApiKeys>();
    visitor.visit::<fields::Fields>();
    visitor.visit::<imports::Imports>();
    visitor.visit::<tenants::Tenants>();
    visitor.visit::<leads::Leads>();
    visitor.visit::<properties::Properties>();
    visitor.visit::<enquiries::Enquiries>();
    visitor.visit::<offers::Offers>();
    visitor.visit::<deals::Deals>();
    visitor.visit::<projects::Projects>();
    visitor.visit::<orders::Orders>();
    visitor.visit::<calls::Calls>();
    visitor.visit::<conversations::Conversations>();
    visitor.visit::<conversation_messages::ConversationMessages>();
    visitor.visit::<labels::Labels>();
    visitor.visit::<quick_replies::QuickReplies>();
    visitor.visit::<comments::Comments>();
    visitor.visit::<activities::Activities>();
    visitor.visit::<relations::Relations>();
    visitor.visit::<tasks::Tasks>();
    visitor.visit::<rules::Rules>();
    visitor.visit::<rule_runs::RuleRuns>();
    visitor.visit::<holdings::Holdings>();
    visitor.visit::<Redirects>();
    visitor.visit::<timers::Timers>();
    visitor.visit::<causation::Causation>();
    visitor.visit::<feed::Feed>();
}

/// Shows every list to a visitor.
pub fn visit_lists(visitor: &mut impl ListVisitor) {
    visitor.visit::<ticket_list::TicketList>();
    visitor.visit::<ticket_detail::TicketDetail>();
    visitor.visit::<ticket_thread::TicketThread>();
    visitor.visit::<contacts::Contacts>();
    visitor.visit::<companies::Companies>();
    visitor.visit::<product_catalogue::ProductCatalogue>();
    visitor.visit::<product_categories::ProductCategories>();
    visitor.visit::<product_holders::ProductHolders>();
    visitor.visit::<users::Users>();
    visitor.visit::<teams::Teams>();
    visitor.visit::<roles::Roles>();
    visitor.visit::<api_keys::ApiKeys>();
    visitor.visit::<fields::Fields>();
    visitor.visit::<imports::Imports>();
    visitor.visit::<tenants::Tenants>();
    visitor.visit::<leads::Leads>();
    visitor.visit::<properties::Properties>();
    visitor.visit::<enquiries::Enquiries>();
    visitor.visit::<offers::Offers>();
    visitor.visit::<deals::Deals>();
    visitor.visit::<projects::Projects>();
    visitor.visit::<orders::Orders>();
    visitor.visit::<calls::Calls>();
    visitor.visit::<conversations::Conversations>();
    visitor.visit::<conversation_messages::ConversationMessages>();
    visitor.visit::<labels::Labels>();
    visitor.visit::<quick_replies::QuickReplies>();
    visitor.visit::<comments::Comments>();
    visitor.visit::<activities::Activities>();
    visitor.visit::<relations::Relations>();
    visitor.visit::<tasks::Tasks>();
    visitor.visit::<rules::Rules>();
    visitor.visit::<rule_runs::RuleRuns>();
    visitor.visit::<holdings::Holdings>();
}
