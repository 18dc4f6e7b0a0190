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

pub use self::{
    assets::{Asset, asset, asset_named},
    frame::{Collection, Form, FormField, Input, Person, Refusal, Theme, View},
    texts::{Language, escaped},
};

/// What a page may load and do: only what this server serves, and nothing inline. Scripts cannot make markup of text.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
