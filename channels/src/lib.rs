//! What carries messages in and out: adapters, the outbox, files, visitors. Nothing here decides or folds.

mod address;
pub mod calling;
pub mod captcha;
pub mod files;
mod followed;
pub mod inbound;
pub mod keyed;
pub mod mail;
pub mod messengers;
pub mod outbox;
mod turn;
pub mod webhooks;
