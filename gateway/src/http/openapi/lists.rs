//! Lists, searches and single reads of every listed read model, with what each can be filtered and sorted by.

use domain::kernel::filter::FieldKind;
use projections::{Column, DEFAULT_LIMIT, Group, ListVisitor, Listed, MAX_LIMIT, Sort};
use serde_json::{Map, Value, json};

use super::{
    super::{crm::feeds::has_feed, kernel::moment::Moment},
    Document,
    operation::{Operation, in_path, in_query},
    problems::{self, Code},
    schemas::{CUSTOM_OF, pascal, refer},
};

/// Adds what read models answer.
impl ListVisitor for Document {
    fn visit<M: Listed>(&mut self) {
        if M::LISTED {
            let view = self.schemas.view::<M::View>(&pascal(M::READ), &pascal(M::NAME), M::CUSTOM);
            list(self, &About::of::<M>(), &view);
        }
        if M::SINGLE {
            let view = self.schemas.view::<M::View>(&pascal(M::READ), &pascal(M::NAME), M::CUSTOM);
            single(self, &About::of::<M>(), &view);
        }
    }
}

/// What there is to say of a list, whatever its rows are: described once, not once for each type.
pub(super) struct About {
    path: &'static str,
    read: &'static str,
    columns: &'static [Column],
    /// The kind whose custom fields its rows have.
    custom: Option<&'static str>,
    default_sort: &'static [Sort],
    /// What is meant by its only rows, if it has not all.
    only: Option<&'static str>,
}

impl About {
    pub(super) fn of<M: Listed>() -> About {
        About {
            path: M::PATH,
            read: M::READ,
            columns: M::COLUMNS,
            custom: M::CUSTOM,
            default_sort: M::DEFAULT_SORT,
            only: M::ONLY.map(|(_, meaning)| meaning),
        }
    }
}

fn list(document: &mut Document, about: &About, view: &Value) {
    let owner = pascal(about.path);
    let filter = document.schemas.add(&format!("{owner}Filter"), filter(about, &owner));
    let group = document.schemas.of::<Group>("");
    let page = json!({
        "type": "object",
        "description": "A page of a list.",
        "required": ["data", "next", "position"],
        "properties": {
            "data": { "type": "array", "items": view },
            "next": { "type": ["string", "null"], "description": NEXT },
            "position": { "type": "integer", "description": "The position up to which the list knows the log." },
            "total": { "type": "integer", "description": "How many match in all; only when `count` was asked." },
            "groups": {
                "type": "array",
                "description": "How many match by the value of the field that `group` named, the largest groups first.",
                "items": group,
            },
            "sums": {
                "type": "object",
                "description": "What the fields that `sum` named add up to over all that match.",
                "additionalProperties": { "type": "integer" },
            },
        },
    });
    let page = document.schemas.add(&format!("{owner}Page"), page);
    let plain = about.path.replace('_', " ");
    let codes = Code::of(&[problems::PARAMETERS, problems::QUERY, problems::PAGE, problems::LIST]);
    let answer = |operation: Operation| {
        operation
            .permission(format!("{}.read", about.read))
            .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
            .answer(200, "A page.", page.clone(), &["Deskfold-Position"])
    };
    let description = format!("Lists {plain}.\n\n{}", fields(about));
    let mut operation = Operation::new(format!("{}_list", about.path), about.path, description);
    for parameter in in_address(about, &owner) {
        operation = operation.parameter(parameter);
    }
    answer(operation).problems("List", codes.clone()).at(document, "get", &format!("/v1/{}", about.path));

    let mut properties = Map::from_iter([("filter".to_owned(), filter)]);
    properties.extend(parameters(about));
    let body = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let body = document.schemas.add(&format!("{owner}Search"), body);
    let example = json!({ "filter": example(about), "limit": 20 });
    let description = format!("Searches {plain}: the list with its parameters in the body. For long filters.");
    answer(Operation::new(format!("{}_search", about.path), about.path, description))
        .body(body, false, Map::from_iter([("example1".to_owned(), json!({ "value": example }))]))
        .problems("List", codes)
        .problems("Search", Code::of(&[problems::BODY]))
        .at(document, "post", &format!("/v1/{}/search", about.path));
}

const NEXT: &str = "The next page, null on the last: an address after a list, the value of `after` after a search.";

/// What a list takes in its address.
pub(super) fn in_address(about: &About, owner: &str) -> Vec<Value> {
    let filter = json!({
        "name": "filter",
        "in": "query",
        "description": "Which ones: a filter tree as JSON. See the filter grammar above.",
        "content": { "application/json": { "schema": refer(&format!("{owner}Filter")) } },
    });
    let others = parameters(about).into_iter().map(|(name, schema)| in_query(&name, schema, false));
    [filter].into_iter().chain(others).collect()
}

/// What a list takes besides its filter.
fn parameters(about: &About) -> Vec<(String, Value)> {
    let usual: Vec<_> = about
        .default_sort
        .iter()
        .map(|sort| format!("{}{}", if sort.descending { "-" } else { "" }, sort.column))
        .collect();
    let parameter = |name: &str, schema: Value| (name.to_owned(), schema);
    vec![
        parameter(
            "sort",
            json!({
                "type": "string",
                "description": "Fields to sort by, `-` before those that go down. Without a value counts as greatest.",
                "default": usual.join(","),
            }),
        ),
        parameter(
            "limit",
            json!({
                "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
                "description": "Records on a page.",
            }),
        ),
        parameter(
            "after",
            json!({ "type": "string", "description": "The cursor that `next` of the page before holds." }),
        ),
        parameter(
            "count",
            json!({
                "type": "string", "enum": ["exact", "estimate"],
                "description": "Also say how many match in all. `exact` costs a look at each of them.",
            }),
        ),
        parameter(
            "group",
            json!({
                "type": "string",
                "description": "Also say how many match by each value of this field. Costs a look at each of them.",
            }),
        ),
        parameter(
            "sum",
            json!({
                "type": "string",
                "description": "Also say what these fields of whole numbers add up to, over all that match.",
            }),
        ),
        parameter("min_position", json!({ "type": "integer", "description": "The same as `Deskfold-Min-Position`." })),
    ]
}

