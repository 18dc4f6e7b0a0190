//! The portal of a tenant: the pages on which its customers find help, sign in and follow their own tickets. They work without scripts.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{
    CowStr, Event,
    HeadingLevel::{H1, H2},
    Options, Parser, Tag, TagEnd,
    html::push_html,
};

use crate::{
    frame::{View, portal},
    parts::{badge, hidden},
};

/// Whose portal it is, and what there is in it.
#[derive(Clone, Debug, Default)]
pub struct PortalFrame {
    /// What stands at its head.
    pub name: String,
    /// Where it begins: `/portal/{tenant}`.
    pub home: String,
    /// Whether there are articles to read.
    pub help: bool,
    /// Whether there are tickets to follow.
    pub tickets: bool,
    /// Whether there are orders to look at.
    pub orders: bool,
    /// Who is signed in.
    pub customer: Option<String>,
}

/// A link to something.
#[derive(Clone, Debug, Default)]
pub struct PortalLink {
    /// Its path.
    pub path: String,
    /// What it is called.
    pub title: String,
    /// What is said of it.
    pub lead: Option<String>,
}

/// What stands together on the first page.
#[derive(Clone, Debug, Default)]
pub struct PortalShelf {
    /// What it is called; nothing for what stands under nothing.
    pub name: Option<String>,
    /// What is said of it.
    pub description: Option<String>,
    /// Its articles.
    pub articles: Vec<PortalLink>,
}

/// The first page.
#[derive(Clone, Debug, Default)]
pub struct PortalHelp {
    /// What is said at the beginning.
    pub welcome: Option<String>,
    /// What was looked for.
    pub sought: String,
    /// The articles, or those that were found.
    pub shelves: Vec<PortalShelf>,
    /// Where one writes without signing in.
    pub form: Option<String>,
}

/// An article.
#[derive(Clone, Debug, Default)]
pub struct PortalArticle {
    /// Its path.
    pub path: String,
    /// Its title.
    pub title: String,
    /// Its text, in Markdown.
    pub body: String,
    /// In which language it is.
    pub language: Option<String>,
    /// Since when it is as it is.
    pub published_at: Option<String>,
    /// Under what it stands.
    pub category: Option<String>,
    /// Whether whoever reads has said just now whether it helped.
    pub voted: bool,
    /// Where one writes without signing in.
    pub form: Option<String>,
}

/// Where signing in has come to.
#[derive(Clone, Debug)]
pub enum PortalSignIn {
    /// An address is asked for.
    Address {
        /// What was typed.
        typed: String,
        /// What was wrong with it: `address`, `code`, `often` or `mail`.
        fault: Option<&'static str>,
    },
    /// The code is asked for.
    Code {
        /// To which address it went.
        address: String,
        /// What says so.
        token: String,
        /// What was wrong.
        fault: Option<&'static str>,
    },
}

/// A ticket, as whoever asked sees it.
#[derive(Clone, Debug, Default)]
pub struct PortalTicket {
    /// Its path.
    pub path: String,
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Where it stands: `open`, `resolved` or `closed`.
    pub state: &'static str,
    /// When anything was last said.
    pub changed_at: String,
    /// The product that it is about.
    pub product: Option<String>,
    /// Who asked, where somebody else did.
    pub requester: Option<String>,
}

/// Something that was said.
#[derive(Clone, Debug, Default)]
pub struct PortalMessage {
    /// Who said it, where that is told.
    pub author: Option<String>,
    /// Whether whoever looks did.
    pub own: bool,
    /// Whether somebody outside did.
    pub outside: bool,
    /// Its text; absent once that was taken away.
    pub body: Option<String>,
    /// When.
    pub at: String,
    /// Files: where, and what they are called.
    pub files: Vec<(String, String)>,
}

/// A ticket and what was said in it.
#[derive(Clone, Debug, Default)]
pub struct PortalThread {
    /// The ticket.
    pub ticket: PortalTicket,
    /// What was said.
    pub messages: Vec<PortalMessage>,
    /// How satisfied the customer was, where that was said.
    pub rating: Option<u8>,
    /// What makes an answer that is sent twice one.
    pub once: String,
    /// The code of what was wrong with an answer.
    pub fault: Option<String>,
    /// What was typed.
    pub typed: String,
}

