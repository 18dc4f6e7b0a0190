//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub(in crate::http) mod holdings;
pub(in crate::http) mod hosts;
pub(in crate::http) mod keys;
pub(in crate::http) mod links;
pub(in crate::http) mod me;
pub(in crate::http) mod pictures;
pub(in crate::http) mod plan;
pub(in crate::http) mod providers;
pub(in crate::http) mod settings;
pub(in crate::http) mod sign_in;
pub(in crate::http) mod tenants;
pub(in crate::http) mod uploads;
