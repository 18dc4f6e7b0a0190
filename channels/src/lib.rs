//! What carries messages in and out: adapters, the outbox, files, visitors. Nothing here decides or folds.

pub mod captcha;
pub mod files;
pub mod inbound;
pub mod mail;
pub mod outbox;
