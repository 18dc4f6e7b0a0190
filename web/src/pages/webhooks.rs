//! Webhooks: who is told of what, how it fares, what was sent of late, and trying it.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    pages::me::once,
    parts::{Field, HOOKS, needs_script, submit},
};

/// The page of webhooks. The list itself is the API's: a script fills it in.
pub fn webhooks(view: &View) -> String {
    let content = html! {
        (needs_script(view))
        p.lead { (view.say("webhooks-lead")) }
        @if view.may("webhook.subscribe") { (new(view)) }
        (once(view, "hook-secret", &view.say("webhooks-secret")))
        p.fault role="alert" #fault {}
        div #webhooks aria-busy="true" {}
        template #webhook { (webhook(view)) }
        template #delivery { (delivery(view)) }
        template #page-texts {
            @for name in HOOKS { p data-text={ "hook-" (name) } { (view.say_of("hook", name)) } }
        }
    };
    inside(view, &view.say("webhooks-title"), &["webhooks.js"], &content)
}

fn new(view: &View) -> Markup {
    html! {
        details.panel {
            summary { (view.say("webhooks-new")) }
            form method="post" action="/v1/webhooks" data-api data-then="secret" {
                (Field { form: "hook", name: "url", label: view.say("webhooks-url"), kind: "url", required: true, ..Field::default() }.show())
                div.field {
                    label for="hook-types" { (view.say("webhooks-types")) }
                    textarea #hook-types name="types" data-type="lines" rows="4" spellcheck="false"
                        aria-describedby="hook-types-hint" required {}
                    p.hint #hook-types-hint { (view.say("webhooks-types-hint")) }
                }
                (Field { form: "hook", name: "description", label: view.say("webhooks-description"), ..Field::default() }.show())
                (submit(&view.say("create")))
            }
        }
    }
}

fn webhook(view: &View) -> Markup {
    let (may, say) = (|name: &str| view.may(name), |name: &str| view.say(name));
    html! {
        section.part data-id="{id}" aria-labelledby="hook-{id}" {
            h2 id="hook-{id}" data-fill="url" {}
            p data-if="description" data-fill="description" {}
            p { b data-fill="state" {} span data-if="why" { " · " span data-fill="why" {} } }
            p.hint {
                (say("webhooks-types")) ": " code data-fill="asked" {}
                span data-if="user_name" { " · " (say("webhooks-eyes")) " " span data-fill="user_name" {} }
                span data-if="delivered_at" { " · " (say("webhooks-taken")) " " time data-fill="delivered_at" {} }
                span data-if="waiting" { " · " (say("webhooks-waiting")) " " span data-fill="waiting" {} }
                span data-if="failing_since" { " · " (say("webhooks-failing")) " " time data-fill="failing_since" {} }
            }
            p.fault role="alert" {}
            div.actions data-unless="archived" {
                @if may("webhook.test") {
                    form method="post" action="/v1/webhooks/{id}/test" data-api data-then="tried" data-if="works" {
                        button.secondary type="submit" { (say("webhooks-test")) }
                        p.fault role="alert" {}
                    }
                }
                @if may("webhook.enable") {
                    form method="post" action="/v1/webhooks/{id}/enable" data-api data-then="list" data-unless="works" {
                        button.secondary type="submit" { (say("webhooks-enable")) }
                        p.fault role="alert" {}
                    }
                }
                @if may("webhook.disable") {
                    form method="post" action="/v1/webhooks/{id}/disable" data-api data-then="list" data-if="works" {
                        button.secondary type="submit" { (say("webhooks-disable")) }
                        p.fault role="alert" {}
                    }
                }
                @if may("webhook.rotate_secret") {
                    form method="post" action="/v1/webhooks/{id}/rotate_secret" data-api data-then="secret" {
                        button.secondary type="submit" { (say("webhooks-rotate")) }
                        p.fault role="alert" {}
                    }
                }
                @if may("webhook.archive") {
                    form method="post" action="/v1/webhooks/{id}/archive" data-api data-then="list" {
                        button.danger type="submit" { (say("webhooks-archive")) }
                        p.fault role="alert" {}
                    }
                }
            }
            details data-log="{id}" {
                summary { (say("webhooks-log")) }
                ul.rows {}
            }
        }
    }
}

fn delivery(view: &View) -> Markup {
    html! {
        li data-delivery="{id}" {
            div {
                p { b data-fill="outcome" {} " · " code data-fill="event_type" {} " · " time data-fill="started_at" {} }
                p.hint {
                    span data-if="answer" { (view.say("webhooks-answer")) " " span data-fill="answer" {} " · " }
                    span data-fill="took_ms" {} " ms · " (view.say("webhooks-attempt")) " " span data-fill="attempt" {}
                    span data-if="next_attempt_at" { " · " (view.say("webhooks-next")) " " time data-exact data-fill="next_attempt_at" {} }
                }
                p.hint data-if="error" data-fill="error" {}
                details {
                    summary { (view.say("webhooks-sent")) }
                    pre tabindex="0" { code data-fill="sent" {} }
                    pre tabindex="0" data-if="got" { code data-fill="got" {} }
                }
            }
            @if view.may("webhook.redeliver") {
                form method="post" action="/v1/webhooks/{webhook}/deliveries/{id}/redeliver" data-api data-then="tried" data-if="works" {
                    button.secondary type="submit" aria-label={ (view.say("webhooks-again")) ": {event_type}" } { (view.say("webhooks-again")) }
                    p.fault role="alert" {}
                }
            }
        }
    }
}
