//! A chat as a page of its own: what a link in a mail leads to.

use maud::{DOCTYPE, html};

use crate::{assets::path_of, frame::View};

/// The page of a chat: what it is called, and the script that pages of others have too. It asks nobody who he is, and sets no
/// cookie.
pub fn chat(view: &View, channel: &str, name: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(view.language.tag()) data-theme=(view.theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (name) }
                link rel="icon" href=(path_of("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(path_of("style.css"));
                // Marks the page as one with scripts; the chat itself needs none of the others.
                script type="module" src=(path_of("page.js")) {}
            }
            body class="chat" {
                main #content {
                    h1 { (name) }
                    noscript { p { (view.say("chat-needs-scripts")) } }
                    script src="/chat.js" data-channel=(channel) data-mode="page" data-language=(view.language.tag()) {}
                }
            }
        }
    };
    page.into_string()
}