/// A new ticket.
#[derive(Clone, Debug, Default)]
pub struct PortalNew {
    /// The products that the customer owns: what names them, what they are called, their colour and sign.
    pub products: Vec<PortalProduct>,
    /// What makes one that is sent twice one.
    pub once: String,
    /// The code of what was wrong.
    pub fault: Option<String>,
    /// What was typed: title, text, product.
    pub typed: (String, String, String),
}

/// A product that a customer owns.
#[derive(Clone, Debug, Default)]
pub struct PortalProduct {
    /// By what it is owned.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What tells it from another of its name.
    pub lead: Option<String>,
    /// Its icon.
    pub icon: Option<String>,
    /// Its colour.
    pub color: Option<String>,
}

/// An order.
#[derive(Clone, Debug, Default)]
pub struct PortalOrder {
    /// Its number.
    pub number: String,
    /// What the shop says of it.
    pub status: String,
    /// What it costs.
    pub total: Option<String>,
    /// Whether it is paid.
    pub paid: bool,
    /// When it was placed.
    pub placed_at: String,
}

/// The field that makes what is sent twice one.
pub const ONCE: &str = "once";

/// What is wrong with something that was sent, in the language of whoever looks.
fn wrong(view: &View, code: &str) -> Markup {
    let told = match code {
        "body_empty" | "upload_too_large" | "upload_type_refused" | "upload_empty" | "rate_limited" => code,
        _ => "form_value_invalid",
    };
    html! { p.fault #refusal role="alert" { (view.say_of("problem", told)) } }
}

/// The first page: what is looked for, and what there is.
pub fn portal_help(view: &View, frame: &PortalFrame, help: &PortalHelp) -> String {
    let found = help.shelves.iter().any(|shelf| !shelf.articles.is_empty());
    let content = html! {
        @if let Some(welcome) = &help.welcome { p.lead { (welcome) } }
        form.seek method="get" action=(frame.home) role="search" {
            label for="q" { (view.say("portal-search")) }
            div.row {
                input #q name="q" type="search" value=(help.sought) maxlength="200" autocomplete="off";
                button type="submit" { (view.say("portal-find")) }
            }
        }
        @if !found && !help.sought.is_empty() { p role="status" { (view.say("portal-nothing-found")) } }
        @else if !found { p { (view.say("portal-empty")) } }
        @for shelf in help.shelves.iter().filter(|shelf| !shelf.articles.is_empty()) {
            section.shelf {
                @if let Some(name) = &shelf.name { h2 { (name) } }
                @if let Some(text) = &shelf.description { p { (text) } }
                ul.articles {
                    @for article in &shelf.articles {
                        li { a href=(article.path) { (article.title) } @if let Some(lead) = &article.lead { p { (lead) } } }
                    }
                }
            }
        }
        (asks(view, frame, help.form.as_deref()))
    };
    portal(view, frame, &view.say("portal-help"), &content)
}

/// What what stands under nothing is called, beside what stands under something.
pub fn portal_rest(view: &View) -> String {
    view.say("portal-more-articles")
}

/// Ways to people, for whoever has not found an answer.
fn asks(view: &View, frame: &PortalFrame, form: Option<&str>) -> Markup {
    html! {
        @if frame.tickets || form.is_some() {
            section.asks {
                h2 { (view.say("portal-not-found")) }
                p {
                    @if frame.tickets && (frame.customer.is_some() || form.is_none()) {
                        a.act href=(format!("{}/tickets/new", frame.home)) { (view.say("portal-new-ticket")) }
                    } @else if let Some(form) = form {
                        a.act href=(form) { (view.say("form-contact-us")) }
                    }
                }
            }
        }
    }
}

/// A text in Markdown. What is HTML in it is shown as it was typed, and links lead only where links of the web do.
fn markdown(text: &str) -> Markup {
    let safe = |url: &str| {
        let scheme = url.split(['/', '?', '#']).next().unwrap_or_default().split_once(':').map(|(scheme, _)| scheme);
        scheme.is_none_or(|scheme| ["http", "https", "mailto", "tel"].iter().any(|ok| ok.eq_ignore_ascii_case(scheme)))
    };
    let mended = |url: CowStr<'static>| if safe(&url) { url } else { CowStr::Borrowed("#") };
    let events =
        Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).map(|event| match event {
            Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = mended(dest_url.into_static());
                Event::Start(Tag::Link { link_type, dest_url, title, id })
            }
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
                let dest_url = mended(dest_url.into_static());
                Event::Start(Tag::Image { link_type, dest_url, title, id })
            }
            // The page has a heading of its own.
            Event::Start(Tag::Heading { level: H1, id, classes, attrs }) => {
                Event::Start(Tag::Heading { level: H2, id, classes, attrs })
            }
            Event::End(TagEnd::Heading(H1)) => Event::End(TagEnd::Heading(H2)),
            event => event,
        });
    let mut html = String::with_capacity(text.len() * 3 / 2);
    push_html(&mut html, events);
    PreEscaped(html)
}

