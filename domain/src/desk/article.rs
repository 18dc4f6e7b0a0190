//! An article of the help centre: written, published, read by everybody, and told whether it helped.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Ctx, Decision, Id, Rejection, Time, all,
    kernel::{
        named::Either,
        record::{self, Record, Row},
        valid,
    },
    must,
};

/// An article.
pub type Article = Record<Spec>;

/// What makes a record an article.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of an article: what is being written. What is read is as it was when it was published last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its title.
    pub name: String,
    /// Its text, in Markdown (CommonMark).
    #[schemars(length(max = 100_000))]
    pub body: String,
    /// Under what it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "article_category"))]
    pub category: Option<Id>,
    /// Its language, a tag (BCP 47); readers of others do not see it where there is something in theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub language: Option<String>,
}

/// What may be asked of an article, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Shows it to everybody as it is now.
    Publish,
    /// Shows it to nobody.
    Unpublish,
    /// Records whether it helped somebody.
    Vote {
        /// Who says so; the same one has one vote, and may change it.
        voter: Id,
        /// Whether it helped.
        helpful: bool,
    },
}

/// What has happened to an article, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is shown to everybody, as it was then.
    Published,
    /// It is shown to nobody.
    Unpublished,
    /// It helped somebody, or did not.
    Voted {
        /// Who said so.
        voter: Id,
        /// Whether it helped.
        helpful: bool,
        /// What the same one had said before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<bool>,
    },
}

/// What its own commands must remember of an article.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What is read; absent while nothing is.
    pub published: Option<Box<Fields>>,
    /// What readers of this publication have said.
    votes: BTreeMap<Id, bool>,
}

/// Whether an article is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// By nobody outside yet, or no longer.
    #[default]
    Draft,
    /// By everybody.
    Published,
}

/// What its list shows of an article besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Whether it is read.
    pub status: Status,
    /// The title that is read.
    pub published_name: Option<String>,
    /// The text that is read.
    pub published_body: Option<String>,
    /// Under what it is read.
    #[schemars(extend("x-reference" = "article_category"))]
    pub published_category: Option<Id>,
    /// In which language it is read.
    #[schemars(extend("format" = "word"))]
    pub published_language: Option<String>,
    /// Since when it is read as it is.
    pub published_at: Option<Time>,
    /// How many it helped.
    pub helpful: u32,
    /// How many it did not help.
    pub unhelpful: u32,
}

const BODY_EMPTY: Rejection = Rejection::invalid("article_body_empty", "An article has a text.");
const UNPUBLISHED: Rejection =
    Rejection::conflict("article_unpublished", "Nobody reads the article: publish it first.");
/// So many readers of one publication are told apart.
const MOST_VOTERS: usize = 50_000;
const VOTES_FULL: Rejection =
    Rejection::conflict("article_votes_full", "50,000 readers have said already whether it helped.");

