//! Lists, searches and single reads of every listed read model, with what each can be filtered and sorted by.

use domain::{catalogue, kernel::filter::FieldKind};
use projections::{DEFAULT_LIMIT, Group, List, MAX_LIMIT};
use serde_json::{Map, Value, json};

use super::{
    super::kernel::moment::Moment,
    Document,
    operation::{Operation, in_path, in_query},
    problems::{self, Code},
    schemas::{CUSTOM_OF, pascal, refer},
};

/// Adds what read models answer.
pub(super) fn describe(document: &mut Document) {
    for list in projections::lists() {
        document.tags.beside(list.path, list.read);
        let name = record(list);
        let view = document.schemas.view(list, &name);
        if list.single {
            document.linked.insert(name);
            single(document, list, &view);
        }
        if list.listed {
            self::list(document, list, &view);
        }
    }
}

/// What a row is called: as its kind, where the list is that kind's; a list beside the kind's own has summaries.
fn record(list: &List) -> String {
    let kind = pascal(list.read);
    let of_kind = catalogue::kind(list.read).is_some_and(|kind| kind.plural == list.path);
    match (of_kind, list.single) {
        (true, true) => kind,
        (true, false) => format!("{kind}Summary"),
        (false, _) => {
            let own = pascal(list.path.strip_suffix('s').unwrap_or(list.path));
            if own.starts_with(&kind) { own } else { format!("{kind}{own}") }
        }
    }
}

/// A page of a list, and what it is filtered by.
fn page(document: &mut Document, list: &List, view: &Value) -> (Value, Value) {
    let owner = pascal(list.path);
    let filter = document.schemas.add(&format!("{owner}Filter"), filter(list, &owner));
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
            "sums": refer("Sums"),
        },
    });
    (filter, document.schemas.add(&format!("{owner}Page"), page))
}

/// The same of a list of which everybody reads what is his own alone.
pub(super) fn own_page(document: &mut Document, list: &'static List) -> Value {
    let view = document.schemas.view(list, &record(list));
    page(document, list, &view).1
}

fn list(document: &mut Document, list: &List, view: &Value) {
    let owner = pascal(list.path);
    let (filter, page) = page(document, list, view);
    let plain = list.path.replace('_', " ");
    let answer = |operation: Operation| {
        operation
            .permission(format!("{}.read", list.read))
            .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
            .answer(200, "A page.", page.clone(), &["Deskfold-Position"])
    };
    let description = format!("Lists {plain}.\n\n{}", fields(list));
    let mut operation = Operation::new(format!("{}_list", list.path), list.path, description);
    for parameter in in_address(list, &owner) {
        operation = operation.parameter(parameter);
    }
    answer(operation).problems("List", codes()).at(document, "get", &format!("/v1/{}", list.path));

    let body = json!({
        "description": "What is searched for.",
        "allOf": [refer("Search")],
        "properties": { "filter": filter, "sort": { "type": "string", "default": usual(list) } },
    });
    let body = document.schemas.add(&format!("{owner}Search"), body);
    let example = json!({ "filter": example(list), "limit": 20 });
    let description = format!("Searches {plain}: the list with its parameters in the body. For long filters.");
    answer(Operation::new(format!("{}_search", list.path), list.path, description))
        .body(body, false, Map::from_iter([("example1".to_owned(), json!({ "value": example }))]))
        .problems("List", codes())
        .problems("Search", Code::of(&[problems::BODY]))
        .at(document, "post", &format!("/v1/{}/search", list.path));
}

/// What a list may be refused for.
pub(super) fn codes() -> Vec<Code> {
    let all = [problems::PARAMETERS, problems::QUERY, problems::PAGE, problems::LIST, problems::MOMENT, problems::PAST];
    Code::of(&all)
}

const NEXT: &str = "The next page, null on the last: an address after a list, the value of `after` after a search.";

