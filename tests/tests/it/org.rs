//! Who works here: tenants, users, roles, teams, keys, and what each may do.

pub(crate) mod auth;
pub(crate) mod custom_fields;
pub(crate) mod people;
pub(crate) mod rights;
pub(crate) mod settings;
pub(crate) mod tenancy;