impl record::Spec for Spec {
    const KIND: &'static str = "article";
    const PLURAL: &'static str = "articles";
    const ABOUT: &'static str = "An article of the help centre.";
    const ORDER: &'static str = "name";
    const OPEN: Option<&'static str> = Some("the help centre is for everybody");
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        let Fields { name, body, category, language } = row.fields.clone();
        let shown = &mut row.shown;
        match event {
            Event::Published => {
                *shown = Shown {
                    status: Status::Published,
                    published_name: Some(name),
                    published_body: Some(body),
                    published_category: category,
                    published_language: language,
                    published_at: Some(at),
                    ..shown.clone()
                }
            }
            Event::Unpublished => {
                *shown = Shown { helpful: shown.helpful, unhelpful: shown.unhelpful, ..Shown::default() };
            }
            Event::Voted { helpful, before, .. } => {
                let counted = |shown: &mut Shown, helpful: bool, by: i64| {
                    let count = if helpful { &mut shown.helpful } else { &mut shown.unhelpful };
                    *count = count.saturating_add_signed(by as i32);
                };
                before.iter().for_each(|before| counted(shown, *before, -1));
                counted(shown, *helpful, 1);
            }
        }
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        let language = fields.language.as_deref();
        all([
            valid::name(&fields.name, "/name"),
            must(!fields.body.trim().is_empty(), BODY_EMPTY, "/body"),
            must(language.is_none_or(valid::is_locale), valid::LOCALE_INVALID, "/language"),
        ])
    }

    fn put_away(article: &Article) -> Vec<Event> {
        article.state.published.iter().map(|_| Event::Unpublished).collect()
    }

    fn undo(article: &Article, event: &Event) -> Option<Vec<record::Command<Self>>> {
        match event {
            Event::Published | Event::Unpublished => {
                let back = if article.state.published.is_some() { Command::Publish } else { Command::Unpublish };
                Some(vec![Either::Own(back)])
            }
            Event::Voted { .. } => None,
        }
    }

    fn decide(article: &Article, command: Command, _: &Ctx<'_>) -> Decision<Event> {
        let State { published, votes } = &article.state;
        Ok(match command {
            Command::Publish if published.as_deref() == article.fields.as_ref() => vec![],
            Command::Publish => vec![Event::Published],
            Command::Unpublish => published.iter().map(|_| Event::Unpublished).collect(),
            Command::Vote { .. } if published.is_none() => return Err(UNPUBLISHED),
            Command::Vote { voter, helpful } => match votes.get(&voter).copied() {
                Some(known) if known == helpful => vec![],
                None if votes.len() >= MOST_VOTERS => return Err(VOTES_FULL),
                before => vec![Event::Voted { voter, helpful, before }],
            },
        })
    }

    fn evolve(article: &mut Article, event: &Event) {
        let state = &mut article.state;
        match event {
            // Another text may help where this one did not: its readers are asked anew.
            Event::Published => *state = State { published: article.fields.clone().map(Box::new), ..State::default() },
            Event::Unpublished => *state = State::default(),
            Event::Voted { voter, helpful, .. } => drop(state.votes.insert(*voter, *helpful)),
        }
    }

    fn document(article: &Article, document: &mut Map<String, Value>) {
        let status = if article.state.published.is_some() { "published" } else { "draft" };
        document.insert("status".into(), status.into());
    }

    fn document_schemas() -> Vec<(&'static str, Value)> {
        vec![("status", json!({ "type": "string", "enum": ["draft", "published"] }))]
    }

    fn refusals() -> Vec<Rejection> {
        vec![BODY_EMPTY, UNPUBLISHED, VOTES_FULL, valid::NAME_INVALID, valid::LOCALE_INVALID]
    }

    fn examples() -> (Fields, Vec<Command>) {
        let id = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let fields = Fields {
            name: "How to pay an invoice".into(),
            body: "Open the invoice and choose **Pay**.".into(),
            category: Some(id),
            language: Some("en".into()),
        };
        let commands = vec![Command::Publish, Command::Vote { voter: id, helpful: true }, Command::Unpublish];
        (fields, commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        given::{Given, created, given},
        record::{Common, Happened, Spec as _},
    };

    const READER: Id = Id::from_bits(0xC);

    fn article(events: impl IntoIterator<Item = Event>) -> Given<Article> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    fn own(command: Command) -> record::Command<Spec> {
        Either::Own(command)
    }

    #[test]
    fn what_is_read_is_what_was_published() {
        article([]).when(own(Command::Publish)).then([Either::Own(Event::Published)]);
        article([Event::Published]).when(own(Command::Publish)).nothing();
        article([]).when(own(Command::Unpublish)).nothing();
        let patch = json!({ "body": "Otherwise" }).as_object().unwrap().clone();
        let published = article([Event::Published]);
        let edited = published.when(Either::Common(Common::Edit(patch))).events();
        let mut again = article([Event::Published]).state;
        edited.iter().for_each(|event| crate::Aggregate::evolve(&mut again, event));
        assert_eq!(again.state.published.as_ref().unwrap().body, Spec::examples().0.body);
        let ctx_free =
            given::<Article>(created::<Spec>().into_iter().chain([Either::Own(Event::Published)]).chain(edited));
        ctx_free.when(own(Command::Publish)).then([Either::Own(Event::Published)]);
    }

    #[test]
    fn each_reader_has_one_vote_of_what_is_read() {
        let vote = |helpful| own(Command::Vote { voter: READER, helpful });
        let voted = |helpful, before| Event::Voted { voter: READER, helpful, before };
        article([]).when(vote(true)).rejected(UNPUBLISHED);
        article([Event::Published]).when(vote(true)).then([Either::Own(voted(true, None))]);
        article([Event::Published, voted(true, None)]).when(vote(true)).nothing();
        let changed = [Either::Own(voted(false, Some(true)))];
        article([Event::Published, voted(true, None)]).when(vote(false)).then(changed);
    }

    #[test]
    fn what_is_put_away_is_read_by_nobody() {
        let archive = Either::Common(Common::Archive { reason: None });
        let events = [Either::Own(Event::Unpublished), Either::Common(Happened::Archived { reason: None })];
        article([Event::Published]).when(archive).then(events);
    }
}
