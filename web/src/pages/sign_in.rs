//! The way in: address and password, then a tenant or a code where they are needed; and a forgotten password.

use maud::{Markup, html};

use crate::{
    frame::{View, inside, outside},
    parts::{Field, hidden, submit},
};

/// A tenant to choose, or to which the host name belongs.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The ways to sign in here.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The tenant whose host name this is.
    pub tenant: Option<Tenant>,
    /// What its OpenID provider is called, and where the way there begins.
    pub provider: Option<(String, String)>,
    /// The tenant that was asked for by its id, where the host name names none.
    pub asked: Option<String>,
}

/// Sign in.
pub fn sign_in(view: &View, ways: &Ways, next: &str) -> String {
    let title = match &ways.tenant {
        Some(tenant) => view.say_with("sign-in-to", &[("tenant", &tenant.name)]),
        None => view.say("sign-in-title"),
    };
    let content = html! {
        @if let Some((name, way)) = &ways.provider {
            p.actions { a.button href=(way) { (view.say_with("sign-in-provider", &[("provider", name)])) } }
            p.or { span { (view.say("or")) } }
        }
        form method="post" action="/v1/sign_in" data-api {
            (hidden("next", next))
            @if let Some(tenant) = &ways.asked { (hidden("tenant", tenant)) }
            (Field { form: "in", name: "email", label: view.say("email"), kind: "email", autocomplete: "username",
                required: true, autofocus: true, ..Field::default() }.show())
            (Field { form: "in", name: "password", label: view.say("password"), kind: "password",
                autocomplete: "current-password", required: true, ..Field::default() }.show())
            (submit(&view.say("sign-in")))
        }
        p.aside { a href="/sign_in/forgotten" { (view.say("forgotten")) } }
    };
    outside(view, &title, &content)
}

/// Choose a tenant: the address and the password are known in several.
pub fn tenants(view: &View, tenants: &[Tenant], next: &str) -> String {
    let content = html! {
        p { (view.say("tenant-lead")) }
        form.choices method="post" action="/v1/sign_in/continue" data-api {
            (hidden("next", next))
            @for tenant in tenants {
                button.choice type="submit" name="tenant" value=(tenant.id) { (tenant.name) }
            }
            p.fault role="alert" {}
        }
        (again(view, next))
    };
    outside(view, &view.say("tenant-title"), &content)
}

/// A code of the app, or a recovery code.
pub fn code(view: &View, next: &str) -> String {
    let content = html! {
        p { (view.say("code-lead")) }
        form method="post" action="/v1/sign_in/continue" data-api {
            (hidden("next", next))
            (Field { form: "in", name: "code", label: view.say("code"), autocomplete: "one-time-code", required: true,
                autofocus: true, hint: Some(view.say("code-hint")), ..Field::default() }.show())
            (submit(&view.say("sign-in")))
        }
        (again(view, next))
    };
    outside(view, &view.say("code-title"), &content)
}

/// It took too long from the password to the code.
pub fn step_over(view: &View, next: &str) -> String {
    let content = html! { p { (view.say("step-over")) } (again(view, next)) };
    outside(view, &view.say("step-over-title"), &content)
}

fn again(view: &View, next: &str) -> Markup {
    html! {
        form.aside method="get" action="/sign_in" {
            (hidden("next", next))
            button.link type="submit" { (view.say("start-over")) }
        }
    }
}

/// Ask for help with a forgotten password.
pub fn forgotten(view: &View) -> String {
    let content = html! {
        p { (view.say("forgotten-lead")) }
        form method="post" action="/v1/sign_in/forgotten" data-api {
            (hidden("next", "/sign_in/forgotten?sent=true"))
            (Field { form: "forgotten", name: "email", label: view.say("email"), kind: "email", autocomplete: "username",
                required: true, autofocus: true, ..Field::default() }.show())
            (submit(&view.say("forgotten-send")))
        }
        p.aside { a href="/sign_in" { (view.say("back-to-sign-in")) } }
    };
    outside(view, &view.say("forgotten-title"), &content)
}

/// Help was asked for; nobody is told whether there is such a person.
pub fn sent(view: &View) -> String {
    let content = html! {
        p { (view.say("forgotten-sent")) }
        p.aside { a href="/sign_in" { (view.say("back-to-sign-in")) } }
    };
    outside(view, &view.say("forgotten-sent-title"), &content)
}

/// There is nothing here, or nothing that whoever looks may see.
pub fn missing(view: &View) -> String {
    let title = view.say("missing-title");
    let content = html! {
        p { (view.say("missing")) }
        p { a href="/" { (view.say("back-to-start")) } }
    };
    if view.person.is_some() { inside(view, &title, &[], &content) } else { outside(view, &title, &content) }
}
