//! What articles of the help centre stand together under.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Rejection, all,
    kernel::{
        listing::Nothing,
        named::Never,
        record::{self, Record},
        valid,
    },
    must,
};

/// A category of articles.
pub type ArticleCategory = Record<Spec>;

/// What makes a record a category of articles.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a category of articles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name, as customers read it.
    pub name: String,
    /// What is found in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub description: Option<String>,
    /// The language of its articles, a tag (BCP 47); readers of others do not see it where there is something in theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub language: Option<String>,
    /// Its place among the others: the lowest first.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    pub place: u32,
}

impl record::Spec for Spec {
    const KIND: &'static str = "article_category";
    const PLURAL: &'static str = "article_categories";
    const ABOUT: &'static str = "What articles of the help centre stand together under.";
    const ORDER: &'static str = "place";
    const OPEN: Option<&'static str> = Some("the help centre is for everybody");
    type Fields = Fields;
    type Command = Never;
    type Event = Never;
    type Shown = Nothing;
    type State = ();

    fn check(fields: &Fields) -> Result<(), Rejection> {
        let language = fields.language.as_deref();
        all([
            valid::name(&fields.name, "/name"),
            must(language.is_none_or(valid::is_locale), valid::LOCALE_INVALID, "/language"),
        ])
    }

    fn refusals() -> Vec<Rejection> {
        vec![valid::NAME_INVALID, valid::LOCALE_INVALID]
    }

    fn examples() -> (Fields, Vec<Never>) {
        let fields = Fields {
            name: "Billing".into(),
            description: Some("Invoices, and how they are paid.".into()),
            language: Some("en".into()),
            place: 1,
        };
        (fields, vec![])
    }
}
