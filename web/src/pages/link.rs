//! A link that was handed to somebody: to set a password, or to confirm an address.

use maud::html;

use crate::{
    frame::{View, outside},
    parts::{Field, hidden, submit},
};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// To let somebody in who was never here.
    Invitation,
    /// To help whoever forgot a password.
    Password,
    /// To confirm an address.
    Email,
}

/// A link that is good.
#[derive(Clone, Debug)]
pub struct Link {
    /// What stands behind the last slash of it.
    pub secret: String,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// What the tenant is called.
    pub tenant: String,
    /// The person's full name.
    pub name: String,
    /// The address that is signed in with, or that is to be confirmed.
    pub email: String,
}

/// Follow a link.
pub fn link(view: &View, link: &Link) -> String {
    let told: &[(&str, &str)] = &[("tenant", &link.tenant), ("name", &link.name), ("email", &link.email)];
    let (title, lead) = match link.purpose {
        LinkPurpose::Invitation => (view.say_with("invitation-title", told), view.say_with("invitation-lead", told)),
        LinkPurpose::Password => (view.say("reset-title"), view.say_with("reset-lead", told)),
        LinkPurpose::Email => (view.say("confirm-title"), view.say_with("confirm-lead", told)),
    };
    let sets = link.purpose != LinkPurpose::Email;
    let content = html! {
        p { (lead) }
        form method="post" action="/v1/links/follow" data-api {
            (hidden("link", &link.secret))
            (hidden("next", if sets { "/" } else { "/me" }))
            @if sets {
                // So that the browser keeps the password with the address.
                (Field { form: "link", name: "", label: view.say("email"), kind: "email", autocomplete: "username",
                    value: &link.email, ..Field::default() }.shown())
                (Field { form: "link", name: "password", label: view.say("new-password"), kind: "password",
                    autocomplete: "new-password", required: true, autofocus: true,
                    hint: Some(view.say("password-hint")), ..Field::default() }.show())
            }
            (submit(&if sets { view.say("set-password") } else { view.say("confirm-address") }))
        }
    };
    outside(view, &title, &content)
}

/// A link that is good no longer.
pub fn link_over(view: &View) -> String {
    let content = html! {
        p { (view.say("link-over")) }
        p.aside { a href="/sign_in" { (view.say("back-to-sign-in")) } }
    };
    outside(view, &view.say("link-over-title"), &content)
}
