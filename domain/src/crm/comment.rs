//! What a colleague remarked about one record or several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Aggregate, Ctx, Decision, Id, Personal, Rejection, all,
    kernel::{
        access::Relation,
        reference::{self, REFERENCE_UNFIT, SUBJECTS_INVALID, Subject},
    },
    org::authority::DENIED,
};

/// A new comment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// What it is about; it shows in the feed of each of them.
    pub subjects: Vec<Subject>,
    /// What it says.
    pub text: Personal<String>,
    /// Whether only colleagues may see it.
    #[serde(default)]
    pub internal: bool,
}

/// What may be asked of a comment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Writes a comment.
    Add(New),
    /// Rewrites it.
    Edit {
        /// What it says from now on.
        text: Personal<String>,
    },
    /// Takes it out of sight.
    Delete {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// What has happened to a comment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was written.
    Added(New),
    /// It was rewritten.
    Edited {
        /// Before.
        from: Personal<String>,
        /// After.
        to: Personal<String>,
    },
    /// It is out of sight.
    Deleted {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A comment.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    /// What was written, as it stands.
    pub added: Option<New>,
    /// Whether it is out of sight.
    pub deleted: bool,
    author: Option<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("comment_unknown", "There is no such comment.");
const EXISTS: Rejection = Rejection::conflict("comment_exists", "A comment with this id exists already.");
const DELETED: Rejection = Rejection::conflict("comment_deleted", "The comment is deleted.");
const TEXT_INVALID: Rejection = Rejection::invalid("comment_text_invalid", "A text may not be blank.");

impl Aggregate for Comment {
    const KIND: &'static str = "comment";
    const PLURAL: &'static str = "comments";
    const CREATE: &'static str = "add";
    const OWN: &'static [&'static str] = &["edit", "delete"];
    const ATTRIBUTED: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (&self.added, &command) {
            (Some(_), Command::Edit { .. }) => ctx.must_own(self.author, "comment.edit")?,
            (Some(_), Command::Delete { .. }) => ctx.must_own(self.author, "comment.delete")?,
            _ => {}
        }
        match (&self.added, command) {
            (None, Command::Add(new)) => {
                all([check_text(&new.text), reference::check_subjects(&new.subjects)])?;
                Ok(vec![Event::Added(new)])
            }
            (None, _) => Err(UNKNOWN),
            (Some(_), Command::Delete { reason }) => {
                Ok(if self.deleted { vec![] } else { vec![Event::Deleted { reason }] })
            }
            (Some(known), Command::Add(new)) if *known == new => Ok(vec![]),
            (Some(_), Command::Add(_)) => Err(EXISTS),
            (Some(_), Command::Edit { .. }) if self.deleted => Err(DELETED),
            (Some(known), Command::Edit { text }) if known.text == text => Ok(vec![]),
            (Some(known), Command::Edit { text }) => {
                check_text(&text)?;
                Ok(vec![Event::Edited { from: known.text.clone(), to: text }])
            }
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Added(new) => vec![Relation::About("subjects", new.subjects.clone())],
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Added(_) => Command::Delete { reason: None },
            Event::Edited { from, .. } => Command::Edit { text: from.clone() },
            Event::Deleted { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match (event, &mut self.added) {
            (Event::Added(new), _) => self.added = Some(new.clone()),
            (Event::Edited { to, .. }, Some(known)) => known.text.clone_from(to),
            (Event::Edited { .. }, None) => {}
            (Event::Deleted { .. }, _) => self.deleted = true,
        }
    }

    fn attribute(&mut self, event: &Event, actor: &Actor) {
        if let Event::Added(_) = event {
            self.author = Some(actor.principal());
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match (event, &self.added) {
            (Event::Added(new), _) | (_, Some(new)) => reference::person(&new.subjects),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, DELETED, TEXT_INVALID, SUBJECTS_INVALID, REFERENCE_UNFIT, DENIED]
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let subjects = vec![Subject::new("enquiry", id(0xC)), Subject::new("contact", id(0xD))];
        vec![
            Command::Add(New { subjects, text: "Wants to see it on Monday.".into(), internal: true }),
            Command::Edit { text: "Wants to see it on Tuesday.".into() },
            Command::Delete { reason: Some("Wrong enquiry".into()) },
        ]
    }
}

fn check_text(text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() { Err(TEXT_INVALID.at("/text")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{BORIS, given};

    const MARIA: Id = Id::from_bits(0xC);
    const FLAT: Id = Id::from_bits(0xD);

    fn new() -> New {
        let subjects = vec![Subject::new("contact", MARIA), Subject::new("property", FLAT)];
        New { subjects, text: "Wants to see it on Monday.".into(), internal: true }
    }

    fn deleted() -> Event {
        Event::Deleted { reason: Some("Wrong flat".into()) }
    }

    #[test]
    fn it_is_about_something() {
        let there = || given::<Comment>([]);
        there().when(Command::Add(new())).then([Event::Added(new())]);
        given::<Comment>([Event::Added(new())]).when(Command::Add(new())).nothing();
        given::<Comment>([Event::Added(new())]).when(Command::Add(New { internal: false, ..new() })).rejected(EXISTS);
        there().when(Command::Add(New { subjects: vec![], ..new() })).rejected(SUBJECTS_INVALID);
        there().when(Command::Add(New { text: " ".into(), ..new() })).rejected(TEXT_INVALID);
    }

    #[test]
    fn it_is_its_author_s_to_rewrite_and_delete() {
        for command in [Command::Edit { text: "On Tuesday.".into() }, Command::Delete { reason: None }] {
            let written = || given::<Comment>([Event::Added(new())]);
            written().may(&["comment.*"]).when(command.clone()).events();
            written().by(BORIS).may(&["comment.*"]).when(command.clone()).rejected(DENIED);
            written().by(BORIS).may(&["comment.edit_any", "comment.delete_any"]).when(command).events();
        }
    }

    #[test]
    fn it_is_rewritten_until_it_is_deleted() {
        let edit = || Command::Edit { text: "On Tuesday.".into() };
        let edited = || Event::Edited { from: new().text, to: "On Tuesday.".into() };
        given::<Comment>([Event::Added(new())]).when(edit()).then([edited()]);
        given::<Comment>([Event::Added(new()), edited()]).when(edit()).nothing();
        let delete = || Command::Delete { reason: Some("Wrong flat".into()) };
        given::<Comment>([Event::Added(new())]).when(delete()).then([deleted()]);
        given::<Comment>([Event::Added(new()), deleted()]).when(delete()).nothing();
        given::<Comment>([Event::Added(new()), deleted()]).when(edit()).rejected(DELETED);
        given::<Comment>([]).when(edit()).rejected(UNKNOWN);
    }
}
