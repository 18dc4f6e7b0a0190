//! One command for many records: choosing them in a list, and the page of a bulk, which shows what it would do, how far it is, what
//! became of each record and how it is taken back.

use maud::{Markup, html};

use crate::{
    frame::{Collection, Form, FormField, Input, View, below},
    parts::{OUTCOMES, choice, needs_script, submit, words},
};

/// Kinds of record of which there are few enough to be chosen from a list.
const FEW: &[&str] = &["user", "team", "label", "project", "product", "product_category", "role", "rule"];

/// What is done with the records that are chosen in a list; nothing for whoever may do nothing with many.
pub(crate) fn choosing(view: &View, collection: &Collection) -> Markup {
    let may = |form: &&Form| view.may(&format!("{}.{}", collection.kind, form.command));
    let forms: Vec<&Form> = collection.forms.iter().filter(may).collect();
    if forms.is_empty() || !view.may("bulk.run") {
        return html! {};
    }
    let command = |name: &str| {
        let words = view.language.word("command", name).unwrap_or_else(|| name.replace('_', " "));
        capital(&words)
    };
    let mut commands: Vec<(&str, String)> =
        forms.iter().map(|form| (form.command.as_str(), command(&form.command))).collect();
    commands.sort_by(|one, other| one.1.cmp(&other.1));
    html! {
        details.panel #bulk {
            summary { (view.say("bulk-many")) }
            form #bulk-form {
                p #bulk-chosen role="status" { (view.say("text-chosen_none")) }
                p.actions {
                    button.secondary type="button" data-choose="page" { (view.say("bulk-page")) }
                    button.secondary type="button" data-choose="all" { (view.say("bulk-all")) }
                    button.secondary type="button" data-choose="none" { (view.say("bulk-clear")) }
                }
                (choice("bulk", "command", &view.say("bulk-command"), &commands, ""))
                div #bulk-fields {}
                p.hint { (view.say("bulk-hint")) }
                (submit(&view.say("bulk-try")))
            }
            @for form in &forms {
                template data-command=(form.command) {
                    div.fields { @for field in &form.fields { (filled(view, &form.command, field)) } }
                }
            }
        }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A field of a command.
fn filled(view: &View, command: &str, field: &FormField) -> Markup {
    let FormField { name, input, required } = field;
    let id = format!("bulk-{command}-{name}");
    let label = view.language.word("field", name).unwrap_or_else(|| name.replace('_', " "));
    let option = |value: &str, shown: String| html! { option value=(value) { (shown) } };
    let state = |word: &String| {
        let words = view.language.word("state", word).unwrap_or_else(|| word.replace('_', " "));
        option(word, capital(&words))
    };
    let typed = |kind: &str, data: Option<&str>| {
        html! { input id=(id) name=(name) type=(kind) data-type=[data] required[*required] autocomplete="off"; }
    };
    let long = |data: &str| {
        html! { textarea id=(id) name=(name) data-type=(data) required[*required] rows="3" spellcheck="false" {} }
    };
    html! {
        div.field {
            label for=(id) { (capital(&label)) @if let Input::Json = input { " (JSON)" } }
            @match input {
                Input::Text => (typed("text", None)),
                Input::Lines => (long("lines")),
                Input::Number => (typed("number", Some("number"))),
                Input::Moment => (typed("datetime-local", Some("moment"))),
                Input::Day => (typed("date", None)),
                Input::Json => (long("json")),
                Input::Switch => {
                    select id=(id) name=(name) data-type="bool" required[*required] autocomplete="off" {
                        option value="" {}
                        (option("true", capital(&view.say("text-yes")))) (option("false", capital(&view.say("text-no"))))
                    }
                }
                Input::Choice(known) => {
                    select id=(id) name=(name) required[*required] autocomplete="off" {
                        option value="" {}
                        @for word in known { (state(word)) }
                    }
                }
                Input::Record(kind) => {
                    @let path = FEW.contains(&kind.as_str()).then(|| path_of(view, kind)).flatten();
                    @match path {
                        Some(path) => {
                            select id=(id) name=(name) data-of=(path) required[*required] autocomplete="off" { option value="" {} }
                        }
                        None => (typed("text", None)),
                    }
                }
            }
        }
    }
}

