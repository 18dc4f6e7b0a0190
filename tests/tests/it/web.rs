//! The pages that people see.

mod browser;
mod chat;
mod chromium;
mod dashboards;
mod pages;
mod records;
mod search;
