//! A list as somebody wants to see it: which records, in which order, which columns, in which groups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Rejection, all, catalogue,
    kernel::{
        listing::Nothing,
        named::Never,
        record::{self, Record},
        valid,
    },
    must,
};

/// A view.
pub type View = Record<Spec>;

/// What makes a record a view.
#[derive(Clone, Default)]
pub struct Spec;

/// A filter as it was given: its list reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ViewFilter")]
pub struct Tree(pub Map<String, Value>);

/// Attributes of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// The collection whose list it shows, such as `tickets`.
    #[schemars(extend("format" = "word"))]
    pub collection: String,
    /// Which records: a filter of that list, all of them where it is empty. `@me` stands for whoever looks.
    #[serde(default)]
    pub filter: Tree,
    /// The columns to show, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub columns: Vec<String>,
    /// In which order, as the list takes it: `-priority,opened_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub sort: Option<String>,
    /// The field by whose values the records are shown in groups, side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub group_by: Option<String>,
}

/// What the list of the collection refuses, and its views with it.
const OF_LISTS: [Rejection; 7] = [
    Rejection::invalid("filter_malformed", "The filter is no filter tree."),
    Rejection::invalid("filter_field_unknown", "The filter names a field that the list does not have."),
    Rejection::invalid("filter_op_unknown", "The field does not take that op."),
    Rejection::invalid("filter_value_invalid", "The value does not fit the field."),
    Rejection::invalid("sort_field_unknown", "The list has no such field to sort by."),
    Rejection::invalid("group_field_unknown", "The list has no such field to group by."),
    Rejection::invalid("column_unknown", "The list has no such column."),
];
const COLLECTION_UNKNOWN: Rejection =
    Rejection::invalid("view_collection_unknown", "A view shows a collection of records, such as `tickets`.");

impl record::Spec for Spec {
    const KIND: &'static str = "view";
    const PLURAL: &'static str = "views";
    const ABOUT: &'static str = "A list as somebody wants to see it.";
    type Fields = Fields;
    type Command = Never;
    type Event = Never;
    type Shown = Nothing;
    type State = ();

    /// What the list itself must know (its fields, columns and orders) is asked of it where views are written.
    fn check(fields: &Fields) -> Result<(), Rejection> {
        let known = catalogue::kinds().any(|kind| kind.plural == fields.collection);
        all([valid::name(&fields.name, "/name"), must(known, COLLECTION_UNKNOWN, "/collection")])
    }

    fn refusals() -> Vec<Rejection> {
        OF_LISTS.into_iter().chain([COLLECTION_UNKNOWN, valid::NAME_INVALID]).collect()
    }

    fn examples() -> (Fields, Vec<Never>) {
        let filter = json!({ "all": [
            { "field": "assignee_id", "op": "eq", "value": "@me" },
            { "field": "status", "op": "eq", "value": "open" },
        ] });
        let fields = Fields {
            name: "My open tickets".into(),
            collection: "tickets".into(),
            filter: Tree(filter.as_object().cloned().unwrap_or_default()),
            columns: ["number", "title", "requester_name"].map(ToOwned::to_owned).to_vec(),
            sort: Some("-priority,opened_at".into()),
            group_by: Some("stage".into()),
        };
        (fields, vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        given::{given, new},
        named::Either,
        record::{Common, Spec as _},
    };

    #[test]
    fn a_view_shows_a_collection_that_there_is() {
        let fields = Fields { collection: "weather".into(), ..Spec::examples().0 };
        let create = Either::Common(Common::Create(record::New { fields, ..new::<Spec>() }));
        given::<View>([]).when(create).rejected(COLLECTION_UNKNOWN);
    }
}
