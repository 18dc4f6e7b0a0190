//! The people of a tenant: who there is, with which roles; inviting them and letting them go.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    pages::me::once,
    parts::{Field, face, needs_script, submit},
};

/// The page of people. The list itself is the API's: a script fills it in.
pub fn people(view: &View) -> String {
    let content = html! {
        (needs_script(view))
        @if view.may("user.invite") { (invitation(view)) }
        (once(view, "handed", &view.say("link-shown")))
        form.search role="search" #search {
            (Field { form: "search", name: "name", label: view.say("search-name"), kind: "search", ..Field::default() }.show())
        }
        p.fault role="alert" #fault {}
        ul.cards #people aria-busy="true" {}
        p.actions { button.secondary type="button" #more hidden { (view.say("more")) } }
        (card(view))
    };
    inside(view, &view.say("people-title"), &["people.js"], &content)
}

fn invitation(view: &View) -> Markup {
    html! {
        details.panel {
            summary { (view.say("invite")) }
            form method="post" action="/v1/users" data-api data-then="invited" #invite {
                p { (view.say("invite-lead")) }
                div.fields {
                    (Field { form: "invite", name: "name", label: view.say("name"), required: true, ..Field::default() }.show())
                    (Field { form: "invite", name: "email", label: view.say("email"), kind: "email", required: true,
                        ..Field::default() }.show())
                    @if view.may("user.grant_role") {
                        div.field {
                            label for="invite-role" { (view.say("role")) }
                            select #invite-role data-options="roles" data-own {
                                option value="" { (view.say("no-role")) }
                            }
                        }
                    }
                }
                (submit(&view.say("invite")))
            }
        }
    }
}

fn card(view: &View) -> Markup {
    html! {
        template #person {
            li.card data-id="{id}" {
                div.who {
                    (face("{id}", "small"))
                    h2 data-fill="name" {}
                    span.badge data-family="status" data-fill="status" {}
                    span.badge data-if="active" { span.dot data-class="presence" aria-hidden="true" {} span data-family="presence" data-fill="presence" {} }
                }
                p { a href="mailto:{email}" data-fill="email" {} }
                p.hint data-if="deactivated_reason" data-fill="deactivated_reason" {}
                ul.chips data-each="roles" aria-label=(view.say("roles-title")) {
                    template {
                        li {
                            span data-fill="name" {}
                            @if view.may("user.revoke_role") {
                                form method="post" action="/v1/users/{user}/revoke_role" data-api data-then="list" {
                                    input type="hidden" name="role" value="{id}";
                                    button.cross type="submit" aria-label={ (view.say("take-role")) ": {name}" } { "×" }
                                    p.fault role="alert" {}
                                }
                            }
                        }
                    }
                }
                (managed(view))
            }
        }
    }
}

/// What one does about a colleague.
fn managed(view: &View) -> Markup {
    let any = ["user.grant_role", "user.issue_link", "user.deactivate", "user.activate"];
    if !any.iter().any(|permission| view.may(permission)) {
        return Markup::default();
    }
    html! {
        details {
            summary { (view.say("manage")) }
            @if view.may("user.grant_role") {
                form.line method="post" action="/v1/users/{id}/grant_role" data-api data-then="list" data-unless="deactivated" {
                    div.field {
                        label for="grant-{id}" { (view.say("give-role")) }
                        select id="grant-{id}" name="role" data-options="roles" required {}
                    }
                    p.fault role="alert" {}
                    button.secondary type="submit" { (view.say("give-role")) }
                }
            }
            @if view.may("user.issue_link") {
                form.line method="post" action="/v1/users/{id}/issue_link" data-api data-then="link" data-unless="deactivated" {
                    input type="hidden" name="purpose" value="password";
                    p.hint { (view.say("make-link-lead")) }
                    p.fault role="alert" {}
                    button.secondary type="submit" { (view.say("make-link")) }
                }
            }
            @if view.may("user.deactivate") {
                form.line method="post" action="/v1/users/{id}/deactivate" data-api data-then="list" data-unless="deactivated" {
                    p.hint { (view.say("deactivate-lead")) }
                    div.field {
                        label for="over-{id}" { (view.say("hand-over-to")) }
                        select id="over-{id}" name="hand_over_to" data-options="people" data-without="{id}" {
                            option value="" { (view.say("nobody")) }
                        }
                    }
                    div.field {
                        label for="reason-{id}" { (view.say("reason")) }
                        input id="reason-{id}" name="reason" autocomplete="off";
                    }
                    p.fault role="alert" {}
                    button.danger type="submit" { (view.say("deactivate")) }
                }
            }
            @if view.may("user.activate") {
                form.line method="post" action="/v1/users/{id}/activate" data-api data-then="list" data-unless="active" {
                    p.fault role="alert" {}
                    button.secondary type="submit" { (view.say("activate")) }
                }
            }
        }
    }
}
