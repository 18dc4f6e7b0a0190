//! The inbox: all chats, the one that is open, and whom it is with. What is in them the API tells to scripts.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    parts::{INBOX, needs_script},
};

/// What the page offers only to whoever may do it.
const PERMISSIONS: &[&str] = &[
    "conversation.assign",
    "conversation.block_visitor",
    "conversation.claim",
    "conversation.close",
    "conversation.convert_to_ticket",
    "conversation.label",
    "conversation.link_contact",
    "conversation.mark_read",
    "conversation.reopen",
    "conversation.reply_any",
    "conversation.revoke_visitor",
    "conversation.send_message",
    "conversation.unblock_visitor",
    "conversation.unlabel",
    "conversation.unlink_contact",
    "channel.read",
    "contact.add_note",
    "contact.create",
    "contact.read",
    "label.read",
    "order.place",
    "order.read",
    "quick_reply.archive",
    "quick_reply.create",
    "quick_reply.edit",
    "quick_reply.read",
    "search.read",
    "ticket.open",
    "ticket.read",
    "upload.create",
    "user.read",
];

/// The glyphs of the page by name: lines on a square of 24.
const GLYPHS: &[(&str, &str)] = &[
    ("alert", "M12 3 2 21h20zM12 10v5M12 18h.01"),
    ("back", "M15 5l-7 7 7 7"),
    ("basket", "M4 7h16l-1.5 13h-13zM8 7l3-4M16 7l-3-4M10 11v5M14 11v5"),
    ("cart", "M2 3h3l3 12h10l3-8H6M9 20h.01M17 20h.01"),
    ("check", "M5 13l4 4L19 7"),
    ("checks", "M2 13l4 4L15 7M11 15l2 2L22 7"),
    ("clip", "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 5 5l-8.500 8.500a1.800 1.800 0 0 1-2.500-2.500L15 7"),
    ("clock", "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2"),
    ("cross", "M6 6l12 12M18 6 6 18"),
    ("file", "M6 2h8l5 5v15H6zM14 2v6h5"),
    ("filter", "M3 5h18l-7 8v6l-4 2v-8z"),
    ("keys", "M2 6h20v12H2zM6 10h.01M10 10h.01M14 10h.01M18 10h.01M7 14h10"),
    ("pencil", "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4"),
    ("person", "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4 3-6 8-6s8 2 8 6"),
    ("plus", "M12 5v14M5 12h14"),
    ("rocket", "M5 15c-2 1-2 5-2 6 1 0 5 0 6-2M9 15l-3-3c2-6 6-9 14-9 0 8-3 12-9 14l-2-2zM14.500 9.500h.01"),
    ("send", "M3 11 21 3l-8 18-2-8z"),
    ("smile", "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8.500 14.500a4.500 4.500 0 0 0 7 0M9 9.500h.01M15 9.500h.01"),
    ("tag", "M3 3h8l10 10-8 8L3 11zM7.500 7.500h.01"),
    ("ticket", "M3 6h18v4a2 2 0 0 0 0 4v4H3v-4a2 2 0 0 0 0-4z"),
    (
        "unlink",
        "M9 15l-2 2a3.500 3.500 0 0 1-5-5l3-3M15 9l2-2a3.500 3.500 0 0 1 5 5l-3 3M8 3v3M3 8h3M16 21v-3M21 16h-3",
    ),
];

/// What the keys of the page do, by the texts that say it.
const KEYS: &[(&str, &str)] = &[
    ("J ↓", "key-next"),
    ("K ↑", "key-previous"),
    ("F", "key-find"),
    ("R", "key-reply"),
    ("T", "take"),
    ("A", "assign"),
    ("L", "labels"),
    ("C", "key-client"),
    ("X", "close"),
    ("N", "unread"),
    ("?", "keys"),
];

/// The same that hold while one writes.
const WRITING_KEYS: &[(&str, &str)] = &[
    ("Enter", "send"),
    ("Shift Enter", "key-line"),
    ("/", "key-shortcut"),
    ("/ticket", "ticket-make"),
    ("Esc", "key-leave"),
];

/// The page of the inbox.
pub fn inbox(view: &View) -> String {
    let may: Vec<&str> = PERMISSIONS.iter().copied().filter(|permission| view.may(permission)).collect();
    let me = view.person.as_ref().map_or("", |person| &person.id);
    let content = html! {
        (needs_script(view))
        p.fault role="alert" #fault {}
        div.inbox #inbox data-pane="chats" data-me=(me) data-may=(may.join(" ")) {
            (chats(view))
            (thread(view))
            aside.client #client aria-label=(say(view, "client")) tabindex="-1" hidden {
                button.quiet.icon.returns #to-thread type="button" aria-label=(say(view, "back-thread")) { (glyph("back")) }
                div #client-parts {}
            }
        }
        (dialogs(view))
        template #glyphs { @for (name, _) in GLYPHS { (glyph(name)) } }
        template #page-texts {
            @for name in INBOX { p data-text={ "inbox-" (name) } { (say(view, name)) } }
        }
    };
    inside(view, &view.say("inbox-title"), &["inbox.css", "inbox.js"], &content)
}

