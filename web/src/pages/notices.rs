//! What went wrong without anybody at the screen: why, what came in, and putting it right.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    parts::{NOTICES, WHY, needs_script},
};

/// The page of system notices.
pub fn notices(view: &View) -> String {
    let clears = view.may("system_notice.clear");
    let content = html! {
        (needs_script(view))
        p.lead { (view.say("notices-lead")) }
        p.fault role="alert" #fault {}
        section.part aria-labelledby="notices-title" {
            h2 #notices-title tabindex="-1" { (view.say("notices-open")) }
            p #count role="status" {}
            ul.rows.notices #notices aria-busy="true" {}
            p.actions {
                button.secondary type="button" #more hidden { (view.say("notices-more")) }
                @if clears { button.danger type="button" #clear-all data-at=[view.may("bulk.run").then_some("once")] hidden { (view.say("notices-clear-all")) } }
            }
        }
        template #notice {
            li {
                div {
                    h3 data-fill="about" data-family="notice" {}
                    p data-fill="why" {}
                    p.hint data-if="reason" { (view.say("notices-told")) " " span data-fill="reason" {} }
                    p.hint {
                        time data-fill="raised_at" {}
                        span data-if="again" { " · " (view.say("notices-times")) " " span data-fill="again" {} }
                        span data-if="pointer" { " · " (view.say("notices-field")) " " code data-fill="pointer" {} }
                        " · " code data-fill="code" {}
                    }
                    p data-if="place" { a.chat href="{place}" { (view.say("notices-see")) } }
                    p data-if="hook" { a href="/webhooks" { (view.say("notices-hooks")) } }
                }
                @if clears {
                    button.secondary type="button" data-does="clear" aria-label={ (view.say("notices-clear")) ": {named}" } {
                        (view.say("notices-clear"))
                    }
                }
                (delivery(view))
            }
        }
        template #page-texts {
            @for name in NOTICES { p data-text={ "notice-" (name) } { (view.say_of("notice", name)) } }
            @for name in WHY { p data-text={ "why-" (name) } { (view.say_of("why", name)) } }
        }
    };
    inside(view, &view.say("notices-title"), &["notices.js"], &content)
}

/// What another system handed in, and what may be done about it.
fn delivery(view: &View) -> Markup {
    html! {
        details data-if="delivery" {
            summary { (view.say("notices-body")) " " span.hint data-fill="source" {} }
            form data-delivery="{delivery}" {
                div.field {
                    label for="body-{delivery}" { (view.say("notices-body-hint")) }
                    textarea id="body-{delivery}" name="body" rows="12" spellcheck="false" autocomplete="off"
                        readonly[!view.may("delivery.correct")] {}
                }
                p.fault role="alert" {}
                p.actions {
                    @if view.may("delivery.correct") {
                        button type="submit" value="correct" { (view.say("notices-correct")) }
                    }
                    @if view.may("delivery.try_again") {
                        button.secondary type="submit" value="try_again" { (view.say("notices-try")) }
                    }
                    @if view.may("delivery.dismiss") {
                        button.danger type="submit" value="dismiss" { (view.say("notices-dismiss")) }
                    }
                }
            }
        }
    }
}
