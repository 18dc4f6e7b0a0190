//! Read models and lists that follow from the one description of a kind: see [`Listing`].

use domain::{
    catalogue,
    kernel::{
        filter::FieldKind,
        listing::{AnyRow, Listing},
        merging,
    },
};
use eventstore::Recorded;
use serde_json::{Value, json};

use crate::{
    Column, Further, Keys, List, Refers, Sort, Unreadable,
    kernel::{
        model::{Fold, Model, Registered},
        registry,
    },
};

/// Something that the list of a kind tells beyond its description.
struct Beyond {
    kind: &'static str,
    name: &'static str,
    sql: &'static str,
    schema: fn() -> Value,
}

const BEYOND: &[Beyond] = &[
    Beyond {
        kind: "product",
        name: "active_entitlements",
        sql: "coalesce((select sum(h.count) from read_entitlements_by_product h where h.tenant_id = t.tenant_id \
            and h.product_id = t.id and h.status = 'active'), 0)::bigint",
        schema: || {
            let about = "How many entitlements to it are active.";
            json!({ "type": "integer", "format": "int64", "description": about })
        },
    },
    Beyond {
        kind: "quick_reply",
        name: "label_color",
        sql: "label.color",
        schema: || json!({ "type": ["string", "null"], "format": "word", "description": "Colour of the label." }),
    },
];

fn beyond(kind: &str) -> impl Iterator<Item = &'static Beyond> {
    BEYOND.iter().filter(move |beyond| beyond.kind == kind)
}

/// The read models of all kinds that are described, with their lists.
pub(crate) fn described(others: &[Registered]) -> Vec<Registered> {
    let named = |kind: &str| -> Option<(String, &'static str)> {
        // What is described has a name.
        let listing = catalogue::kind(kind)?.listing.map(|listing| (listing.name, "name"));
        let lists = || others.iter().filter_map(|(_, list)| *list).find(|list| list.lists(kind));
        let (name, title) = listing.or_else(|| lists().and_then(|list| Some((list.name, list.title()?))))?;
        Some((registry::view(name), title))
    };
    let listings = catalogue::kinds().filter_map(|kind| kind.listing);
    let registered = listings.map(|listing| {
        let model = model(listing);
        (model, Some(list(listing, model, &named)))
    });
    registered.collect()
}

/// What lives as long as the program: there is one of each kind.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn model(listing: &'static Listing) -> &'static Model {
    let fold = move |id, row: Option<AnyRow>, event: &Recorded, _: &mut Further| {
        (listing.fold)(id, row, &event.kind, &event.data, event.occurred_at).map_err(Unreadable::from)
    };
    let fold: &'static Fold = kept(fold);
    let kinds: &'static [&'static str] = kept([listing.kind]);
    kept(Model {
        name: listing.name,
        version: listing.version,
        kinds: kept(move || kinds),
        own: true,
        tally: None,
        further: &[],
        keys: Keys::own,
        fold,
        copy: listing.copy,
        schema: listing.schema,
        read: listing.read,
        write: listing.write,
        counts: |_| Vec::new(),
    })
}

