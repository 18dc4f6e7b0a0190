//! The pages that people see.

mod browser;
mod chat;
mod chromium;
mod dashboards;
mod explored;
mod forms;
mod guests;
mod inbox;
mod many;
mod notices;
mod notifications;
mod pages;
mod portal;
mod records;
mod search;
mod walk;
mod webhooks;
