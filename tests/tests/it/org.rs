//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub(crate) mod auth;
pub(crate) mod browser;
pub(crate) mod changes;
pub(crate) mod custom_fields;
pub(crate) mod hidden;
pub(crate) mod names;
pub(crate) mod people;
pub(crate) mod pictures;
pub(crate) mod plan;
pub(crate) mod provider;
pub(crate) mod rights;
pub(crate) mod second_factor;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod tenancy;
pub(crate) mod uploads;
pub(crate) mod walls;
