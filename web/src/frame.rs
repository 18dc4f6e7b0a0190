//! What all pages have in common: head, way around, foot; and who looks at them.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, html};

use crate::{
    assets::path_of,
    pages::{PortalFrame, seek},
    parts::{self, hidden},
    texts::Language,
};

/// How bright somebody wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the device has it.
    #[default]
    Auto,
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl Theme {
    /// All of them.
    pub const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme of this name.
    pub fn of_name(name: &str) -> Option<Theme> {
        Theme::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// The full name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// What the tenant is called.
    pub tenant: String,
    /// The tenant's id.
    pub tenant_id: String,
    /// The language of the profile, BCP 47.
    pub locale: Option<String>,
    /// The time zone of the profile, IANA.
    pub time_zone: Option<String>,
    /// Everything that the person may, such as `user.invite`.
    pub permissions: BTreeSet<String>,
    /// The collections of records that the person may read, those of one context beside each other.
    pub collections: Vec<&'static Collection>,
}

/// All records of a kind, and what their list tells of each.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// Its name in paths, such as `tickets`.
    pub path: &'static str,
    /// The kind of its records, such as `ticket`.
    pub kind: &'static str,
    /// The context that the kind belongs to, such as `desk`.
    pub context: &'static str,
    /// The field that says what a record is called; `None` where they have no name.
    pub title: Option<&'static str>,
    /// The fields that tell one from another besides, the best first.
    pub told: Vec<&'static str>,
    /// The fields in which one searches.
    pub searched: Vec<&'static str>,
    /// The fields that say how far a record has come.
    pub states: Vec<&'static str>,
    /// The fields that say whose a record is.
    pub holders: Vec<&'static str>,
    /// The field that says when it last changed.
    pub changed: &'static str,
    /// The fields that refer to other records, with their kind, or with `@` and the field that says it.
    pub references: Vec<(&'static str, String)>,
    /// The commands that there are for a record.
    pub commands: Vec<&'static str>,
    /// Whether a record can be shared.
    pub shares: bool,
    /// What the commands for a record take.
    pub forms: Vec<Form>,
    /// Whether records are brought in from files.
    pub imports: bool,
}

/// What a command takes, as a form has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The command.
    pub command: String,
    /// What it takes.
    pub fields: Vec<FormField>,
}

/// Something that a command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormField {
    /// Its name in the API.
    pub name: String,
    /// How it is filled in.
    pub input: Input,
    /// Whether the command needs it.
    pub required: bool,
}

/// How something is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// As a text.
    Text,
    /// As texts, one on each line.
    Lines,
    /// As a whole number.
    Number,
    /// As yes or no.
    Switch,
    /// As one of these words.
    Choice(Vec<String>),
    /// As a moment.
    Moment,
    /// As a day.
    Day,
    /// By choosing a record of this kind.
    Record(String),
    /// As JSON, since it has parts.
    Json,
}

impl Person {
    /// Whether the person has this permission.
    pub(crate) fn may(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }
}

/// Who looks, and how.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In which language.
    pub language: Language,
    /// How bright.
    pub theme: Theme,
    /// At which path, with its query: where one comes back to.
    pub path: String,
    /// Who; `None` for whoever is not signed in.
    pub person: Option<Person>,
    /// What was wrong with a form of this page that was sent without scripts.
    pub refusal: Option<Refusal>,
}

/// What was refused.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The stable code of what is wrong.
    pub code: String,
    /// The same in words of the API.
    pub detail: String,
    /// The codes of what is wrong with single fields.
    pub fields: Vec<String>,
}

impl View {
    pub(crate) fn say(&self, name: &str) -> String {
        self.language.say(name)
    }

    pub(crate) fn say_with(&self, name: &str, values: &[(&str, &str)]) -> String {
        self.language.say_with(name, values)
    }

    pub(crate) fn count(&self, name: &str, count: u32) -> String {
        self.language.count(name, count)
    }

    /// One of a family of texts, such as those of the kinds of record.
    pub(crate) fn say_of(&self, family: &str, name: &str) -> String {
        self.language.say_of(family, name)
    }

