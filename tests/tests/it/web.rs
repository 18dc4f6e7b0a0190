//! The pages that people see.

mod browser;
mod chromium;
mod dashboards;
mod forms;
mod pages;
mod records;
mod search;
