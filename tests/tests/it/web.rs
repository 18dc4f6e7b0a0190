//! The pages that people see.

mod browser;
mod chat;
mod chromium;
mod dashboards;
mod explored;
mod forms;
mod inbox;
mod live;
<<<<<<< HEAD
mod inbox;
=======
mod forms;
>>>>>>> origin/inbox
mod many;
mod pages;
mod records;
mod search;
