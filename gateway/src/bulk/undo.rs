//! What a bulk or an import wrote, and the commands that take it back.

use std::collections::HashMap;

use commands::{Commands, Envelope, Refused};
use domain::{
    Id, Metadata, Rejection,
    catalogue::{self, Kind},
    kernel::{any::AnyCommand, reference::Subject},
};
use eventstore::{Direction, Query, Recorded};

use super::{
    Outcome, Stop,
    store::{Item, Job},
    story,
};
use crate::{app::App, auth::Caller};

/// Events that are read at once.
const PAGE: i64 = 4096;
/// How often a record is looked at again when somebody changed it meanwhile.
const PATIENCE: usize = 5;

/// The records that something wrote to, those it touched last first, each with the events that it wrote there of its own: neither
/// what these meant in the streams of others nor what rules made of them.
pub(super) async fn items(app: &App, job: &Job, undone: &Subject) -> Result<Vec<Item>, Stop> {
    let story = story(undone.id).to_string();
    let mut found: HashMap<(String, Id), usize> = HashMap::new();
    let mut items: Vec<Item> = Vec::new();
    let (mut command, mut commands, mut own) = (String::new(), 0, String::new());
    let (mut after, until) = job.undoes.unwrap_or_default();
    loop {
        let query = Query {
            tenant: Some(job.tenant.to_string()),
            after: Some(after),
            until: Some(until),
            limit: PAGE,
            ..Query::default()
        };
        let page = app.log.read_all(&query).await?;
        for event in &page {
            let Ok(metadata) = serde_json::from_slice::<Metadata>(&event.metadata) else { continue };
            if metadata.correlation_id != story || metadata.depth > 0 || metadata.causation_id.is_some() {
                continue;
            }
            // The events of a command stand together, those of its own record first.
            if metadata.command_id != command {
                (command, own) = (metadata.command_id, event.stream.to_string());
                commands += 1;
            }
            let of = (event.category().to_owned(), event.key().parse().unwrap_or(Id::NIL));
            if *own != *event.stream || of.1 == undone.id || catalogue::kind(&of.0).is_none() {
                continue;
            }
            let place = *found.entry(of.clone()).or_insert_with(|| {
                items.push(Item { number: 0, kind: of.0, record: of.1, undoes: Vec::new() });
                items.len() - 1
            });
            items[place].undoes.push((event.position, commands));
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = last.position,
            _ => break,
        }
    }
    items.reverse();
    for (item, number) in items.iter_mut().zip(1..) {
        item.number = number;
    }
    Ok(items)
}

/// Takes back what was written to a record.
pub(super) async fn take_back(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    item: &Item,
) -> Result<Result<commands::Accepted, Outcome>, Stop> {
    let Some(kind) = catalogue::kind(&item.kind) else { return Ok(Err(lasting(&item.kind))) };
    for _ in 0..PATIENCE {
        let stream = stream(&app.commands, envelope.tenant, kind, item.record).await?;
        let by: HashMap<i64, usize> = item.undoes.iter().copied().collect();
        let mut marked = stream
            .iter()
            .map(|event| ((&*event.kind, &*event.data, &*event.metadata), by.get(&event.position).copied()));
        let undone = kind.undo(&mut marked).map_err(|error| Stop::Never(error.to_string()))?;
        let commands = match undone {
            Ok(commands) => commands,
            Err(obstacle) => {
                let event = obstacle.place.and_then(|place| stream.get(place));
                return Ok(Err(told(obstacle.rejection, event).into()));
            }
        };
        if let Some(lacking) = lacking(caller, kind, &commands) {
            return Ok(Err(domain::org::authority::DENIED
                .because(format!("This needs the permission {lacking}."))
                .into()));
        }
        let version = stream.last().map_or(-1, |event| event.version);
        let envelope = Envelope { expected: Some(version), ..envelope.clone() };
        match app.commands.dispatch_any(&envelope, kind, commands).await {
            Err(Refused::Stale { .. }) => {}
            Ok(accepted) => return Ok(Ok(accepted)),
            Err(Refused::Rejected(rejection)) => return Ok(Err(rejection.into())),
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Stop::Later("others change a record all the time".into()))
}

/// The permission that whoever takes it back lacks for the commands that it takes.
fn lacking(caller: &Caller, kind: &Kind, commands: &[AnyCommand]) -> Option<String> {
    let names = commands.iter().map(|command| command.encode().0).filter(|name| kind.commands.contains(name));
    names.map(|name| format!("{}.{name}", kind.name)).find(|permission| !caller.may(permission))
}

/// What stands in the way, by its event.
fn told(rejection: Rejection, event: Option<&Recorded>) -> Rejection {
    let Some(event) = event else { return rejection };
    let detail = format!("{} See {} at position {}.", rejection.detail, event.kind, event.position);
    rejection.because(detail)
}

fn lasting(kind: &str) -> Outcome {
    domain::kernel::undo::LASTING.because(format!("There is no kind {kind} any more.")).into()
}

async fn stream(commands: &Commands, tenant: Id, kind: &Kind, id: Id) -> Result<Vec<Recorded>, Stop> {
    let (tenant, stream) = (tenant.to_string(), kind.stream(id));
    let mut events = Vec::new();
    loop {
        let from = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let page = commands.log().read_stream(&tenant, &stream, from, Direction::Forward, PAGE).await?;
        let read = page.len() as i64;
        events.extend(page);
        if read < PAGE {
            return Ok(events);
        }
    }
}
