//! What one row of a history says, and which commands that comes to. Pure: the log is asked elsewhere.

use std::collections::BTreeMap;

use domain::{
    Id, Personal, Time,
    desk::ticket::{Command, New, Priority, Status, Ticket},
    kernel::custom::FieldType,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    mapping::{self, Activity, Mapping, RecordMap, Refs},
    rows::{Cells, Fault, Header, Row},
};

/// The sorts of records that rows speak of, in the order in which they are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    User,
    Company,
    ProductCategory,
    Product,
    Team,
    Contact,
    Entitlement,
}

impl Kind {
    /// Its name in messages and ids.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Company => "company",
            Kind::ProductCategory => "product_category",
            Kind::Product => "product",
            Kind::Team => "team",
            Kind::Contact => "contact",
            Kind::Entitlement => "entitlement",
        }
    }
}

/// A record that a row speaks of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spoken {
    /// Which one, as the file calls it.
    pub(crate) key: String,
    /// What it is like when it is not there yet.
    pub(crate) body: Map<String, Value>,
}

/// What a row says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) case: String,
    pub(crate) activity: String,
    pub(crate) time: Time,
    pub(crate) records: BTreeMap<Kind, Spoken>,
    /// Whether the company holds the entitlement rather than the contact.
    pub(crate) held_by_company: bool,
    pub(crate) priority: Option<Priority>,
    pub(crate) category: Option<String>,
    pub(crate) custom: BTreeMap<String, Value>,
}

/// Reads a row.
pub(crate) fn read(mapping: &Mapping, header: &Header, row: &Row, now: Time) -> Result<Said, Fault> {
    if let Some(fault) = &row.fault {
        return Err(fault.clone());
    }
    let cells = header.cells(&row.cells);
    let cell = |column: &str, code: &'static str| match cells.get(column) {
        "" => Err(Fault::new(code, format!("Column {column} is empty."))),
        cell => Ok(cell.to_owned()),
    };
    let case = cell(&mapping.case, "case_missing")?;
    let activity = cell(&mapping.activity, "activity_missing")?;
    if mapping.activity(&activity).is_none() {
        let reason = format!("The mapping does not say what the activity {activity} does.");
        return Err(Fault::new("activity_unmapped", reason));
    }
    let time = mapping.time.read(&cells)?;
    if time > now {
        return Err(Fault::new("time_in_future", format!("{time} is in the future.")));
    }

    let mut records = BTreeMap::new();
    for (kind, map) in [
        (Kind::User, &mapping.user),
        (Kind::Company, &mapping.company),
        (Kind::ProductCategory, &mapping.product_category),
        (Kind::Product, &mapping.product),
        (Kind::Team, &mapping.team),
        (Kind::Contact, &mapping.contact),
    ] {
        if let Some(map) = map
            && let Some(spoken) = spoken(map, &cells)?
        {
            records.insert(kind, spoken);
        }
    }
    let held_by_company = mapping.entitlement.as_ref().is_some_and(|entitlement| entitlement.by_company);
    let holder = records.get(&if held_by_company { Kind::Company } else { Kind::Contact });
    if let (Some(map), Some(product), Some(holder)) = (&mapping.entitlement, records.get(&Kind::Product), holder) {
        let key = format!("{}/{}", holder.key, product.key);
        let body = mapping::object(&map.body, &cells, &Refs::default())?;
        records.insert(Kind::Entitlement, Spoken { key, body });
    }

    let priority = match &mapping.ticket.priority {
        Some(priority) => priority.value(&cells, &Refs::default())?,
        None => None,
    };
    let priority = priority.map(serde_json::from_value).transpose();
    let custom = mapping.custom.iter().filter_map(|(key, field)| {
        let text = field.value.fill(&cells)?;
        Some((key.clone(), mapping::typed(field.field_type, &text)))
    });
    Ok(Said {
        case,
        activity,
        time,
        records,
        held_by_company,
        priority: priority.map_err(|error| Fault::new("value_invalid", error.to_string()))?,
        category: mapping.ticket.category.as_ref().and_then(|category| category.fill(&cells)),
        custom: custom.collect(),
    })
}

fn spoken(map: &RecordMap, cells: &Cells<'_>) -> Result<Option<Spoken>, Fault> {
    let Some(key) = map.key.fill(cells) else { return Ok(None) };
    Ok(Some(Spoken { key, body: mapping::object(&map.body, cells, &Refs::default())? }))
}

