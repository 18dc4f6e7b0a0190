//! What one was told of what concerns oneself, and what one wants to be told of.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    parts::{MEDIA, TOLD, needs_script},
};

/// The page of one's notifications.
pub fn notifications(view: &View) -> String {
    let content = html! {
        (needs_script(view))
        p.lead { (view.say("notifications-lead")) }
        p.fault role="alert" #fault {}
        section.part aria-labelledby="told-title" {
            div.heading {
                h2 #told-title tabindex="-1" { (view.say("notifications-list")) }
                button.secondary type="button" #read-all hidden { (view.say("notifications-mark-all")) }
            }
            p.hint #none role="status" hidden { (view.say("notifications-none")) }
            ul.rows.told #told-list aria-busy="true" {}
            p.actions { button.secondary type="button" #more hidden { (view.say("notifications-more")) } }
        }
        template #told-row {
            li data-class="state" {
                div {
                    h3 { span data-fill="kind" data-family="told" {} }
                    p data-if="way" { a href="{way}" data-fill="called" dir="auto" {} }
                    p data-unless="way" dir="auto" data-fill="called" {}
                    p.hint {
                        span data-if="by_name" { span data-fill="by_name" dir="auto" {} " · " }
                        time data-fill="sent_at" {}
                    }
                }
                button.secondary type="button" data-does="read" data-if="unread"
                    aria-label={ (view.say("notifications-mark")) ": {called}" } { (view.say("notifications-mark")) }
            }
        }
        (wants(view))
        (push(view))
        (chat(view))
        template #page-texts {
            p data-text="push-denied" { (view.say("notifications-push-denied")) }
            p data-text="push-none" { (view.say("notifications-push-none")) }
            @for name in TOLD { p data-text={ "told-" (name) } { (view.say_of("told", name)) } }
            p data-text="told-gone" { (view.say("notifications-record")) }
            @if let Some(person) = &view.person {
                @for collection in &person.collections {
                    p data-text={ "path-" (collection.kind) } { (collection.path) }
                    p data-text={ "called-" (collection.kind) } { (view.say_of("kind", collection.kind)) }
                }
            }
        }
    };
    inside(view, &view.say("notifications-title"), &["notifications.js"], &content)
}

/// What one wants to be told of, by what, and when.
fn wants(view: &View) -> Markup {
    html! {
        section.part aria-labelledby="wants-title" {
            h2 #wants-title { (view.say("notifications-wants")) }
            p.lead { (view.say("notifications-wants-lead")) }
            form #wants {
                div.grid-of-media {
                    table {
                        thead {
                            tr {
                                td { span.unseen { (view.say("notifications-wants")) } }
                                @for medium in MEDIA { th scope="col" { (view.say_of("medium", medium)) } }
                            }
                        }
                        tbody {
                            @for kind in TOLD.iter().filter(|kind| **kind != "test") {
                                tr {
                                    th scope="row" { (view.say_of("told", kind)) }
                                    @for medium in MEDIA {
                                        td data-label=(view.say_of("medium", medium)) {
                                            label for={ (kind) "-" (medium) } {
                                                span.unseen {
                                                    (view.say_of("told", kind)) ": " (view.say_of("medium", medium))
                                                }
                                            }
                                            input id={ (kind) "-" (medium) } type="checkbox" name=(kind) value=(medium)
                                                autocomplete="off";
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                fieldset.plain {
                    legend { (view.say("notifications-quiet")) }
                    p.hint #quiet-hint { (view.say("notifications-quiet-hint")) }
                    div.fields {
                        div.field {
                            label for="quiet-from" { (view.say("notifications-quiet-from")) }
                            input #quiet-from name="from" type="time" autocomplete="off" aria-describedby="quiet-hint";
                        }
                        div.field {
                            label for="quiet-until" { (view.say("notifications-quiet-until")) }
                            input #quiet-until name="until" type="time" autocomplete="off" aria-describedby="quiet-hint";
                        }
                    }
                }
                div.field.narrow {
                    label for="digest-at" { (view.say("notifications-digest-at")) }
                    input #digest-at name="digest_at" type="time" autocomplete="off";
                }
                p.fault #wants-fault role="alert" {}
                p.actions { button type="submit" { (view.say("notifications-save")) } }
            }
        }
    }
}

/// Messages that this browser shows.
fn push(view: &View) -> Markup {
    html! {
        section.part aria-labelledby="push-title" {
            h2 #push-title { (view.say("notifications-push")) }
            p { (view.say("notifications-push-hint")) }
            p.hint #push-state role="status" {}
            p.actions {
                button type="button" #push-on hidden { (view.say("notifications-push-on")) }
                button.danger type="button" #push-off hidden { (view.say("notifications-push-off")) }
                button.secondary type="button" data-tests="push" hidden { (view.say("notifications-test")) }
            }
        }
    }
}

/// Messages in a chat.
fn chat(view: &View) -> Markup {
    html! {
        section.part aria-labelledby="chat-title" {
            h2 #chat-title { (view.say("notifications-chat")) }
            p { (view.say("notifications-chat-hint")) }
            p #chat-is role="status" hidden { (view.say("notifications-chat-is")) }
            form #chat {
                div.field {
                    label for="chat-url" { (view.say("notifications-chat-url")) }
                    input #chat-url name="url" type="url" required autocomplete="off" spellcheck="false";
                }
                p.fault #chat-fault role="alert" {}
                p.actions {
                    button type="submit" { (view.say("notifications-chat-set")) }
                    button.danger type="button" #chat-off hidden { (view.say("notifications-chat-off")) }
                    button.secondary type="button" data-tests="chat" hidden { (view.say("notifications-test")) }
                }
            }
        }
    }
}