/// Where records of a kind stand, and by which column they are called.
type Named<'a> = &'a dyn Fn(&str) -> Option<(String, &'static str)>;

fn list(listing: &'static Listing, model: &'static Model, named: Named<'_>) -> &'static List {
    kept(List {
        name: listing.name,
        path: listing.plural,
        listed: true,
        single: true,
        read: listing.kind,
        view: |list, generator| {
            let view = catalogue::kind(list.read).and_then(|kind| kind.listing).map(|listing| listing.view);
            let schema = view.map(|view| view(generator)).unwrap_or_default();
            let members = generator.definitions_mut().get_mut("View").map(|view| &mut view["properties"]);
            if let Some(Value::Object(members)) = members {
                members.extend(beyond(list.read).map(|beyond| (beyond.name.to_owned(), (beyond.schema)())));
            }
            schema
        },
        id_of: |_, segment| segment.parse().ok(),
        stream_of: |_, id| id,
        columns: kept(columns(listing)).as_slice(),
        custom: Some(listing.kind),
        stands: crate::Stands::Itself,
        only: None,
        outside: || None,
        named_by: &[],
        through: &[],
        about: None,
        follows: &[],
        shows_merged: &[("id", None)],
        default_sort: kept(vec![order(listing)]).as_slice(),
        select: kept(select(listing, named)).as_str(),
        joins: kept(joins(listing, named)).as_str(),
        tells: &[],
        model,
    })
}

fn order(listing: &Listing) -> Sort {
    match listing.order.strip_prefix('-') {
        Some(column) => Sort::descending(column),
        None => Sort::ascending(listing.order),
    }
}

fn refers(kind: FieldKind, target: Option<&str>) -> Option<Refers> {
    let merges = merging::KINDS.iter().find(|known| Some(**known) == target);
    merges.filter(|_| matches!(kind, FieldKind::Id | FieldKind::Set)).map(|kind| Refers::To(kind))
}

fn columns(listing: &'static Listing) -> Vec<Column> {
    let mut columns = vec![Column::id("id")];
    for column in listing.columns.iter().filter(|column| !column.hidden) {
        let hides = ["archived", "merged_into"].contains(&column.name.as_str());
        columns.extend(column.filtered.iter().map(|filtered| Column {
            nullable: filtered.nullable,
            sortable: !filtered.kind.is_set(),
            hides,
            refers: refers(filtered.kind, filtered.target.as_deref()),
            ..Column::new(&filtered.name, filtered.kind)
        }));
    }
    columns.extend(listing.names.iter().map(Column::called));
    columns
}

/// Where the list's SQL finds a column: among what follows merges, or in the table.
fn place(listing: &Listing, name: &str) -> &'static str {
    let column = listing.columns.iter().find(|column| column.name == name);
    let filtered = column.into_iter().flat_map(|column| &column.filtered);
    let follows = filtered.into_iter().any(|filtered| refers(filtered.kind, filtered.target.as_deref()).is_some());
    if follows || name == "custom" { "r" } else { "t" }
}

fn select(listing: &Listing, named: Named<'_>) -> String {
    let mut parts: Vec<String> = ["id", "version", "position"].map(|name| format!("t.{name}")).into();
    for column in listing.columns.iter().filter(|column| !column.hidden) {
        parts.push(format!("{}.{}", place(listing, &column.name), column.name));
        let title = column.target.as_deref().and_then(named).map(|(_, title)| title);
        let called = column.called().zip(title);
        parts.extend(called.map(|(name, title)| format!("\"{}\".{title} as {name}", column.base())));
    }
    parts.extend(beyond(listing.kind).map(|beyond| format!("{} as {}", beyond.sql, beyond.name)));
    parts.join(", ")
}

fn joins(listing: &Listing, named: Named<'_>) -> String {
    let called = listing.columns.iter().filter(|column| column.called().is_some());
    let joins = called.filter_map(|column| {
        let (view, _) = named(column.target.as_deref()?)?;
        let (alias, place) = (column.base(), place(listing, &column.name));
        Some(format!(
            "left join {view} \"{alias}\" on \"{alias}\".tenant_id = t.tenant_id and \"{alias}\".id = {place}.{}",
            column.name
        ))
    });
    joins.collect::<Vec<_>>().join(" ")
}

/// The migration that makes the table of a kind: written by a test, read by people, who add indexes before it is shipped.
pub fn migration(listing: &Listing) -> String {
    let table = registry::migrated(listing.name, listing.version);
    let text = "text collate \"C\"";
    let mut columns = vec![
        format!("tenant_id {text} not null"),
        format!("id {text} not null"),
        "version bigint not null".to_owned(),
        "position bigint not null".to_owned(),
    ];
    columns.extend(listing.columns.iter().map(|column| {
        let type_of = match column.kind {
            Some(FieldKind::Integer) => "bigint",
            Some(FieldKind::Bool) => "boolean",
            Some(FieldKind::Time) => "timestamptz",
            Some(FieldKind::Date) => "date",
            Some(FieldKind::Set | FieldKind::Tags) => "text[]",
            Some(_) => text,
            None => "jsonb",
        };
        format!("{} {type_of}{}", column.name, if column.nullable { "" } else { " not null" })
    }));
    columns.push("primary key (tenant_id, id)".to_owned());

    let order = order(listing);
    let ordered = listing.columns.iter().find(|column| column.name == order.column);
    let collation = match ordered.and_then(|column| column.kind) {
        Some(FieldKind::Text) => " collate \"und-x-icu\"",
        _ => "",
    };
    let by = format!("{}{collation}{}, id", order.column, if order.descending { " desc" } else { "" });
    let mut indexes = vec![format!("(tenant_id, {by})")];
    let asked = |name: &str| ["stage", "status"].contains(&name);
    for column in listing.columns.iter().filter(|column| column.kind == Some(FieldKind::Id) || asked(&column.name)) {
        match column.name.as_str() {
            "copied_from" => {}
            name if column.nullable => indexes.push(format!("(tenant_id, {name}, {by}) where {name} is not null")),
            name => indexes.push(format!("(tenant_id, {name}, {by})")),
        }
    }
    indexes.push("using gin (tags)".to_owned());
    indexes.push("using gin (custom jsonb_path_ops)".to_owned());

    let mut sql = format!(
        "-- Made from the description of {}: add the indexes that people will miss, and never change it once it is \
         shipped.\ncreate table {table} (\n    {}\n) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);\n\n",
        listing.kind,
        columns.join(",\n    ")
    );
    indexes.iter().for_each(|index| sql += &format!("create index on {table} {index};\n"));
    if listing.version == 1 {
        sql += &format!("\ncreate view read_{} as select * from {table};\n", listing.name);
    }
    let schema = (listing.schema)(&mut schemars::SchemaGenerator::default()).to_value();
    sql + &comments(listing.name, &table, &schema)
}

/// What says of a table and its columns what they are: the descriptions in the schema of its rows.
pub fn comments(name: &str, table: &str, schema: &Value) -> String {
    let quoted = |text: &Value| text.as_str().unwrap_or_default().replace('\'', "''").replace('\n', " ");
    let mut said = format!("\ncomment on table {table} is '{}';\n", quoted(&schema["description"]));
    let kept = [
        ("tenant_id", "Whose it is."),
        ("id", "Its id."),
        ("version", "Version of the last event in it, within its stream."),
        ("position", "Position of the last event in it, in the log."),
    ];
    for (column, text) in kept {
        said += &format!("comment on column {table}.{column} is '{text}';\n");
    }
    for (column, property) in schema["properties"].as_object().into_iter().flatten() {
        said += &format!("comment on column {table}.{column} is '{}';\n", quoted(&property["description"]));
    }
    said + &format!("select read_model_describe('read_{name}', '{table}');\n")
}

#[cfg(test)]
mod tests {
    use domain::{Aggregate, crm, desk, work};

    use super::*;
    use crate::kernel::fold::tests::{SUBJECT, at, event, id, recorded};

    /// The row after events by their names and data; each step goes through the table's form and back.
    fn folded<A: Aggregate>(events: &[(&str, Value)]) -> Value {
        let listing = A::listing().unwrap();
        let model = Model::named(listing.name).unwrap();
        let mut row = None;
        for (version, (name, data)) in (0..).zip(events) {
            let event = recorded::<A>(version, &event::<A>(name, data.clone()));
            row = model.apply(SUBJECT, row.as_ref(), &event).unwrap();
            row = row.map(|row| (model.read)(&model.json(&row).unwrap().to_string()).unwrap());
        }
        model.json(&row.unwrap()).unwrap()
    }

    /// Whether a row has at least these members.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value)] // Written in place at every call.
    fn has(row: &Value, expected: Value) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&row[name], value, "{name}");
        }
    }

    #[test]
    fn a_row_follows_what_happens_to_its_record() {
        let changes = json!({ "changes": {
            "contact": { "from": id(3), "to": id(4) },
            "amount": { "from": null, "to": { "amount": "90.50", "currency": "RUB" } },
        } });
        let mut events = vec![
            ("created", json!({ "name": "Oleg", "contact": id(3) })),
            ("details_changed", changes),
            ("stage_changed", json!({ "from": "new", "to": "qualified" })),
            ("owner_changed", json!({ "from": null, "to": id(9) })),
            ("converted", json!({ "contact": id(5), "deal": id(6) })),
        ];
        let amount = json!({ "amount": "90.50", "currency": "RUB" });
        let expected = json!({
            "contact_id": id(4), "stage": "qualified", "amount": amount, "owner_id": id(9), "status": "converted",
            "converted_deal_id": id(6), "closed_at": at(4), "city": null, "tags": [],
        });
        has(&folded::<crm::lead::Lead>(&events), expected);
        events.push(("reopened", json!({})));
        let reopened =
            json!({ "status": "open", "converted_contact_id": null, "closed_at": null, "updated_at": at(5) });
        has(&folded::<crm::lead::Lead>(&events), reopened);
        let cleared = json!({ "changes": { "contact": { "from": id(3), "to": null } } });
        let created = json!({ "name": "Oleg", "contact": id(3), "stage": "contacted" });
        let row = folded::<crm::lead::Lead>(&[("created", created), ("details_changed", cleared)]);
        has(&row, json!({ "contact_id": null, "stage": "contacted" }));
    }

    #[test]
    fn a_property_has_a_price_pictures_and_portals() {
        let photo = |number: u128| ("media_added", json!({ "media_id": id(number), "upload_id": id(number) }));
        let emptied = json!({ "changes": {
            "features": { "from": ["lift"], "to": null }, "kind": { "from": "apartment", "to": "house" },
            "rooms": { "from": 3, "to": null },
        } });
        let flat = json!({ "name": "Three rooms", "area": "78.50", "features": ["lift"], "rooms": 3 });
        let price = json!({ "amount": "310000.00", "currency": "EUR" });
        let row = folded::<crm::property::Property>(&[
            ("created", flat),
            ("details_changed", emptied),
            ("price_changed", json!({ "from": null, "to": price })),
            photo(1),
            photo(2),
            photo(3),
            ("media_reordered", json!({ "from": [], "to": [id(3), id(1), id(2)] })),
            ("media_removed", json!({ "media_id": id(1) })),
            ("published_to_portal", json!({ "portal": "a" })),
            ("published_to_portal", json!({ "portal": "b" })),
            ("published_to_portal", json!({ "portal": "c" })),
            ("portal_rejected", json!({ "portal": "b", "error": "No photos" })),
            ("unpublished", json!({ "portal": "c" })),
        ]);
        // As exact as it was told.
        has(&row, json!({ "kind": "house", "rooms": null, "features": [], "price": price, "area": "78.50" }));
        has(&row, json!({ "portals": ["a"], "portal_errors": { "b": "No photos" } }));
        let media = row["media"].as_array().unwrap();
        assert_eq!(media.iter().map(|one| one["media_id"].clone()).collect::<Vec<_>>(), [json!(id(3)), json!(id(2))]);
    }

    #[test]
    fn an_enquiry_knows_what_was_offered_for_it() {
        let sent = |offer: u128, properties: Value| {
            ("offer_sent", json!({ "offer": id(offer), "properties": properties, "to": id(3), "medium": "email" }))
        };
        let criteria = json!({ "from": { "rooms_from": 2 }, "to": { "rooms_from": 3, "kinds": ["house"] } });
        let mut events = vec![
            ("created", json!({ "name": "A flat", "contact": id(3), "criteria": { "rooms_from": 2 } })),
            ("criteria_changed", criteria),
            ("stage_changed", json!({ "from": "new", "to": "viewing" })),
            sent(1, json!([id(7), id(8)])),
            sent(2, json!([id(8), id(9)])),
            ("external_offer_noted", json!({ "note_id": id(5), "text": "By the river" })),
            ("closed", json!({ "outcome": "Bought" })),
        ];
        let row = folded::<crm::enquiry::Enquiry>(&events);
        assert_eq!(row["criteria"]["rooms_from"], 3);
        has(&row, json!({ "contact_id": id(3), "stage": "viewing", "status": "closed", "closed_at": at(6) }));
        let offered = json!([id(7), id(8), id(9)]);
        has(&row, json!({ "offered_property_ids": offered, "offer_count": 2, "last_offer_at": at(4) }));
        assert_eq!(
            (&row["external_offers"][0]["noted_at"], row["external_offers"][1].is_null()),
            (&json!(at(5)), true)
        );
        events.push(("reopened", json!({})));
        has(&folded::<crm::enquiry::Enquiry>(&events), json!({ "status": "open", "outcome": null }));
    }

    #[test]
    fn a_deal_is_won_and_reopened() {
        let money = json!({ "amount": "310000.00", "currency": "EUR" });
        let sale = json!({ "property": id(2), "contacts": [id(1)], "price": money });
        let mut events = vec![
            ("created", json!({ "name": "Flat", "contact": id(1), "property": id(2) })),
            ("amount_changed", json!({ "from": null, "to": money })),
            ("recorded", sale.clone()),
            ("won", json!({ "reason": "Best price" })),
        ];
        let won = json!({ "amount": money, "sale": sale, "sold_at": at(2), "status": "won", "closed_at": at(3) });
        has(&folded::<crm::deal::Deal>(&events), won);
        events.push(("reopened", json!({})));
        let open = json!({ "status": "open", "reason": null, "closed_at": null, "property_id": id(2) });
        has(&folded::<crm::deal::Deal>(&events), open);
    }

    #[test]
    fn a_company_shows_what_others_brought_along_beside_its_own() {
        let parts = json!({ id(3).to_string(): { "tags": ["big"] } });
        let mut events = vec![
            ("created", json!({ "name": "Rossi" })),
            ("tagged", json!({ "tag": "vip" })),
            ("absorbed", json!({ "company": id(3), "parts": parts })),
        ];
        has(&folded::<crm::company::Company>(&events), json!({ "tags": ["big", "vip"], "absorbed": [id(3)] }));
        events.push(("archived", json!({})));
        events.push(("merged", json!({ "into": id(9) })));
        events.push(("released", json!({ "company": id(3), "parts": [id(3)] })));
        let row = folded::<crm::company::Company>(&events);
        has(&row, json!({ "tags": ["vip"], "absorbed": [], "archived": true, "merged_into": id(9) }));
    }

    #[test]
    fn a_product_has_its_badge_category_and_price() {
        let price = json!({ "amount": "12.50", "currency": "EUR" });
        let row = folded::<desk::product::Product>(&[
            ("created", json!({ "name": "Hosting", "color": "#00a09d", "price": price })),
            ("categorised", json!({ "from": null, "to": id(2) })),
            ("retired", json!({})),
        ]);
        has(&row, json!({ "category_id": id(2), "retired": true, "price": price, "color": "#00a09d" }));
    }

    #[test]
    fn what_is_no_event_of_a_kind_is_refused() {
        let first =
            recorded::<work::project::Project>(0, &event::<work::project::Project>("created", json!({ "name": "A" })));
        let stranger = Recorded { kind: "project.teleported".into(), ..first.clone() };
        let model = Model::named("projects").unwrap();
        assert!(model.apply(SUBJECT, None, &stranger).is_err());
        let row = model.apply(SUBJECT, None, &first).unwrap();
        assert!(model.apply(SUBJECT, row.as_ref(), &stranger).is_err());
    }

    #[test]
    fn every_described_kind_is_listed_once() {
        let described: Vec<_> = catalogue::kinds().filter_map(|kind| kind.listing).collect();
        assert!(described.len() >= 8);
        for listing in described {
            let list = List::named(listing.name).unwrap();
            assert_eq!((list.path, list.read), (listing.plural, listing.kind));
            assert!(list.columns.iter().any(|column| column.name == list.default_sort[0].column), "{}", list.name);
        }
    }
}
