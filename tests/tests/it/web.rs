//! The pages that people see.

mod browser;
mod chat;
mod chromium;
mod dashboards;
mod explored;
<<<<<<< HEAD
mod inbox;
=======
mod forms;
>>>>>>> origin/live
mod many;
mod pages;
mod records;
mod search;