fn say(view: &View, name: &str) -> String {
    view.say_of("inbox", name)
}

/// A picture that says nothing which the words beside it do not.
fn glyph(name: &str) -> Markup {
    let lines = GLYPHS.iter().find(|(known, _)| *known == name).map_or("", |(_, lines)| lines);
    html! {
        svg.glyph data-glyph=(name) viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="2"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" { path d=(lines) {} }
    }
}

/// A button that is a picture alone.
fn pictured(id: &str, picture: &str, label: &str) -> Markup {
    html! { button.quiet.icon #(id) type="button" aria-label=(label) title=(label) { (glyph(picture)) } }
}

/// The list of chats, with all that it is narrowed by.
fn chats(view: &View) -> Markup {
    let switch = |id: &str, picture: &str, label: &str, of: &str| {
        html! {
            button.quiet.icon #(id) type="button" aria-label=(label) title=(label) aria-expanded="false" aria-controls=(of) {
                (glyph(picture)) span.mark-on hidden {}
            }
        }
    };
    let choice = |name: &str, label: String| {
        html! {
            div.field {
                label for={ "filter-" (name) } { (label) }
                select #{ "filter-" (name) } data-filter=(name) autocomplete="off" {}
            }
        }
    };
    html! {
        section.chats #chats-part aria-label=(say(view, "chats")) {
            form.find #find role="search" aria-label=(say(view, "find")) {
                label for="find-text" { span.unseen { (say(view, "find")) } }
                input #find-text type="search" maxlength="200" autocomplete="off" placeholder=(say(view, "find-hint"));
                (switch("labels-switch", "tag", &say(view, "by-label"), "labels-filter"))
                (switch("filters-switch", "filter", &say(view, "filters"), "filters"))
            }
            div.filters #filters hidden {
                (choice("who", say(view, "responsible")))
                (choice("channel", say(view, "channel")))
                (choice("linked", say(view, "client")))
                p.actions { button.link #filters-clear type="button" { (say(view, "filters-clear")) } }
            }
            div.marks #labels-filter role="group" aria-label=(say(view, "by-label")) hidden {}
            div.states #states role="group" aria-label=(say(view, "state")) {
                @for state in ["open", "closed", "all"] {
                    button type="button" data-state=(state) aria-pressed="false" {
                        span { (say(view, &format!("state-{state}"))) } " " span.count {}
                    }
                }
            }
            div.states.flags #flags role="group" aria-label=(say(view, "filters")) {
                @for flag in ["unread", "unanswered", "mine", "nobody", "uncertain"] {
                    button type="button" data-flag=(flag) aria-pressed="false" {
                        span { (say(view, flag)) } " " span.count {}
                    }
                }
            }
            div.list #list {
                ol #chats aria-label=(say(view, "chats")) aria-busy="true" {}
                p.hint.none #none hidden {}
                p.more #more hidden { button.secondary type="button" { (view.say("more")) } }
            }
            p.unseen role="status" #chats-said {}
        }
    }
}

/// The chat that is open, and where one writes.
fn thread(view: &View) -> Markup {
    html! {
        section.thread #thread aria-label=(say(view, "thread")) tabindex="-1" {
            div.nothing #nothing { (glyph("person")) p { (say(view, "choose")) } (pictured("keys-open", "keys", &say(view, "keys"))) }
            div.open #open hidden {
                header.head {
                    button.quiet.icon.returns #to-chats type="button" aria-label=(say(view, "back-chats")) { (glyph("back")) }
                    div.whom {
                        h2 { bdi #whom {} }
                        p #about {}
                    }
                    div.acts {
                        button #take type="button" hidden { (say(view, "take")) }
                        div.drops {
                            button.secondary #assign type="button" aria-expanded="false" aria-controls="assign-drop" hidden {
                                (say(view, "assign"))
                            }
                            div.drop #assign-drop hidden {
                                label for="assign-text" { (say(view, "assign-to")) }
                                input #assign-text type="text" autocomplete="off";
                                div.options #assign-options role="listbox" aria-label=(say(view, "eligible")) {}
                            }
                        }
                        button.secondary #close-chat type="button" hidden { (say(view, "close")) }
                        (pictured("to-client", "person", &say(view, "client")))
                    }
                }
                p.lost #lost role="status" hidden { (say(view, "lost")) }
                div.messages #scroll tabindex="0" role="log" aria-live="polite" aria-relevant="additions" aria-label=(say(view, "messages")) {
                    p.older #older hidden { button.secondary type="button" { (say(view, "older")) } }
                    ol #messages {}
                }
                p.typing #typing role="status" {}
                div.cannot #cannot hidden {
                    p #cannot-why role="status" {}
                    button #cannot-do type="button" {}
                }
                (writing(view))
                p.over #over { (say(view, "drop-here")) }
            }
        }
    }
}