/// What a list takes in its address.
pub(super) fn in_address(list: &List, owner: &str) -> Vec<Value> {
    let others = PARAMETERS.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }));
    which(list, owner).into_iter().chain(others).collect()
}

/// The parameters that say which records, and in which order.
pub(super) fn which(list: &List, owner: &str) -> [Value; 2] {
    let filter = json!({
        "name": "filter",
        "in": "query",
        "description": "Which ones: a filter tree as JSON. See the filter grammar above.",
        "schema": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": refer(&format!("{owner}Filter")),
        },
    });
    let order = in_query("sort", order(Some(usual(list))), false);
    [filter, order]
}

/// What every list takes besides its filter and its order.
const PARAMETERS: &[&str] = &["limit", "after", "count", "group", "sum", "min_position", "as_of", "known_at"];

/// The order of a list unless another is asked for.
pub(super) fn usual(list: &List) -> String {
    let by = list.default_sort.iter();
    let by: Vec<_> = by.map(|sort| format!("{}{}", if sort.descending { "-" } else { "" }, sort.column)).collect();
    by.join(",")
}

/// The parameter that sorts.
pub(super) fn order(usual: Option<String>) -> Value {
    let mut order = json!({
        "type": "string",
        "description": "Fields to sort by, `-` before those that go down. Without a value counts as greatest.",
    });
    if let Some(usual) = usual {
        order["default"] = usual.into();
    }
    order
}

/// What every list takes besides its filter and its order, by name.
pub(super) fn parameters() -> Vec<(&'static str, Value)> {
    let count = json!({
        "$ref": refer("Count")["$ref"],
        "description": "Also say how many match in all. `exact` costs a look at each of them.",
    });
    let [limit, after, group, sum, min_position, as_of, known_at] = [
        json!({
            "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
            "description": "Records on a page.",
        }),
        json!({ "type": "string", "description": "The cursor that `next` of the page before holds." }),
        json!({
            "type": "string",
            "description": "Also say how many match by each value of this field. Costs a look at each of them.",
        }),
        json!({
            "type": "string",
            "description": "Also say what these fields of whole numbers add up to, over all that match.",
        }),
        json!({ "type": "integer", "description": "The same as `Deskfold-Min-Position`." }),
        json!({ "type": "string", "description": AS_OF }),
        json!({ "type": "string", "description": KNOWN_AT }),
    ];
    PARAMETERS.iter().copied().zip([limit, after, count, group, sum, min_position, as_of, known_at]).collect()
}

pub(super) const AS_OF: &str = "The list as it was, with the filter applied to the records as they were: an instant or a day, \
    which is taken to its end in the tenant's time zone (what had happened by then), or a position of the log. Custom fields, \
    and who sees which records, are those of now.";
pub(super) const KNOWN_AT: &str =
    "The list as it was known here at an instant, or at the end of a day. Only one of `as_of` and `known_at` is given.";