/// The filter tree of a list: conditions by sort of field, each with the ops it takes.
fn filter(about: &About, owner: &str) -> Value {
    let this = refer(&format!("{owner}Filter"));
    let mut kinds: Vec<FieldKind> = Vec::new();
    for column in about.columns {
        if !kinds.contains(&column.kind) {
            kinds.push(column.kind);
        }
    }
    let condition = |field: Value, ops: Value, wanted: &str| {
        json!({
            "type": "object",
            "description": format!("A condition on {wanted}."),
            "required": ["field", "op", "value"],
            "additionalProperties": false,
            "properties": { "field": field, "op": ops, "value": { "description": VALUE } },
        })
    };
    let mut choices = vec![
        json!({ "type": "object", "title": "Everything", "additionalProperties": false }),
        json!({
            "type": "object", "title": "All of them", "required": ["all"], "additionalProperties": false,
            "properties": { "all": { "type": "array", "items": this } },
        }),
        json!({
            "type": "object", "title": "Any of them", "required": ["any"], "additionalProperties": false,
            "properties": { "any": { "type": "array", "items": this } },
        }),
        json!({
            "type": "object", "title": "Not that", "required": ["not"], "additionalProperties": false,
            "properties": { "not": this },
        }),
    ];
    for kind in kinds {
        let fields: Vec<_> =
            about.columns.iter().filter(|column| column.kind == kind).map(|column| column.name).collect();
        let ops: Vec<_> = kind.ops().iter().map(|op| op.name()).collect();
        choices.push(condition(json!({ "enum": fields }), json!({ "enum": ops }), kind.wanted()));
    }
    if let Some(kind) = about.custom {
        let ops: Vec<_> = domain::kernel::filter::Op::ALL.iter().map(|op| op.name()).collect();
        let field = json!({ "type": "string", "pattern": "^custom\\.[a-z][a-z0-9_]*$", CUSTOM_OF: kind });
        choices.push(condition(field, json!({ "enum": ops }), "a custom field, by the ops of its type"));
    }
    json!({ "description": "Which records: a tree of conditions.", "oneOf": choices })
}

const VALUE: &str = "What the field is held against: a list for `in`, `not_in` and `between` (from, to), \
    true or false for `is_null`, one value otherwise.";

/// What a list can be filtered and sorted by, for people.
pub(super) fn fields(about: &About) -> String {
    let mut text = String::from("| field | holds | ops | sort |\n|---|---|---|---|\n");
    for column in about.columns {
        let ops: Vec<_> = column.kind.ops().iter().map(|op| op.name()).collect();
        let nullable = if column.nullable { ", or nothing" } else { "" };
        let sort = if column.sortable { "yes" } else { "" };
        text.push_str(&format!(
            "| `{}` | {}{nullable} | {} | {sort} |\n",
            column.name,
            column.kind.wanted(),
            ops.join(", ")
        ));
    }
    if about.custom.is_some() {
        text.push_str("| `custom.<key>` | what its type says | by its type | |\n");
    }
    for column in about.columns.iter().filter(|column| column.hides) {
        let name = column.name;
        if name == "merged_into" {
            text.push_str(
                "\nMerged records are left out unless the filter asks about `merged_into`, or for them by their id.\n",
            );
            continue;
        }
        let capital = pascal(name);
        text.push_str(&format!("\n{capital} records are left out unless the filter asks about `{name}`.\n"));
    }
    if let Some(meaning) = about.only {
        text.push_str(&format!("\n{meaning}\n"));
    }
    text
}

/// A condition that fits the list.
fn example(about: &About) -> Value {
    let column = about.columns.iter().find(|column| column.kind == FieldKind::Text);
    match column {
        Some(column) => json!({ "field": column.name, "op": "is_null", "value": false }),
        None => json!({}),
    }
}

/// A single record, now or as of the past.
fn single(document: &mut Document, about: &About, view: &Value) {
    let plain = about.read.replace('_', " ");
    let owner = pascal(about.path);
    let feed = if has_feed(about.read) { ", `feed` is what happened to it and to what belongs to it" } else { "" };
    let links = json!({
        "type": "object",
        "description": format!("Where to go from here: `history` is its events{feed}."),
        "required": ["links"],
        "properties": { "links": { "type": "object", "additionalProperties": { "type": "string" } } },
    });
    let record = document.schemas.add(&format!("{owner}Record"), json!({ "allOf": [view, links] }));
    let description = format!(
        "Reads a {plain}, now or as it was: what had happened by an instant, a day or a position (`as_of`), or what was \
         known here by an instant or a day (`known_at`)."
    );
    let moment = document.schemas.properties::<Moment>("");
    Operation::new(format!("{}_read", about.path), about.path, description)
        .permission(format!("{}.read", about.read))
        .parameter(in_path("id", &format!("The {plain}."), json!({ "type": "string" })))
        .query(moment)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(
            200,
            "The record; `Deskfold-Position` is the position it reflects.",
            record,
            &["ETag", "Deskfold-Position"],
        )
        .problems("Read", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::MOMENT]))
        .problems(format!("{}Read", pascal(about.read)), Code::unknown(about.read))
        .at(document, "get", &format!("/v1/{}/{{id}}", about.path));
}