/// The collection of a kind that somebody may read: people are one too.
fn path_of(view: &View, kind: &str) -> Option<&'static str> {
    match kind {
        "user" => view.may("user.read").then_some("users"),
        "role" => view.may("role.read").then_some("roles"),
        kind => {
            let known = &view.person.as_ref()?.collections;
            known.iter().find(|collection| collection.kind == kind).map(|collection| collection.path)
        }
    }
}

/// The kinds of record with their collections, and with the field that says what a record is called.
pub(crate) fn collections(view: &View) -> (String, String) {
    let known = view.person.as_ref().map(|person| person.collections.as_slice()).unwrap_or_default();
    let paths: Vec<_> = known.iter().map(|other| format!("{}={}", other.kind, other.path)).collect();
    let titles = known.iter().filter_map(|other| Some(format!("{}={}", other.kind, other.title?)));
    (paths.join(" "), titles.collect::<Vec<_>>().join(" "))
}

/// The page of a bulk, no older than a position of the log.
pub fn bulk(view: &View, id: &str, position: i64) -> String {
    let (paths, titles) = collections(view);
    let outcomes: Vec<(&str, String)> = [("", view.say("outcome-all"))]
        .into_iter()
        .chain(OUTCOMES.iter().map(|name| (*name, view.say_of("outcome", name))))
        .collect();
    let content = html! {
        (needs_script(view))
        p.fault role="alert" #fault {}
        section.part #bulk aria-labelledby="bulk-title" aria-busy="true" data-id=(id) data-position=(position)
            data-collections=(paths) data-titles=(titles) {
            h2 #bulk-title { (view.say("bulk-what")) }
            p.notice #tried hidden { (view.say("bulk-tried")) }
            div #about {}
            (counted(view))
            div.actions {
                button type="button" data-does="run" hidden { (view.say("bulk-run")) }
                button.secondary type="button" data-does="pause" hidden { (view.say("bulk-pause")) }
                button.secondary type="button" data-does="resume" hidden { (view.say("bulk-resume")) }
                button.secondary type="button" data-does="cancel" hidden { (view.say("bulk-cancel")) }
                button.danger type="button" data-does="undo" hidden { (view.say("bulk-undo")) }
            }
            p.hint #undo-hint hidden { (view.say("bulk-undo-hint")) }
        }
        section.part #refusals aria-labelledby="refusals-title" hidden {
            h2 #refusals-title { (view.say("bulk-refused")) }
            ul.rows #reasons {}
        }
        section.part #each aria-labelledby="each-title" {
            h2 #each-title { (view.say("bulk-each")) }
            form.found #which { (choice("which", "outcome", &view.say("outcome"), &outcomes, "")) }
            ol.rows #items aria-busy="true" {}
            p.actions { button.secondary type="button" #more hidden { (view.say("more")) } }
        }
        template #item {
            li {
                div {
                    a data-if="path" href="{path}" data-fill="called" {}
                    b data-unless="path" data-fill="called" {}
                    p.hint data-if="detail" data-fill="detail" {}
                    ul.done data-each="events" { template { li { b data-fill="event" {} } } }
                }
                span.badge data-family="outcome" data-fill="outcome" {}
            }
        }
        template #reason { li { div data-fill="detail" {} span.badge data-fill="items" {} } }
        (words(view, &["state", "command", "field", "event"]))
    };
    let above = [("/records", view.say("records-title")), ("/records/bulk", view.say_of("kind", "bulk"))];
    below(view, &above, &view.say("bulk-heading"), &["bulk.js"], &content)
}

/// How far something is that goes through many: filled by a script.
pub(crate) fn counted(view: &View) -> Markup {
    html! {
        div.counted role="status" {
            progress #progress max="1" value="0" aria-label=(view.say("bulk-progress")) {}
            p #counts {}
        }
    }
}
