//! Records of every kind: which collections there are, the list of one, and a record with who may see it and what happened to it.

use maud::{Markup, html};

use super::bulk::choosing;
use crate::{
    frame::{Collection, View, below, inside},
    parts::{EXPORTS, Field, LEVELS, choice, hidden, icons, needs_script, words},
};

/// The page of all collections, by context.
pub fn records(view: &View) -> String {
    let collections = view.person.as_ref().map(|person| person.collections.as_slice()).unwrap_or_default();
    let content = html! {
        @if collections.is_empty() { p.lead { (view.say("records-none")) } }
        @for group in collections.chunk_by(|one, other| one.context == other.context) {
            @let context = group[0].context;
            section.part aria-labelledby={ "context-" (context) } {
                h2 id={ "context-" (context) } { (view.say_of("context", context)) }
                ul.kinds {
                    @for collection in group {
                        li { a href={ "/records/" (collection.path) } { (view.say_of("kind", collection.kind)) } }
                    }
                }
            }
        }
    };
    inside(view, &view.say("records-title"), &[], &content)
}

/// The page of one collection, no older than a position of the log. The list itself is the API's: a script fills it in.
pub fn list(view: &View, collection: &Collection, position: i64) -> String {
    let newest = format!("-{}", collection.changed);
    let orders = [("", view.say("order-usual")), (newest.as_str(), view.say("order-changed"))];
    let by_name = collection.title.map(|title| (title, view.say("order-name")));
    let orders: Vec<_> = orders.into_iter().chain(by_name).collect();
    let fields = collection.states.iter().chain(&collection.holders);
    let by_field = fields.map(|field| (*field, named(field)));
    let groups: Vec<_> = [("", view.say("group-none"))].into_iter().chain(by_field).collect();
    let content = html! {
        (needs_script(view))
        form.search.found role="search" #search {
            @if view.may("view.read") {
                (choice("search", "view", &view.say("view"), &[("", view.say("view-none"))], ""))
            }
            @if !collection.searched.is_empty() {
                (Field { form: "search", name: "name", label: view.say("find"), kind: "search", ..Field::default() }.show())
            }
            (choice("search", "sort", &view.say("order"), &orders, ""))
            (Field { form: "search", name: "as_of", label: view.say("as-of"), kind: "date", ..Field::default() }.show())
            (hidden("filter", ""))
            @if groups.len() > 1 { (choice("search", "group", &view.say("group"), &groups, "")) }
            @if !collection.holders.is_empty() {
                div.check {
                    input id="search-mine" name="mine" type="checkbox" value="true";
                    label for="search-mine" { (view.say("only-mine")) }
                }
            }
        }
        p.fault role="alert" #fault {}
        p.hint #noted hidden {}
        p.notice #narrowed hidden { (view.say("list-narrowed")) " " button.link type="button" #widen { (view.say("list-widen")) } }
        p.notice #then hidden { (view.say("as-it-was-on")) " " time {} ". " button.link type="button" #now { (view.say("as-it-is")) } }
        (choosing(view, collection))
        ul.records #records aria-busy="true" data-path=(collection.path) data-kind=(collection.kind) data-position=(position)
            data-title=[collection.title] data-told=(collection.told.join(" ")) data-searched=(collection.searched.join(" "))
            data-states=(collection.states.join(" ")) data-holders=(collection.holders.join(" "))
            data-changed=(collection.changed) {}
        div.board #board hidden tabindex="0" role="group" aria-label=(view.say("group")) {}
        p.actions { button.secondary type="button" #more hidden { (view.say("more")) } }
        @if view.may("view.create") { (saving(view)) }
        @if collection.imports && view.may("import.run") {
            p.actions { a.button.secondary href={ "/imports?record=" (collection.kind) } { (view.say("import-a-file")) } }
        }
        @if view.may("export.run") {
            p.actions #exports {
                @for format in EXPORTS {
                    a href={ "/v1/" (collection.path) "/export?format=" (format) } download { (view.say_of("export", format)) }
                }
            }
        }
        (words(view, &["state"]))
        (icons())
        @let picks = view.may("bulk.run");
        template #group {
            section.group {
                h2 { span data-fill="called" {} " " span.badge data-fill="count" {} }
                ul.records {}
                p.hint data-if="more" { (view.say("more-of")) " " span data-fill="more" {} }
            }
        }
        template #row {
            li {
                @if picks {
                    span.pick {
                        input id="pick-{id}" type="checkbox" value="{id}" data-pick autocomplete="off";
                        label for="pick-{id}" { span.unseen data-fill="called" {} }
                    }
                }
                div {
                    a href={ "/records/" (collection.path) "/{id}" } data-fill="called" {}
                    p.hint data-if="about" data-fill="about" {}
                }
                p.state data-each="states" { template { span.badge data-fill="state" {} " " } }
                p.whose data-fill="whose" {}
                time data-if="changed" data-fill="changed" {}
            }
        }
    };
    let above = [("/records", view.say("records-title"))];
    below(view, &above, &view.say_of("kind", collection.kind), &["records.js"], &content)
}

/// A form that keeps what is shown as a view, and the way to the one that is chosen, where it is shared and put away.
fn saving(view: &View) -> Markup {
    html! {
        details.saving {
            summary { (view.say("view-save")) }
            form.line #saving {
                div.field {
                    label for="saving-name" { (view.say("view-name")) }
                    input id="saving-name" name="name" required maxlength="200" autocomplete="off";
                }
                button.secondary type="submit" { (view.say("view-save")) }
            }
        }
        p { a #chosen hidden href="/records/views" { (view.say("view-open")) } }
    }
}

