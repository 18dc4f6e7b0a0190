//! Roles: what each lets people see and do, kind by kind, in words.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    parts::{Field, needs_script, submit, words},
};

/// The page of roles. The list itself is the API's: a script fills it in.
pub fn roles(view: &View) -> String {
    let content = html! {
        (needs_script(view))
        @if view.may("role.create") { (new(view)) }
        p.fault role="alert" #fault {}
        datalist #permissions {}
        div #roles aria-busy="true" {}
        (words(view, &["command"]))
        template #role { (role(view)) }
        template #kind {
            tr {
                th scope="row" data-fill="kind" {}
                td data-label=(view.say("sees")) data-fill="sees" {}
                td data-label=(view.say("does")) {
                    ul data-each="does" {
                        template { li { b data-if="scope" data-fill="scope" {} " " span data-fill="words" {} } }
                    }
                }
            }
        }
    };
    inside(view, &view.say("roles-title"), &["roles.js"], &content)
}

fn new(view: &View) -> Markup {
    html! {
        details.panel {
            summary { (view.say("new-role")) }
            form method="post" action="/v1/roles" data-api data-then="list" {
                (Field { form: "role", name: "name", label: view.say("name"), required: true, ..Field::default() }.show())
                div.field {
                    label for="role-permissions" { (view.say("permissions")) }
                    textarea #role-permissions name="permissions" data-type="lines" rows="4" spellcheck="false"
                        aria-describedby="role-permissions-hint" required {}
                    p.hint #role-permissions-hint { (view.say("permissions-hint")) }
                }
                (submit(&view.say("create")))
            }
        }
    }
}

fn role(view: &View) -> Markup {
    html! {
        section.part data-id="{id}" aria-labelledby="role-{id}" {
            h2 id="role-{id}" data-fill="name" {}
            p data-if="summary" data-fill="summary" {}
            div.scrolls data-if="kinds" {
                table {
                    thead { tr {
                        th scope="col" { (view.say("kind")) }
                        th scope="col" { (view.say("sees")) }
                        th scope="col" { (view.say("does")) }
                    } }
                    tbody {}
                }
            }
            @if view.may("role.change_permissions") {
                details {
                    summary { (view.say("permissions")) }
                    ul.chips data-each="patterns" {
                        template {
                            li {
                                code data-fill="pattern" {}
                                form method="post" action="/v1/roles/{role}/change_permissions" data-api data-then="list" {
                                    input type="hidden" name="remove" data-type="lines" value="{pattern}";
                                    button.cross type="submit" aria-label={ (view.say("take-permission")) ": {pattern}" } { "×" }
                                    p.fault role="alert" {}
                                }
                            }
                        }
                    }
                    form.line method="post" action="/v1/roles/{id}/change_permissions" data-api data-then="list" {
                        div.field {
                            label for="add-{id}" { (view.say("give-permission")) }
                            input id="add-{id}" name="add" data-type="lines" list="permissions" autocomplete="off"
                                spellcheck="false" required;
                        }
                        p.fault role="alert" {}
                        button.secondary type="submit" { (view.say("give-permission")) }
                    }
                    @if view.may("role.rename") {
                        form.line method="post" action="/v1/roles/{id}/rename" data-api data-then="list" {
                            div.field {
                                label for="name-{id}" { (view.say("name")) }
                                input id="name-{id}" name="name" value="{name}" autocomplete="off" required;
                            }
                            p.fault role="alert" {}
                            button.secondary type="submit" { (view.say("rename")) }
                        }
                    }
                    @if view.may("role.delete") {
                        form.line method="post" action="/v1/roles/{id}/delete" data-api data-then="list" {
                            p.hint { (view.say("delete-role-lead")) }
                            p.fault role="alert" {}
                            button.danger type="submit" { (view.say("delete")) }
                        }
                    }
                }
            }
        }
    }
}
