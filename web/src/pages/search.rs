//! Search over everything: what is typed, and what was found, by kind.

use maud::{Markup, html};

use crate::frame::{View, inside};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By kind, the best first.
    pub groups: Vec<FoundGroup>,
    /// Whether nothing is spelled quite so.
    pub similar: bool,
}

/// What was found of one kind.
#[derive(Clone, Debug)]
pub struct FoundGroup {
    /// The kind.
    pub kind: String,
    /// How many records, with a `+` where there are more.
    pub count: String,
    /// The best of them.
    pub hits: Vec<FoundHit>,
}

/// A part of a text, and whether it matches.
pub type Part = (String, bool);

/// A record that was found.
#[derive(Clone, Debug)]
pub struct FoundHit {
    /// Where it is.
    pub path: String,
    /// What it is called.
    pub title: Vec<Part>,
    /// Its number, where it has one.
    pub number: Option<i64>,
    /// When anything last happened to it.
    pub happened_at: String,
    /// Where else it matches.
    pub lines: Vec<Vec<Part>>,
}

/// The page of a search; `found` is missing where nothing was asked.
pub fn search(view: &View, asked: &str, archived: bool, found: Option<&Found>) -> String {
    let content = html! {
        form.search.seeks role="search" action="/search" method="get" #seeks aria-label=(view.say("search-title")) {
            div.field {
                label for="seek" { (view.say("search-box")) }
                input #seek type="search" name="q" value=(asked) maxlength="500" autocomplete="off" autofocus[asked.is_empty()]
                    aria-describedby="seek-hint";
            }
            div.check {
                input #seek-archived name="archived" type="checkbox" value="true" checked[archived];
                label for="seek-archived" { (view.say("search-archived")) }
            }
            button type="submit" { (view.say("find")) }
        }
        p.hint #seek-hint { (view.say("search-lead")) }
        p.fault role="alert" #fault {}
        p.seek-said role="status" #said { @if let Some(found) = found { (said(view, found)) } }
        div #found { @if let Some(found) = found { @for group in &found.groups { (of_kind(view, group)) } } }
        template #found-group {
            section.part {
                h2 { span data-fill="kind" data-family="kind" {} " " span.count data-fill="count" {} }
                ol.hits {}
            }
        }
        template #found-hit {
            li {
                p { a href="{path}" {} " " span.number data-if="number" { "#" span data-fill="number" {} } }
                time data-fill="happened_at" {}
            }
        }
    };
    inside(view, &view.say("search-title"), &[], &content)
}

fn said(view: &View, found: &Found) -> String {
    match found {
        Found { groups, .. } if groups.is_empty() => view.say_of("text", "seek_nothing"),
        Found { similar: true, .. } => view.say_of("text", "seek_similar"),
        Found { .. } => String::new(),
    }
}

fn of_kind(view: &View, group: &FoundGroup) -> Markup {
    html! {
        section.part {
            h2 { span { (view.say_of("kind", &group.kind)) } " " span.count { (group.count) } }
            ol.hits {
                @for hit in &group.hits {
                    li {
                        p {
                            a href=(hit.path) { (parts(&hit.title)) @if hit.title.is_empty() { (view.say_of("kind", &group.kind)) } }
                            @if let Some(number) = hit.number { " " span.number { "#" (number) } }
                        }
                        time datetime=(hit.happened_at) { (hit.happened_at) }
                        @for line in &hit.lines { p.snippet { (parts(line)) } }
                    }
                }
            }
        }
    }
}

fn parts(parts: &[Part]) -> Markup {
    html! { @for (text, hit) in parts { @if *hit { mark { (text) } } @else { (text) } } }
}

/// The box on every other page.
pub(crate) fn seek(view: &View) -> Markup {
    html! {
        form.seek role="search" action="/search" method="get" #seeks aria-label=(view.say("search-title")) {
            label for="seek" { span.unseen { (view.say("search-box")) } }
            input #seek type="text" inputmode="search" enterkeyhint="search" name="q" maxlength="500" autocomplete="off"
                placeholder=(view.say("search-box")) aria-keyshortcuts="/"
                role="combobox" aria-autocomplete="list" aria-expanded="false" aria-controls="seek-list";
            kbd aria-hidden="true" { "/" }
            div.seek-list role="listbox" #seek-list aria-label=(view.say("search-found")) hidden {}
            p.unseen role="status" #said {}
        }
    }
}
