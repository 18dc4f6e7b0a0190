//! Every event type with its schema, the log as a list and as a stream, and the history of each record.

use domain::{Aggregate, Metadata, kernel::named::Variant};
use serde_json::{Value, json};

use super::{
    super::kernel::{
        events::{Filter, HistoryOptions},
        stream::{Changed, ChangedAccess, Since},
    },
    Document,
    commands::{described, id_of},
    operation::Operation,
    problems::{self, Code},
    schemas::{pascal, refer},
};

/// The events of one kind: the envelope of all, and what `data` holds by `type`. That stands under `dependentSchemas`,
/// which generators of clients pass over: to them it is an `Event`, not hundreds of types.
pub(super) fn of_kind<A: Aggregate>(document: &mut Document, events: &[Variant]) {
    let (mut types, mut cases) = (Vec::new(), Vec::new());
    for event in events {
        let mut data = event.schema.as_value().clone();
        if !A::SECRETS.is_empty() {
            document.schemas.conceal(&mut data, A::SECRETS);
        }
        let name = format!("{}.{}", A::KIND, event.name);
        cases.push(json!({
            "if": { "properties": { "type": { "const": name } } },
            "then": {
                "description": described(event)["description"],
                "properties": { "data": data },
            },
        }));
        types.push(name);
    }
    let event = json!({
        "description": format!("What may have happened to a {}.", A::KIND.replace('_', " ")),
        "allOf": [refer("Event")],
        "properties": { "type": { "enum": types } },
        "dependentSchemas": { "type": { "allOf": cases } },
    });
    let name = format!("{}Event", pascal(A::KIND));
    let event = document.schemas.add(&name, event);
    let page = json!({
        "description": "A page of its events in order of version.",
        "allOf": [refer("EventPage")],
        "properties": { "data": { "type": "array", "items": event } },
    });
    let page = document.schemas.add(&format!("{name}Page"), page);
    document.events.push((A::KIND, event));

    let path = format!("/v1/{}/{{id}}/history", A::PLURAL);
    let kind = A::KIND.replace('_', " ");
    let options = document.schemas.properties::<HistoryOptions>("");
    Operation::new(format!("{}_history", A::KIND), A::PLURAL, format!("Every event of a {kind}, with who and why."))
        .permission(format!("{}.read", A::KIND))
        .parameter(id_of::<A>(document))
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "Its events in order.", page, &["Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("History", Code::of(&[problems::PAGE]))
        .problems(format!("{}Read", pascal(A::KIND)), Code::unknown(A::KIND))
        .at(document, "get", &path);
}

fn page_of(event: &Value) -> Value {
    json!({
        "type": "object",
        "description": "A page of events.",
        "required": ["data", "next", "position"],
        "properties": {
            "data": { "type": "array", "items": event },
            "next": { "type": ["string", "null"], "description": "The address of the next page; null on the last." },
            "position": { "type": "integer", "description": "The last position of the log when this was read." },
        },
    })
}

/// The envelope of every event, and the two ways to read the whole log.
pub(super) fn log(document: &mut Document) {
    let mut properties = json!({
        "position": { "type": "integer", "minimum": 1, "description": "Its place in the log: 1, 2, 3, ... without holes." },
        "stream": { "type": "string", "description": "The record it happened to, such as `ticket-01K9Z3T8W0QX6V5N4M3K2J1H0G`." },
        "version": { "type": "integer", "minimum": 0, "description": "Its place in the stream: 0, 1, 2, ..." },
        "id": { "type": "string", "format": "uuid" },
        "type": { "type": "string", "description": "What happened, such as `ticket.opened`." },
        "occurred_at": { "type": "string", "format": "date-time", "description": "When it happened in the world." },
        "recorded_at": { "type": "string", "format": "date-time", "description": "When the log took it in." },
        "data": refer("EventData"),
    });
    let mut required = vec!["position", "stream", "version", "id", "type", "occurred_at", "recorded_at", "data"];
    required.extend(["actor", "via", "command_id", "correlation_id"]);
    for (name, schema, _) in document.schemas.properties::<Metadata>("") {
        properties[name] = schema;
    }
    let envelope = json!({
        "type": "object",
        "description": "An event of the log: what happened to which record, when, through whom and why.",
        "required": required,
        "properties": properties,
    });
    document.schemas.add("Event", envelope);
    let (kinds, cases): (Vec<_>, Vec<_>) = document
        .events
        .iter()
        .map(|(kind, event)| {
            let is = json!({ "properties": { "type": { "pattern": format!("^{kind}\\.") } } });
            (*kind, json!({ "if": is, "then": event }))
        })
        .unzip();
    let any = json!({
        "description": "Any event; `type` tells which.",
        "allOf": [refer("Event")],
        "properties": { "type": { "pattern": format!("^({})\\.", kinds.join("|")) } },
        "dependentSchemas": { "type": { "allOf": cases } },
    });
    let any = document.schemas.add("AnyEvent", any);
    let page = document.schemas.add("EventPage", page_of(&any));

    let parameters = document.schemas.properties::<Filter>("");
    let description = "Lists the log for auditors: every event of the tenant, in order of position. Positions of other \
        tenants are left out, so they rise but not by one.";
    Operation::new("events_list", "events", description)
        .permission("event.read")
        .query(parameters.clone())
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "Events in the direction of reading.", page, &["Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Events", Code::of(&[problems::PAGE, problems::EVENTS]))
        .at(document, "get", "/v1/events");

    let description = "Follows the log as it grows, as server-sent events. Each message has the event's position as \
        `id`, its type as `event` and the event itself as `data`. A client that reconnects with `Last-Event-ID`, as \
        browsers do, or asks with `after`, misses nothing; without either the stream begins now. `access` as `event` says that I see more or less than before, by a role or a team: all \
        that is shown is to be asked for anew, as of the position in its `data`. A quiet stream sends a \
        comment every 15 seconds.";
    let example = "id: 42\nevent: ticket.closed\ndata: {\"position\":42,\"stream\":\"ticket-01K9Z3T8W0QX6V5N4M3K2J1H0G\", \
        ...,\"type\":\"ticket.closed\",\"data\":{}}\n\n";
    let content = json!({ "text/event-stream": { "schema": { "type": "string" }, "example": example } });
    let parameters = parameters.into_iter().filter(|(name, ..)| !NOT_FOLLOWED.contains(&name.as_str())).collect();
    Operation::new("events_follow", "events", description)
        .permission("event.read")
        .query(parameters)
        .shared(&["Last-Event-ID", "Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "Messages until the client leaves or the server stops.", content, &[])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Stream", Code::of(&[problems::EVENTS, problems::STREAM]))
        .at(document, "get", "/v1/events/stream");
    changes(document);
}

/// What pages listen to.
fn changes(document: &mut Document) {
    let description = "Follows which records change among those that I may see, as server-sent events for pages that show \
        them. Each message has a position of the log as `id`, `changed` as `event`, and as `data` the kind and the id of a record \
        and the position of the event by which it changed, or by which I came to see it; of what I may not see nothing is told. That a record has just gone out of my sight is told as a \
        change of it. Several \
        changes of a record at a time are told as one. A client that reconnects with `Last-Event-ID`, as browsers do, or asks with \
        `after`, misses nothing; without either the stream begins now. A quiet stream sends a comment every 15 seconds.";
    let changed = document.schemas.of::<Changed>("");
    let example =
        "id: 42\nevent: changed\ndata: {\"kind\":\"ticket\",\"id\":\"01K9Z3T8W0QX6V5N4M3K2J1H0G\",\"position\":42}\n\n";
    let access = document.schemas.of::<ChangedAccess>("");
    let told = json!({ "anyOf": [changed, access] });
    let schema = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": told });
    let content = json!({ "text/event-stream": { "schema": schema, "example": example } });
    let parameters = document.schemas.properties::<Since>("");
    Operation::new("changes_follow", "events", description)
        .query(parameters)
        .shared(&["Last-Event-ID", "Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "Messages until the client leaves or the server stops.", content, &[])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Changes", Code::of(&[problems::STREAM]))
        .at(document, "get", "/v1/changes/stream");
}

/// Parameters of the list that make no sense for a stream.
const NOT_FOLLOWED: &[&str] = &["limit", "from", "to", "backwards"];
