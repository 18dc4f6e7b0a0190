//! Where one arrives: the ways to everything there is.

use maud::html;

use crate::frame::{View, inside, ways};

/// The start page.
pub fn start(view: &View) -> String {
    let Some(person) = &view.person else { return String::new() };
    let title = view.say_with("hello", &[("name", &person.name)]);
    let content = html! {
        p.lead { (view.say_with("hello-lead", &[("tenant", &person.tenant)])) }
        (ways(view))
    };
    inside(view, &title, &[], &content)
}
