//! The pages that people see: rendered on the server, with one style sheet, small scripts, and texts in five languages.
//!
//! Nothing here knows a record, a database or HTTP. `gateway` says who looks and what is so; a page makes text of it.

mod assets;
mod frame;
mod icons;
mod parts;
mod qr;
mod texts;

pub mod charts;
pub mod pages;
pub mod told;

pub use self::{
    assets::{Asset, asset, asset_named},
    frame::{Collection, Form, FormField, Input, Person, Refusal, Theme, View},
    texts::{Language, escaped},
};

/// What a browser runs while no page is open, to show what is pushed to it.
pub const PUSH_WORKER: &str = include_str!("../embed/push.js");

/// What a page may load and do: only what this server serves, and nothing inline. Scripts cannot make markup of text.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// The same of the page that lets a browser take messages: the one script that runs without a page may be named.
pub const PUSH_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types push";