fn writing(view: &View) -> Markup {
    html! {
        form.writing #writing hidden {
            div.options.offers #offers role="listbox" aria-label=(say(view, "replies")) hidden {}
            label for="words" { span.unseen { (say(view, "message")) } }
            textarea #words rows="1" dir="auto" placeholder=(say(view, "write")) aria-autocomplete="list" aria-controls="offers"
                aria-describedby="words-keys" {}
            p.unseen #words-keys { (say(view, "write-keys")) }
            div.tools {
                label for="files" { span.unseen { (say(view, "files")) } }
                input.unseen #files type="file" multiple tabindex="-1";
                (pictured("pick", "clip", &say(view, "files")))
                div.drops {
                    button.quiet.icon #rocket type="button" aria-label=(say(view, "replies")) title=(say(view, "replies")) aria-expanded="false"
                        aria-controls="replies" { (glyph("rocket")) }
                    div.drop.up.replies #replies hidden {
                        div.seek-reply {
                            label for="replies-find" { span.unseen { (say(view, "replies-find")) } }
                            input #replies-find type="search" autocomplete="off" placeholder=(say(view, "replies-find"));
                            (pictured("reply-new", "plus", &say(view, "reply-new")))
                        }
                        ul #replies-list {}
                    }
                }
                div.drops {
                    button.quiet.icon #smile type="button" aria-label=(say(view, "emoji")) title=(say(view, "emoji")) aria-expanded="false"
                        aria-controls="faces" { (glyph("smile")) }
                    div.drop.up.faces #faces role="group" aria-label=(say(view, "emoji")) hidden {}
                }
                span.marked #with-reply hidden {}
                span.hint.left #left {}
                button #send type="submit" { (glyph("send")) span { (say(view, "send")) } }
            }
        }
    }
}

fn dialogs(view: &View) -> Markup {
    let field = |id: &str, label: String, rest: Markup| html! { div.field { label for=(id) { (label) } (rest) } };
    let leave = html! { button.secondary type="button" data-leaves { (view.say("cancel")) } };
    html! {
        dialog #files-asked aria-labelledby="files-title" {
            form method="dialog" {
                h2 #files-title { (say(view, "files-asked")) }
                ul.rows #files-list {}
                (field("files-words", say(view, "files-words"), html! { textarea #files-words rows="2" dir="auto" {} }))
                p.fault role="alert" {}
                p.actions { button type="submit" autofocus { (say(view, "send")) } (leave) }
            }
        }
        dialog #reply-asked aria-labelledby="reply-title" {
            form method="dialog" {
                h2 #reply-title { (say(view, "reply-new")) }
                (field("reply-name", say(view, "shortcut"), html! { input #reply-name name="name" required maxlength="200" autocomplete="off"; }))
                (field("reply-text", say(view, "reply-text"), html! { textarea #reply-text name="text" rows="5" required dir="auto" {} }))
                (field("reply-label", say(view, "reply-label"), html! {
                    input #reply-label name="label" list="reply-labels" autocomplete="off" aria-describedby="reply-label-hint";
                    p.hint #reply-label-hint { (say(view, "reply-label-hint")) }
                    datalist #reply-labels {}
                }))
                p.fault role="alert" {}
                p.actions { button type="submit" { (view.say("save")) } (leave) }
            }
        }
        dialog.wide #order-asked aria-labelledby="order-title" {
            form method="dialog" {
                h2 #order-title { (say(view, "order-new")) }
                div #order-items {}
                p { button.link #order-more type="button" { (say(view, "order-more")) } }
                div.fields {
                    (field("order-currency", say(view, "currency"), html! {
                        input #order-currency name="currency" required pattern="[A-Za-z]{3}" maxlength="3" value="EUR" autocomplete="off";
                    }))
                    (field("order-comment", say(view, "comment"), html! { input #order-comment name="comment" dir="auto" autocomplete="off"; }))
                }
                p.total { (say(view, "total")) " " output #order-total {} }
                p.fault role="alert" {}
                p.actions { button type="submit" { (say(view, "order-place")) } (leave) }
            }
        }
        dialog #keys-asked aria-labelledby="keys-title" {
            form method="dialog" {
                h2 #keys-title { (say(view, "keys")) }
                dl.keys {
                    @for (keys, what) in KEYS.iter().chain(WRITING_KEYS).filter(|(keys, _)| *keys != "/ticket" || view.may("conversation.convert_to_ticket")) {
                        div {
                            dt { @for key in keys.split(' ') { kbd { (key) } " " } }
                            dd { (say(view, what)) }
                        }
                    }
                }
                div.check {
                    input #keys-on type="checkbox";
                    label for="keys-on" { (say(view, "keys-on")) }
                }
                p.actions { button type="submit" { (say(view, "done")) } }
            }
        }
    }
}
