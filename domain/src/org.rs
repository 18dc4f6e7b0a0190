//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub mod administration;
pub mod api_key;
pub mod authority;
pub mod field;
pub mod notifying;
pub mod plan;
pub mod portal;
pub mod role;
pub mod session;
pub mod settings;
pub mod stage;
pub mod system_notice;
pub mod team;
pub mod tenant;
pub mod upload;
pub mod user;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<tenant::Tenant>();
    visitor.visit::<user::User>();
    visitor.visit::<role::Role>();
    visitor.visit::<team::Team>();
    visitor.visit::<field::Field>();
    visitor.visit::<api_key::ApiKey>();
    visitor.visit::<session::Session>();
    visitor.visit::<upload::Upload>();
    visitor.visit::<system_notice::SystemNotice>();
}