/// The first words of a text in Markdown, without its marks.
pub fn lead_of(text: &str) -> String {
    let mut lead = String::new();
    for event in Parser::new(text) {
        match event {
            Event::Text(text) | Event::Code(text) => lead.push_str(&text),
            Event::SoftBreak | Event::HardBreak if !lead.ends_with(' ') => lead.push(' '),
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item) if !lead.ends_with(' ') => lead.push(' '),
            _ => {}
        }
        if lead.chars().count() > 160 {
            let cut: String = lead.chars().take(160).collect();
            return format!("{}…", cut.trim_end());
        }
    }
    lead.trim().to_owned()
}

/// An article, and whether it helped.
pub fn portal_article(view: &View, frame: &PortalFrame, article: &PortalArticle) -> String {
    let content = html! {
        @if let Some(category) = &article.category { p.under { (category) } }
        article.text lang=[article.language.as_deref()] { (markdown(&article.body)) }
        @if let Some(at) = &article.published_at { p.when { (view.say("portal-updated")) " " time datetime=(at) { (at) } } }
        section.helped {
            @if article.voted {
                p role="status" { (view.say("portal-voted")) }
            } @else {
                form method="post" action=(format!("{}/vote", article.path)) {
                    p #helped { (view.say("portal-helpful")) }
                    div.row role="group" aria-labelledby="helped" {
                        button.quiet name="helpful" value="true" type="submit" { (view.say("portal-yes")) }
                        button.quiet name="helpful" value="false" type="submit" { (view.say("portal-no")) }
                    }
                }
            }
        }
        (asks(view, frame, article.form.as_deref()))
    };
    portal(view, frame, &article.title, &content)
}

/// Signing in: an address, then the code that went there.
pub fn portal_sign_in(view: &View, frame: &PortalFrame, at: &PortalSignIn) -> String {
    let told = |fault: &Option<&'static str>| {
        html! {
            @if let Some(fault) = fault { p.fault #refusal role="alert" { (view.say_of("portal-fault", fault)) } }
        }
    };
    let (title, content) = match at {
        PortalSignIn::Address { typed, fault } => (
            view.say("portal-sign-in"),
            html! {
                p { (view.say("portal-sign-in-lead")) }
                (told(fault))
                form.stack method="post" action=(format!("{}/sign_in", frame.home)) {
                    label for="email" { (view.say("portal-address")) }
                    input #email name="email" type="email" value=(typed) required maxlength="254" autocomplete="email"
                        aria-invalid=[fault.map(|_| "true")] aria-describedby=[fault.map(|_| "refusal")];
                    button type="submit" { (view.say("portal-code-send")) }
                }
            },
        ),
        PortalSignIn::Code { address, token, fault } => (
            view.say("portal-code-title"),
            html! {
                p { (view.say_with("portal-code-lead", &[("email", address)])) }
                (told(fault))
                form.stack method="post" action=(format!("{}/code", frame.home)) {
                    (hidden("token", token))
                    label for="code" { (view.say("portal-code")) }
                    input #code name="code" inputmode="numeric" required maxlength="20" autocomplete="one-time-code"
                        aria-invalid=[fault.map(|_| "true")] aria-describedby=[fault.map(|_| "refusal")];
                    button type="submit" { (view.say("portal-sign-in")) }
                }
                p { a href=(format!("{}/sign_in", frame.home)) { (view.say("portal-code-again")) } }
            },
        ),
    };
    portal(view, frame, &title, &content)
}