    /// What is wrong with a form that was sent, in the language of whoever looks where there is a text of it.
    fn refused(&self) -> Markup {
        let Some(Refusal { code, detail, fields }) = &self.refusal else { return Markup::default() };
        let told = |code: &String| {
            let name = format!("problem-{code}");
            Some(self.say(&name)).filter(|text| *text != name)
        };
        let mut texts: Vec<String> = fields.iter().filter_map(told).collect();
        if texts.is_empty() {
            texts.push(told(code).unwrap_or_else(|| detail.clone()));
        }
        texts.dedup();
        html! { p.fault #refusal role="alert" { (texts.join(" ")) } }
    }

    pub(crate) fn may(&self, permission: &str) -> bool {
        self.person.as_ref().is_some_and(|person| person.may(permission))
    }
}

/// A place that one can go to.
struct Place {
    path: &'static str,
    /// The text of its name.
    name: String,
    /// What one does there.
    lead: String,
}

/// Everything there is for whoever looks.
fn places(view: &View) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |path, open: bool, name: String, lead: String| {
        if open {
            places.push(Place { path, name, lead });
        }
    };
    let reads = view.person.as_ref().is_some_and(|person| !person.collections.is_empty());
    add("/inbox", view.may("conversation.read"), view.say("inbox-title"), view.say("inbox-lead"));
    add("/records", reads, view.say("records-title"), view.say("records-lead"));
    add("/dashboards", view.may("report.read"), view.say("dashboards-title"), view.say("dashboards-lead"));
    add("/notifications", true, view.say("notifications-title"), view.say("notifications-lead"));
    add("/notices", view.may("system_notice.read"), view.say("notices-title"), view.say("notices-lead"));
    add("/imports", view.may("import.run"), view.say("imports-title"), view.say("imports-lead"));
    add("/people", view.may("user.read"), view.say("people-title"), view.say("people-lead"));
    add("/roles", view.may("role.read"), view.say("roles-title"), view.say("roles-lead"));
    add("/settings", view.may("tenant.read"), view.say("settings-title"), view.say("settings-lead"));
    add("/webhooks", view.may("webhook.read"), view.say("webhooks-title"), view.say("webhooks-lead"));
    add("/plan", view.may("tenant.read"), view.say("plan-page-title"), view.say("plan-page-lead"));
    add("/me", true, view.say("me-title"), view.say("me-lead"));
    add("/docs", true, view.say("docs-title"), view.say("docs-lead"));
    places
}

/// The ways from the start page to everything there is.
pub(crate) fn ways(view: &View) -> Markup {
    html! {
        ul.ways {
            @for place in places(view) {
                li { a.way href=(place.path) { strong { (place.name) } span { (place.lead) } } }
            }
        }
    }
}

/// A page of somebody who is signed in. `scripts` beside those that every page has, style sheets among them.
pub(crate) fn inside(view: &View, title: &str, scripts: &[&str], content: &Markup) -> String {
    below(view, &[], title, scripts, content)
}

/// The same of a page that stands below others, which have paths and names.
pub(crate) fn below(view: &View, above: &[(&str, String)], title: &str, scripts: &[&str], content: &Markup) -> String {
    let here = view.path.split(['?', '#']).next().unwrap_or_default();
    let current = |path: &str| match here.strip_prefix(path) {
        Some("") => Some("page"),
        Some(rest) if path != "/" && rest.starts_with('/') => Some("true"),
        _ => None,
    };
    let header = html! {
        header.bar {
            a.brand href="/" aria-current=[current("/")] { (mark()) span { "Deskfold" } }
            @if let Some(person) = &view.person {
                p.tenant { (person.tenant) }
                nav aria-label=(view.say("navigation")) {
                    ul {
                        @for place in places(view) {
                            li { a href=(place.path) aria-current=[current(place.path)] { (place.name) } }
                        }
                    }
                }
                div.signs { (signs(view)) }
                @if here != "/search" { (seek(view)) }
                form.leave method="post" action="/v1/me/sign_out" data-api {
                    (hidden("next", "/sign_in"))
                    button.quiet type="submit" { (view.say("sign-out")) }
                }
            }
        }
    };
    let body = html! {
        main #content tabindex="-1" {
            @if !above.is_empty() {
                nav.trail aria-label=(view.say("trail")) {
                    ol { @for (path, name) in above { li { a href=(path) { (name) } } } }
                }
            }
            h1 { (title) }
            (view.refused())
            (content)
        }
    };
    let unread: &[&str] = if view.may("conversation.read") && here != "/inbox" { &["unread.js"] } else { &[] };
    let attention: &[&str] = if view.may("system_notice.read") { &["attention.js"] } else { &[] };
    let scripts = [&["search.js", "told.js"], unread, attention, scripts].concat();
    document(view, title, "inside", &scripts, &html! { (header) (body) })
}

/// What asks for attention from every page, one sign beside the other; each is hidden as long as there is nothing.
fn signs(view: &View) -> Markup {
    html! {
        a.sign.told #told href="/notifications" hidden {
            (bell())
            span.unseen { (view.say("notifications-unread")) ": " } span.number {}
        }
        @if view.may("conversation.read") {
            a.sign #unread href="/inbox?unread=true" hidden {
                span.unseen { (view.say("inbox-unread-messages")) ": " } span.number {}
            }
        }
        @if view.may("system_notice.read") {
            a.sign.attention #attention href="/notices" hidden {
                span.unseen { (view.say("notices-waiting")) ": " } span.number {}
            }
        }
    }
}

/// A page on the way in: one thing to do, in the middle.
pub(crate) fn outside(view: &View, title: &str, content: &Markup) -> String {
    let body = html! {
        main #content tabindex="-1" {
            p.brand { (mark()) span { "Deskfold" } }
            div.card { h1 { (title) } (view.refused()) (content) }
        }
    };
    document(view, title, "outside", &[], &body)
}

