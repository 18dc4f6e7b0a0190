//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub mod api_keys;
pub mod fields;
pub mod holdings;
pub mod roles;
pub mod sessions;
pub mod system_notices;
pub mod teams;
pub mod tenants;
pub mod uploads;
pub mod users;