fn state(view: &View, ticket: &PortalTicket) -> Markup {
    html! { span.state data-state=(ticket.state) { (view.say_of("portal-state", ticket.state)) } }
}

/// The tickets of a customer.
pub fn portal_tickets(view: &View, frame: &PortalFrame, tickets: &[PortalTicket], next: Option<&str>) -> String {
    let content = html! {
        p { a.act href=(format!("{}/tickets/new", frame.home)) { (view.say("portal-new-ticket")) } }
        @if tickets.is_empty() { p { (view.say("portal-no-tickets")) } }
        ul.cards {
            @for ticket in tickets {
                li {
                    a href=(ticket.path) { strong { (ticket.title) } }
                    p.about {
                        (state(view, ticket)) span { "#" (ticket.number) }
                        @if let Some(product) = &ticket.product { span { (product) } }
                        @if let Some(requester) = &ticket.requester { span { (requester) } }
                        time datetime=(ticket.changed_at) { (ticket.changed_at) }
                    }
                }
            }
        }
        @if let Some(next) = next { p { a href=(next) { (view.say("portal-more")) } } }
    };
    portal(view, frame, &view.say("portal-tickets"), &content)
}

fn files(view: &View) -> Markup {
    html! {
        label for="files" { (view.say("portal-files")) }
        input #files name="files" type="file" multiple;
    }
}

/// A ticket, what was said in it, and what one may do.
pub fn portal_ticket(view: &View, frame: &PortalFrame, thread: &PortalThread) -> String {
    let PortalThread { ticket, messages, rating, once, fault, typed } = thread;
    let does = |what: &str, text: String| {
        html! {
            form method="post" action=(format!("{}/{what}", ticket.path)) { button.quiet type="submit" { (text) } }
        }
    };
    let content = html! {
        p.about {
            (state(view, ticket)) span { "#" (ticket.number) }
            @if let Some(product) = &ticket.product { span { (product) } }
            @if let Some(requester) = &ticket.requester { span { (requester) } }
        }
        ol.thread {
            @for message in messages {
                li.own[message.own].outside[message.outside] {
                    p.who {
                        @if message.own { strong { (view.say("portal-you")) } }
                        @else { strong { (message.author.clone().unwrap_or_else(|| frame.name.clone())) } }
                        " " time datetime=(message.at) { (message.at) }
                    }
                    @match &message.body {
                        Some(body) => p.said { (body) },
                        None => p.gone { (view.say("portal-redacted")) },
                    }
                    @if !message.files.is_empty() {
                        ul.files { @for (path, name) in &message.files { li { a href=(path) { (name) } } } }
                    }
                }
            }
        }
        form.stack method="post" action=(format!("{}/reply", ticket.path)) enctype="multipart/form-data" {
            (hidden(ONCE, once))
            @if let Some(fault) = fault { (wrong(view, fault)) }
            label for="text" { (view.say("portal-reply")) }
            textarea #text name="text" rows="5" maxlength="20000" { (typed) }
            (files(view))
            button type="submit" { (view.say("portal-send")) }
        }
        div.row {
            @if ticket.state == "open" { (does("close", view.say("portal-close"))) } @else { (does("reopen", view.say("portal-reopen"))) }
        }
        @if ticket.state != "open" {
            section.rate {
                h2 { (view.say("portal-rate")) }
                @if let Some(rating) = rating { p role="status" { (view.say_with("portal-rated", &[("score", &rating.to_string())])) } }
                form.stack method="post" action=(format!("{}/rate", ticket.path)) {
                    fieldset.scores {
                        legend { (view.say("portal-score")) }
                        @for score in 1..=5_u8 {
                            label for={ "score-" (score) } {
                                input id={ "score-" (score) } type="radio" name="score" value=(score) required checked[*rating == Some(score)];
                                span { (score) }
                            }
                        }
                    }
                    label for="words" { (view.say("portal-words")) }
                    textarea #words name="words" rows="3" maxlength="2000" {}
                    button type="submit" { (view.say("portal-send")) }
                }
            }
        }
    };
    portal(view, frame, &ticket.title, &content)
}