/// What every list has: the filter grammar, the search, and what they are made of.
pub(super) fn shared(document: &mut Document) {
    let trees = || json!({ "type": "array", "items": refer("Filter") });
    let filter = json!({
        "type": "object",
        "description": FILTER,
        "additionalProperties": false,
        "properties": {
            "all": trees(),
            "any": trees(),
            "not": refer("Filter"),
            "field": { "type": "string", "description": "A field of the list." },
            "op": refer("Op"),
            "value": { "description": VALUE },
        },
        "dependentRequired": { "field": ["op", "value"], "op": ["field"], "value": ["field"] },
        "dependentSchemas": {
            "all": { "maxProperties": 1 },
            "any": { "maxProperties": 1 },
            "not": { "maxProperties": 1 },
        },
    });
    document.schemas.add("Filter", filter);
    let mut properties = Map::from_iter([("filter".to_owned(), refer("Filter")), ("sort".to_owned(), order(None))]);
    properties.extend(parameters().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    let search = json!({
        "type": "object",
        "description": "What is searched for: a list's filter with its parameters.",
        "additionalProperties": false,
        "properties": properties,
    });
    document.schemas.add("Search", search);
    document
        .schemas
        .add("Count", json!({ "type": "string", "enum": ["exact", "estimate"], "description": "How a list counts." }));
    let sums = json!({
        "type": "object",
        "description": "What the fields that `sum` named add up to over all that match.",
        "additionalProperties": { "type": "integer" },
    });
    document.schemas.add("Sums", sums);
}

const FILTER: &str = "Which records: nothing for all of them, `all`, `any` or `not` of other trees, or a condition of `field`, \
    `op` and `value`.";

/// The filter tree of a list: which fields there are, and which ops each takes. To generated clients it is a `Filter`.
fn filter(list: &List, owner: &str) -> Value {
    let this = refer(&format!("{owner}Filter"));
    let trees = json!({ "type": "array", "items": this });
    let mut kinds: Vec<FieldKind> = Vec::new();
    for column in list.columns {
        if !kinds.contains(&column.kind) {
            kinds.push(column.kind);
        }
    }
    let names = |kind: Option<FieldKind>| -> Vec<_> {
        let columns = list.columns.iter().filter(|column| kind.is_none_or(|kind| column.kind == kind));
        columns.map(|column| column.name).collect()
    };
    let mut field = json!({ "enum": names(None) });
    let mut conditions: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            let ops: Vec<_> = kind.ops().iter().map(|op| op.name()).collect();
            json!({
                "description": format!("A condition on {}.", kind.wanted()),
                "properties": { "field": { "enum": names(Some(kind)) }, "op": { "enum": ops } },
            })
        })
        .collect();
    if let Some(kind) = list.custom {
        let custom = json!({ "type": "string", "pattern": "^custom\\.[a-z][a-z0-9_]*$", CUSTOM_OF: kind });
        field = json!({ "anyOf": [field, custom] });
        conditions.push(json!({
            "description": "A condition on a custom field, by the ops of its type.",
            "properties": { "field": custom },
        }));
    }
    json!({
        "description": format!("Which of {}.", list.path.replace('_', " ")),
        "allOf": [refer("Filter")],
        "properties": { "all": trees, "any": trees, "not": this, "field": field },
        "dependentSchemas": { "field": { "oneOf": conditions } },
    })
}

const VALUE: &str = "What the field is held against: a list for `in`, `not_in` and `between` (from, to), \
    true or false for `is_null`, one value otherwise.";

/// What a list can be filtered and sorted by, for people.
pub(super) fn fields(list: &List) -> String {
    let mut text = String::from("| field | holds | ops | sort |\n|---|---|---|---|\n");
    for column in list.columns {
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
    if list.custom.is_some() {
        text.push_str("| `custom.<key>` | what its type says | by its type | |\n");
    }
    for column in list.columns.iter().filter(|column| column.hides) {
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
    if let Some((_, meaning)) = list.only {
        text.push_str(&format!("\n{meaning}\n"));
    }
    text
}

/// A condition that fits the list.
pub(super) fn example(list: &List) -> Value {
    let column = list.columns.iter().find(|column| column.kind == FieldKind::Text);
    match column {
        Some(column) => json!({ "field": column.name, "op": "is_null", "value": false }),
        None => json!({}),
    }
}

/// A single record, now or as of the past.
fn single(document: &mut Document, list: &List, view: &Value) {
    let plain = list.read.replace('_', " ");
    let record = json!({ "allOf": [view], "required": ["links"] });
    let description = format!(
        "Reads a {plain}, now or as it was: what had happened by an instant, a day or a position (`as_of`), or what was \
         known here by an instant or a day (`known_at`)."
    );
    let moment = document.schemas.properties::<Moment>("");
    Operation::new(format!("{}_read", list.path), list.path, description)
        .permission(format!("{}.read", list.read))
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
        .problems(format!("{}Read", pascal(list.read)), Code::unknown(list.read))
        .at(document, "get", &format!("/v1/{}/{{id}}", list.path));
}