/// A page for people outside, of a tenant whose customers need not know what it works with.
pub(crate) fn visited(view: &View, tenant: &str, title: &str, scripts: &[&str], content: &Markup) -> String {
    let body = html! {
        main #content tabindex="-1" {
            @if !tenant.is_empty() { p.brand { (tenant) } }
            div.card { h1 { (title) } (content) }
        }
    };
    let owner = if tenant.is_empty() { "Deskfold" } else { tenant };
    document_of(view, owner, title, "visited", scripts, &body)
}

/// A page of a portal: the head is the tenant's own, with the ways that there are in it.
pub(crate) fn portal(view: &View, frame: &PortalFrame, title: &str, content: &Markup) -> String {
    let PortalFrame { name, home, help, tickets, orders, customer } = frame;
    let here = view.path.split(['?', '#']).next().unwrap_or_default();
    let way = |path: String, text: &str| {
        let within = here.strip_prefix(&*path).is_some_and(|rest| path != *home && rest.starts_with('/'));
        let current = if here == path { Some("page") } else { within.then_some("true") };
        html! { li { a href=(path) aria-current=[current] { (view.say(text)) } } }
    };
    let body = html! {
        @if !home.is_empty() {
            header.bar {
                a.brand href=(home) { (name) }
                nav aria-label=(view.say("navigation")) {
                    ul {
                        @if *help { (way(home.clone(), "portal-help")) }
                        @if *tickets { (way(format!("{home}/tickets"), "portal-tickets")) }
                        @if *orders && customer.is_some() { (way(format!("{home}/orders"), "portal-orders")) }
                        @if *tickets && customer.is_none() { (way(format!("{home}/sign_in"), "portal-sign-in")) }
                    }
                }
                @if let Some(customer) = customer {
                    form.leave method="post" action=(format!("{home}/sign_out")) {
                        span { (customer) }
                        button.quiet type="submit" { (view.say("sign-out")) }
                    }
                }
            }
        }
        main #content tabindex="-1" { h1 { (title) } (content) }
    };
    let owner = if name.is_empty() { "Deskfold" } else { name };
    let colors = format!("{home}/colors.css");
    let sheets: &[&str] = if home.is_empty() { &["portal.css"] } else { &["portal.css", &colors] };
    document_of(view, owner, title, "portal", sheets, &body)
}

fn document(view: &View, title: &str, kind: &str, scripts: &[&str], body: &Markup) -> String {
    document_of(view, "Deskfold", title, kind, scripts, body)
}

fn document_of(view: &View, owner: &str, title: &str, kind: &str, scripts: &[&str], body: &Markup) -> String {
    let zone = view.person.as_ref().and_then(|person| person.time_zone.as_deref());
    let locale = view.person.as_ref().and_then(|person| person.locale.as_deref());
    let page = html! {
        (DOCTYPE)
        html lang=(view.language.tag()) data-theme=(view.theme.name()) data-zone=[zone] data-locale=[locale] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (owner) }
                link rel="icon" href=(path_of("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(path_of("style.css"));
                @for sheet in scripts.iter().filter(|file| file.ends_with(".css")) {
                    // What begins with a slash is no file of ours, but made for this page.
                    link rel="stylesheet" href=(if sheet.starts_with('/') { sheet } else { path_of(sheet) });
                }
                @for script in ["page.js"].iter().chain(scripts).filter(|file| file.ends_with(".js")) {
                    script type="module" src=(path_of(script)) {}
                }
            }
            body class=(kind) {
                a.skip href="#content" { (view.say("skip")) }
                (body)
                (foot(view))
                (parts::spoken(view))
            }
        }
    };
    page.into_string()
}

/// Language and brightness, for this browser.
fn foot(view: &View) -> Markup {
    html! {
        footer {
            form.preferences method="post" action="/preferences" {
                (hidden("next", &view.path))
                label {
                    span { (view.say("language")) }
                    select name="language" autocomplete="off" data-submits {
                        @for language in Language::ALL {
                            option value=(language.tag()) lang=(language.tag()) selected[language == view.language] {
                                (language.name())
                            }
                        }
                    }
                }
                label {
                    span { (view.say("theme")) }
                    select name="theme" autocomplete="off" data-submits {
                        @for theme in Theme::ALL {
                            option value=(theme.name()) selected[theme == view.theme] {
                                (view.say_of("theme", theme.name()))
                            }
                        }
                    }
                }
                button.quiet type="submit" { (view.say("apply")) }
            }
        }
    }
}

/// What rings.
fn bell() -> Markup {
    html! {
        svg.bell viewBox="0 0 24 24" aria-hidden="true" {
            path d="M12 3a6 6 0 0 0-6 6v4l-2 3v1h16v-1l-2-3V9a6 6 0 0 0-6-6zm-2 16a2 2 0 0 0 4 0z" {}
        }
    }
}

/// A folded sheet.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" aria-hidden="true" {
            path.back d="M4 3h10l6 6v12H4z" {}
            path.fold d="M14 3v6h6z" {}
        }
    }
}