/// A new ticket.
pub fn portal_new(view: &View, frame: &PortalFrame, new: &PortalNew) -> String {
    let (title, text, product) = &new.typed;
    let content = html! {
        form.stack method="post" action=(format!("{}/tickets", frame.home)) enctype="multipart/form-data" {
            (hidden(ONCE, &new.once))
            @if let Some(fault) = &new.fault { (wrong(view, fault)) }
            @if !new.products.is_empty() {
                fieldset.products {
                    legend { (view.say("portal-product")) }
                    @for (number, known) in new.products.iter().enumerate() {
                        label for={ "product-" (number) } {
                            input id={ "product-" (number) } type="radio" name="product" value=(known.id) checked[known.id == *product];
                            (badge(known.icon.as_deref().unwrap_or("box"), known.color.as_deref()))
                            span { (known.name) @if let Some(lead) = &known.lead { small { (lead) } } }
                        }
                    }
                    label for="product-none" { input #product-none type="radio" name="product" value="" checked[product.is_empty()]; span { (view.say("portal-no-product")) } }
                }
            }
            label for="title" { (view.say("portal-subject")) }
            input #title name="title" value=(title) required maxlength="200" autocomplete="off";
            label for="text" { (view.say("portal-text")) }
            textarea #text name="text" rows="8" required maxlength="20000" { (text) }
            (files(view))
            button type="submit" { (view.say("portal-send")) }
        }
    };
    portal(view, frame, &view.say("portal-new-ticket"), &content)
}

/// The orders of a customer.
pub fn portal_orders(view: &View, frame: &PortalFrame, orders: &[PortalOrder], next: Option<&str>) -> String {
    let content = html! {
        @if orders.is_empty() { p { (view.say("portal-no-orders")) } }
        ul.cards {
            @for order in orders {
                li {
                    strong { (view.say_with("portal-order", &[("number", &order.number)])) }
                    p.about {
                        span.state { (order.status) }
                        @if let Some(total) = &order.total { span { (total) } }
                        span { (if order.paid { view.say("portal-paid") } else { view.say("portal-unpaid") }) }
                        time datetime=(order.placed_at) { (order.placed_at) }
                    }
                }
            }
        }
        @if let Some(next) = next { p { a href=(next) { (view.say("portal-more")) } } }
    };
    portal(view, frame, &view.say("portal-orders"), &content)
}

/// There is no such page in the portal, or no portal.
pub fn portal_missing(view: &View, frame: Option<&PortalFrame>) -> String {
    let content = html! { p { (view.say("portal-missing")) } };
    let empty = PortalFrame::default();
    portal(view, frame.unwrap_or(&empty), &view.say("portal-missing-title"), &content)
}

/// The mail with a code: its subject, and its text, in which `{code}` stands for it.
pub fn portal_mail(view: &View, name: &str) -> (String, String) {
    let subject = view.say_with("portal-mail-subject", &[("name", name)]);
    let lead = view.say_with("portal-mail-lead", &[("name", name)]);
    (subject, format!("{lead}\n\n    {{code}}\n\n{}\n", view.say("portal-mail-end")))
}

/// The colours of a portal, as a style sheet: that of its head, and of what stands on it.
pub fn portal_sheet(color: Option<(&str, &str)>) -> String {
    let of = |(ground, ink): (&str, &str)| format!("body.portal {{ --portal: {ground}; --portal-ink: {ink}; }}\n");
    color.map(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_does_no_harm() {
        let told = |text: &str| markdown(text).into_string();
        assert_eq!(told("# A **b**").trim(), "<h2>A <strong>b</strong></h2>");
        let html = told("<script>alert(1)</script> <b onclick=x>c</b>");
        assert!(!html.contains("<script") && !html.contains("<b "), "{html}");
        for link in
            ["[x](javascript:alert(1))", "[x](JaVaScript:alert(1))", "[x](data:text/html,1)", "![x](vbscript:1)"]
        {
            assert!(told(link).contains("=\"#\""), "{}", told(link));
        }
        assert!(told("[x](/portal/a?b:c)").contains("/portal/a?b:c"));
        assert_eq!(lead_of("# Title\n\nSome *words*.\nMore"), "Title Some words. More");
    }
}
