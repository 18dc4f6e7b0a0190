//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub mod administration;
pub mod api_key;
pub mod authority;
pub mod field;
pub mod role;
pub mod settings;
pub mod stage;
pub mod team;
pub mod tenant;
pub mod user;
