//! Deskfold's read side: one file per read model, each a pure fold, and the queries on them.

pub mod chat;
pub mod crm;
pub mod data;
pub mod desk;
pub mod insight;
pub mod kernel;
pub mod org;
pub mod sales;
pub mod work;

pub use chat::conversation_messages::{
    conversation_message, conversation_messages, conversation_messages_as_of, conversation_said,
};
pub use desk::entitlement_picker::entitlement_picker;
pub use desk::ticket_thread::{thread, thread_as_of};
pub use desk::tickets_by_product::{Interval, TicketsOfProduct, tickets_by_product};
pub use kernel::access::RecordAccess;
pub use kernel::analytics;
pub use kernel::as_of::{AsOf, get_as_of, row_as_of};
pub use kernel::author::AuthorKind;
pub use kernel::custom_names::name_custom;
pub use kernel::described::{comments, migration};
pub use kernel::earlier::Earlier;
pub use kernel::engine::{Further, Keys, ReadModel, Tally, Unreadable, decode};
pub use kernel::export::Export;
pub use kernel::list::{
    Column, Count, DEFAULT_LIMIT, List, ListError, ListRequest, Listed, MAX_LIMIT, Page, Record, Sort, columns_of,
    explain, get, list, lists, needs,
};
pub use kernel::model::{AnyRow, Model, models, register};
pub use kernel::models::{Options, ReadModels, Status, compare, names, rebuild, status};
pub use kernel::names::naming;
pub use kernel::rebuild::{Checksum, Comparison, Difference, Progress};
pub use kernel::redirects::{Redirects, Refers};
pub use kernel::sight::{Sight, Stands};
pub use kernel::time_order::TimeOrder;
pub use kernel::told::{Told, veil, veil_custom};
pub use kernel::totals::{Group, MAX_GROUPS, Totalled, groups, sum};

use kernel::{
    described::described,
    model::{Registered, kept, listed},
};

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

/// Every read model, with its list where it has one: those that are written by hand, and those that follow from the
/// description of a kind.
fn every() -> Vec<Registered> {
    let mut every = vec![
        listed::<desk::ticket_list::TicketList>(),
        listed::<desk::ticket_detail::TicketDetail>(),
        listed::<desk::ticket_thread::TicketThread>(),
        listed::<crm::contacts::Contacts>(),
        listed::<desk::product_categories::ProductCategories>(),
        listed::<desk::product_holders::ProductHolders>(),
        listed::<desk::form_submissions::FormSubmissions>(),
        listed::<org::users::Users>(),
        listed::<org::teams::Teams>(),
        listed::<org::roles::Roles>(),
        listed::<org::api_keys::ApiKeys>(),
        listed::<org::sessions::Sessions>(),
        listed::<org::uploads::Uploads>(),
        listed::<org::fields::Fields>(),
        listed::<data::imports::Imports>(),
        listed::<data::bulk::Bulks>(),
        listed::<data::deliveries::Deliveries>(),
        listed::<org::system_notices::SystemNotices>(),
        listed::<org::tenants::Tenants>(),
        listed::<crm::offers::Offers>(),
        listed::<sales::orders::Orders>(),
        listed::<sales::calls::Calls>(),
        listed::<chat::channels::Channels>(),
        listed::<chat::conversations::Conversations>(),
        listed::<chat::emails::Emails>(),
        listed::<chat::conversation_messages::ConversationMessages>(),
        listed::<chat::labels::Labels>(),
        listed::<crm::comments::Comments>(),
        listed::<crm::activities::Activities>(),
        listed::<crm::relations::Relations>(),
        listed::<work::tasks::Tasks>(),
        listed::<work::rules::Rules>(),
        listed::<work::webhooks::Webhooks>(),
        listed::<work::notifications::Notifications>(),
        listed::<work::rule_runs::RuleRuns>(),
        listed::<org::holdings::Holdings>(),
        kept::<Redirects>(),
        kept::<RecordAccess>(),
        kept::<work::timers::Timers>(),
        kept::<work::causation::Causation>(),
        kept::<crm::feed::Feed>(),
        kept::<insight::facts::Facts>(),
        kept::<insight::search::Search>(),
    ];
    let described = described(&every);
    every.extend(described);
    every
}
