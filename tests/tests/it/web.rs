//! The pages that people see.

mod browser;
mod chromium;
mod pages;
mod records;
mod search;
