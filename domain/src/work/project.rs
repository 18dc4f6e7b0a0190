//! What tasks belong together under.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Rejection,
    kernel::{
        listing::Nothing,
        named::Never,
        record::{self, Record},
        valid,
    },
};

/// A project.
pub type Project = Record<Spec>;

/// What makes a record a project.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "project";
    const PLURAL: &'static str = "projects";
    const ABOUT: &'static str = "What tasks belong together under.";
    type Fields = Fields;
    type Command = Never;
    type Event = Never;
    type Shown = Nothing;
    type State = ();

    fn check(fields: &Fields) -> Result<(), Rejection> {
        valid::name(&fields.name, "/name")
    }

    fn refusals() -> Vec<Rejection> {
        vec![valid::NAME_INVALID]
    }

    fn examples() -> (Fields, Vec<Never>) {
        (Fields { name: "New customers".into(), description: Some("Calls and visits".into()) }, vec![])
    }
}