/// The values that a row gives to selects: they may have to become choices first.
pub(crate) fn choices<'a>(mapping: &Mapping, said: &'a Said) -> Vec<(&'a str, Vec<&'a str>)> {
    let text = |value: &'a Value| -> Vec<&'a str> {
        match value {
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            value => value.as_str().into_iter().collect(),
        }
    };
    let selects = said.custom.iter().filter(|(key, _)| {
        let field = mapping.custom.get(*key);
        field.is_some_and(|field| matches!(field.field_type, FieldType::Select | FieldType::MultiSelect))
    });
    selects.map(|(key, value)| (key.as_str(), text(value))).collect()
}

/// The name under which a row is remembered: the same row of the same case is never done twice.
pub(crate) fn mark(case: &str, nth: u64, row: &Row) -> String {
    let mut hash = Sha256::new();
    for cell in &row.cells {
        hash.update((cell.len() as u64).to_be_bytes());
        hash.update(cell.as_bytes());
    }
    let hash = hex(&hash.finalize()[..8]);
    // Long names do not fit the log's index.
    match case.len() {
        0..=200 => format!("{case}#{nth}#{hash}"),
        _ => format!("{}#{nth}#{hash}", hex(&Sha256::digest(case)[..16])),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a row asks of its ticket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Every command, in order.
    pub(crate) commands: Vec<Command>,
    /// Of these, what only brings attributes up to date; empty when they are.
    pub(crate) changes: Vec<Command>,
    /// What to note if nothing but attributes changes although the activity asks for more, or nothing at all.
    pub(crate) note: Option<Command>,
    /// Whether the activity asks for anything besides attributes.
    pub(crate) acts: bool,
}

/// The commands that a row comes to in the present state of its ticket.
pub(crate) fn ask(
    mapping: &Mapping,
    said: &Said,
    cells: &Cells<'_>,
    refs: &Refs,
    ticket: &Ticket,
    message: impl Fn(usize) -> Id,
) -> Result<Asked, Fault> {
    let Some(activity) = mapping.activity(&said.activity) else {
        return Err(Fault::new("activity_unmapped", said.activity.clone()));
    };
    let opens = ticket.status == Status::Missing;
    let status = if opens { Status::Open } else { ticket.status };
    let mut steps = mapping::commands(&activity.steps, status, cells, refs)?;
    steps.iter_mut().enumerate().for_each(|(at, command)| name_message(command, || message(at)));
    if opens {
        let mut commands = vec![Command::Open(opening(mapping, said, cells, refs))];
        commands.append(&mut steps);
        return Ok(Asked { commands, changes: vec![], note: None, acts: false });
    }
    let acts = !steps.is_empty();
    let rest = steps.split_off(steps.iter().take_while(|command| **command == Command::Reopen).count());
    let mut changes = changes(said, refs, ticket);
    // A closed ticket takes no new attributes: it is opened for them, and closed again.
    if status == Status::Closed && steps.is_empty() && !changes.is_empty() {
        changes.insert(0, Command::Reopen);
        changes.push(Command::Close);
    }
    // Opening it again is what the activity does, if nothing else.
    let reopens = !steps.is_empty() && status != Status::Open;
    let note = if reopens { None } else { note(activity, cells, || message(activity.steps.len())) };
    let commands = steps.into_iter().chain(changes.iter().cloned()).chain(rest).collect();
    Ok(Asked { commands, changes, note, acts })
}

fn opening(mapping: &Mapping, said: &Said, cells: &Cells<'_>, refs: &Refs) -> New {
    let text = |template: &super::template::Template| template.fill(cells);
    let ticket = &mapping.ticket;
    New {
        // A row that names none of the title's columns still has a case.
        title: Personal(text(&ticket.title).unwrap_or_else(|| said.case.clone())),
        description: ticket.description.as_ref().and_then(text).map(Personal),
        requester: refs.requester,
        company: refs.company,
        team: refs.team,
        assignee: None,
        channel: Some(ticket.channel.clone()),
        origin: ticket.origin.as_ref().and_then(text),
        priority: said.priority.unwrap_or_default(),
        stage: None,
        category: said.category.clone(),
        entitlement: refs.entitlement,
        tags: ticket.tags.iter().filter_map(text).collect(),
        custom: said.custom.clone(),
    }
}

/// What brings the ticket's attributes to what the row says; a blank cell says nothing.
fn changes(said: &Said, refs: &Refs, ticket: &Ticket) -> Vec<Command> {
    let Some(now) = ticket.opened() else { return vec![] };
    let mut changes = Vec::new();
    if refs.team.is_some() && refs.team != now.team {
        changes.push(Command::ChangeTeam { team: refs.team });
    }
    if refs.requester.is_some() && refs.requester != now.requester {
        changes.push(Command::ChangeRequester { requester: refs.requester });
    }
    if let Some(entitlement) = refs.entitlement.filter(|entitlement| ticket.entitlement() != Some(*entitlement)) {
        changes.push(Command::SelectProduct { entitlement });
    }
    if let Some(priority) = said.priority.filter(|priority| *priority != now.priority) {
        changes.push(Command::ChangePriority { priority });
    }
    if said.category.is_some() && said.category != now.category {
        changes.push(Command::SetCategory { category: said.category.clone() });
    }
    let custom = said.custom.iter().filter(|(key, value)| now.custom.get(*key) != Some(value));
    let custom: BTreeMap<String, Value> = custom.map(|(key, value)| (key.clone(), value.clone())).collect();
    if !custom.is_empty() {
        changes.push(Command::SetCustom { custom });
    }
    changes
}

fn note(activity: &Activity, cells: &Cells<'_>, id: impl FnOnce() -> Id) -> Option<Command> {
    let body = activity.note.as_ref()?.fill(cells)?;
    Some(Command::AddNote { message_id: Some(id()), body: Personal(body), attachments: vec![] })
}

/// Gives a message an id that follows from the row, so that every run makes the same one.
fn name_message(command: &mut Command, id: impl FnOnce() -> Id) {
    match command {
        Command::AddNote { message_id, .. }
        | Command::Reply { message_id, .. }
        | Command::ReceiveMessage { message_id, .. } => *message_id = message_id.or_else(|| Some(id())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use domain::{Aggregate, Party, desk::ticket::Event};
    use serde_json::json;

    use super::*;

    const MAPPING: &str = r#"
[columns]
case = "case"
activity = "what"
time = "at"
[user]
key = "{who}"
name = "{who}"
email = "{who|slug}@example.com"
[company]
key = "{customer}"
name = "{customer}"
[contact]
key = "{customer}"
name = "{customer} office"
[product]
key = "{product}"
name = "{product}"
[ticket]
title = "{product} at {customer}"
priority = { column = "level", values = { low = 0, high = 2 } }
[custom.kind]
column = "kind"
type = "select"
[activities.take]
commands = [{ command = "reopen", when = ["resolved", "closed"] }, { command = "assign", assignee = "$actor" }]
[activities.close]
commands = [{ command = "close" }]
[activities.rate]
"#;

    fn header() -> Header {
        let names = ["case", "what", "at", "who", "customer", "product", "level", "kind"];
        Header::new(names.map(str::to_owned).into()).unwrap()
    }

    fn row(text: &str) -> Row {
        Row { number: 1, line: 2, cells: text.split(',').map(str::to_owned).collect(), fault: None }
    }

    fn said(text: &str) -> Result<Said, Fault> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        read(&Mapping::parse(MAPPING).unwrap(), &header(), &row(text), now)
    }

    const REFS: Refs = Refs {
        actor: Some(Id::from_bits(1)),
        requester: Some(Party::contact(Id::from_bits(2))),
        company: Some(Id::from_bits(3)),
        team: None,
        entitlement: Some(Id::from_bits(5)),
    };

    fn asked(text: &str, ticket: &Ticket) -> Asked {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let row = row(text);
        let message = |at| Id::from_bits(100 + at as u128);
        ask(&mapping, &said(text).unwrap(), &header().cells(&row.cells), &REFS, ticket, message).unwrap()
    }

    fn opened(more: &[Event]) -> Ticket {
        let opened = json!({
            "number": 1, "title": "P at C", "requester": REFS.requester, "channel": "import", "priority": 0,
            "stage": "new", "custom": { "kind": "k" }
        });
        let selected = Event::ProductSelected { entitlement: Id::from_bits(5), product: Id::from_bits(6) };
        let mut ticket = Ticket::default();
        ticket.evolve(&Event::Opened(serde_json::from_value(opened).unwrap()));
        ticket.evolve(&selected);
        more.iter().for_each(|event| ticket.evolve(event));
        ticket
    }

    #[test]
    fn a_row_says_who_when_and_of_what() {
        let said = said("1,take,2012-10-09 14:50:17,Anna,C,P,high,k").unwrap();
        assert_eq!((said.case.as_str(), said.time.to_string().as_str()), ("1", "2012-10-09T14:50:17Z"));
        assert_eq!(said.priority.unwrap().level(), 2);
        let keys: Vec<_> = said.records.iter().map(|(kind, spoken)| (kind.name(), spoken.key.as_str())).collect();
        let wanted = [("user", "Anna"), ("company", "C"), ("product", "P"), ("contact", "C"), ("entitlement", "C/P")];
        assert_eq!(keys, wanted);
        assert_eq!(said.records[&Kind::User].body["email"], "anna@example.com");
        let mapping = Mapping::parse(MAPPING).unwrap();
        assert_eq!(choices(&mapping, &said), [("kind", vec!["k"])]);
    }

    #[test]
    fn blank_cells_say_nothing() {
        let said = said("1,take,2012-10-09 14:50:17,,,,,").unwrap();
        assert!(said.records.is_empty() && said.priority.is_none() && said.custom.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let code = |text: &str| said(text).unwrap_err().code;
        assert_eq!(code(",take,2012-10-09 14:50:17,A,C,P,low,k"), "case_missing");
        assert_eq!(code("1,,2012-10-09 14:50:17,A,C,P,low,k"), "activity_missing");
        assert_eq!(code("1,fly,2012-10-09 14:50:17,A,C,P,low,k"), "activity_unmapped");
        assert_eq!(code("1,take,then,A,C,P,low,k"), "time_invalid");
        assert_eq!(code("1,take,2092-10-09 14:50:17,A,C,P,low,k"), "time_in_future");
        assert_eq!(code("1,take,2012-10-09 14:50:17,A,C,P,huge,k"), "value_unmapped");
    }

    #[test]
    fn the_first_row_opens_the_ticket() {
        let asked = asked("1,take,2012-10-09 14:50:17,Anna,C,P,high,k", &Ticket::default());
        let [Command::Open(new), Command::Assign { .. }] = asked.commands.as_slice() else { unreachable!("{asked:?}") };
        assert_eq!((new.title.as_str(), new.priority.level(), new.entitlement), ("P at C", 2, REFS.entitlement));
        assert!(asked.note.is_none());
    }

    #[test]
    fn later_rows_change_only_what_differs() {
        let same = asked("1,rate,2012-10-09 14:50:17,Anna,C,P,low,k", &opened(&[]));
        assert_eq!((same.commands, same.changes, same.acts), (vec![], vec![], false));
        assert!(matches!(same.note, Some(Command::AddNote { body, .. }) if *body == "rate"));
        let other = asked("1,take,2012-10-09 14:50:17,Anna,C,P,high,x", &opened(&[]));
        let names: Vec<_> =
            other.commands.iter().map(|command| domain::kernel::named::Named::encode(command).0).collect();
        assert_eq!(names, ["change_priority", "set_custom", "assign"]);
    }

    #[test]
    fn a_closed_ticket_is_opened_for_what_it_does_not_take() {
        let closed = opened(&[Event::Closed { stage: None }]);
        let names = |text: &str| -> Vec<_> {
            let asked = asked(text, &closed);
            asked.commands.iter().map(|command| domain::kernel::named::Named::encode(command).0).collect()
        };
        let back = names("1,take,2012-10-09 14:50:17,Anna,C,P,high,k");
        assert!(asked("1,take,2012-10-09 14:50:17,Anna,C,P,high,k", &closed).note.is_none());
        assert_eq!(back, ["reopen", "change_priority", "assign"]);
        let still = names("1,close,2012-10-09 14:50:17,Anna,C,P,high,k");
        assert_eq!(still, ["reopen", "change_priority", "close", "close"]);
        assert_eq!(names("1,close,2012-10-09 14:50:17,Anna,C,P,low,k"), ["close"]);
    }

    #[test]
    fn a_mark_tells_case_place_and_row() {
        let of = |case: &str, nth, text| mark(case, nth, &row(text));
        assert_eq!(of("1", 1, "a,b"), of("1", 1, "a,b"));
        let others = [of("2", 1, "a,b"), of("1", 2, "a,b"), of("1", 1, "ab,"), of("1", 1, "a,c")];
        assert!(others.iter().all(|other| *other != of("1", 1, "a,b")));
        assert!(of(&"x".repeat(600), 1, "a").len() < 100);
    }
}