/// A field of the API as it begins a line.
fn named(field: &str) -> String {
    let words = field.trim_end_matches("_id").replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The page of one record, no older than a position of the log.
pub fn record(view: &View, collection: &Collection, id: &str, position: i64) -> String {
    let Some(person) = &view.person else { return String::new() };
    let name = view.say_of("kind", collection.kind);
    let pairs = |pairs: &[(&str, &str)]| {
        let joined: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        joined.join(" ")
    };
    let collections: Vec<_> = person.collections.iter().map(|other| (other.kind, other.path)).collect();
    let references: Vec<_> = collection.references.iter().map(|(field, kind)| (*field, kind.as_str())).collect();
    let content = html! {
        (needs_script(view))
        p.fault role="alert" #fault {}
        @let elsewhere = ["bulk", "import"].contains(&collection.kind);
        @if elsewhere {
            @let place = if collection.kind == "bulk" { "bulk" } else { "imports" };
            p.actions { a.button.secondary href={ "/" (place) "/" (id) } { (view.say("job-open")) } }
        }
        p.notice #then hidden {
            (view.say("as-it-was")) " " time data-exact {} ". "
            a href={ "/records/" (collection.path) "/" (id) } { (view.say("as-it-is")) }
        }
        div #record aria-busy="true" data-path=(collection.path) data-kind=(collection.kind) data-id=(id)
            data-position=(position) data-title=[collection.title] data-told=(collection.told.join(" "))
            data-changed=(collection.changed) data-commands=(collection.commands.join(" ")) data-me=(person.id) data-name=(person.name)
            data-collections=(pairs(&collections)) data-references=(pairs(&references))
            data-people[view.may("user.read")] data-teams[view.may("team.read")] {}
        (part("access", &view.say("access-title"), &access(view)))
        @if collection.shares { (part("sharing", &view.say("sharing"), &sharing(view, collection, id))) }
        (part("history", &view.say("history"), &history(view)))
        (words(view, &["state", "command", "field", "event"]))
        (icons())
        template #fields {
            section.part aria-labelledby="details-title" {
                h2 #details-title { (view.say("details")) }
                div.fields-of {}
                p.hint data-if="unfilled" { (view.say("unfilled")) " " span data-fill="unfilled" {} }
            }
        }
    };
    let path = format!("/records/{}", collection.path);
    let above = [("/records", view.say("records-title")), (path.as_str(), name.clone())];
    below(view, &above, &name, &["record.js"], &content)
}

fn part(id: &str, title: &str, content: &Markup) -> Markup {
    html! { section.part id={ (id) "-part" } aria-labelledby={ (id) "-title" } { h2 id={ (id) "-title" } tabindex="-1" { (title) } (content) } }
}

/// Who may see and change it, and by what.
fn access(view: &View) -> Markup {
    html! {
        div.scrolls {
            table.access {
                thead { tr {
                    th scope="col" { (view.say("who")) }
                    th scope="col" { (view.say("because")) }
                    th scope="col" { (view.say("does")) }
                } }
                tbody #access aria-busy="true" {}
            }
        }
        template #permitted {
            tr {
                th scope="row" data-fill="name" {}
                td.because data-label=(view.say("because")) {}
                td data-label=(view.say("does")) data-fill="does" {}
            }
        }
    }
}

/// With whom it is shared, and sharing it with others.
fn sharing(view: &View, collection: &Collection, id: &str) -> Markup {
    let action = |command: &str| format!("/v1/{}/{id}/{command}", collection.path);
    let levels: Vec<_> = LEVELS.iter().map(|level| (*level, view.say_of("level", level))).collect();
    html! {
        p { (view.say("sharing-lead")) }
        ul.rows #shares {}
        form.line method="post" action=(action("share")) data-api data-then="shared" #share hidden {
            div.field {
                label for="share-grantee" { (view.say("share-with")) }
                select #share-grantee name="grantee" required {
                    option value="" {}
                    optgroup label=(view.say("people-title")) #share-people {}
                    optgroup label=(view.say_of("kind", "team")) #share-teams {}
                }
            }
            (choice("share", "level", &view.say("share-level"), &levels, "read"))
            p.fault role="alert" {}
            button.secondary type="submit" { (view.say("share")) }
        }
        template #shared {
            li {
                div { b data-fill="name" {} " " span.hint data-family="level" data-fill="level" {} }
                form method="post" action=(action("unshare")) data-api data-then="shared" data-if="may" {
                    input type="hidden" name="grantee" value="{grantee}";
                    p.fault role="alert" {}
                    button.secondary type="submit" aria-label={ (view.say("unshare")) ": {name}" } { (view.say("unshare")) }
                }
            }
        }
    }
}

/// What happened to it, the latest first.
fn history(view: &View) -> Markup {
    html! {
        form.line method="get" {
            (Field { form: "moment", name: "as_of", label: view.say("as-of"), kind: "date", required: true, ..Field::default() }.show())
            button.secondary type="submit" { (view.say("show")) }
        }
        ol.events #events aria-busy="true" {}
        p.actions { button.secondary type="button" #more hidden { (view.say("more")) } }
        template #event {
            li {
                p { b data-fill="what" {} " " span.who-did {} " " time data-fill="at" {} }
                details data-if="data" { summary { (view.say("details")) } div.fields-of {} }
                a href="?as_of={position}" { (view.say("then")) }
            }
        }
    }
}
