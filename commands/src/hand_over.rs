//! Gives what a colleague is responsible for to another one, piece by piece.
//!
//! What there is comes from the read model of holdings, which knows at least what had happened when it was asked for. It only
//! proposes: each piece is given only if the colleague still has it, at the version at which that was seen, by a command
//! whose id follows from who asked and for what, so that doing all of it again changes nothing.

use domain::{
    Actor, Aggregate, Id, Time, Via, catalogue,
    org::user::{self, User},
};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::{
    Commands, Envelope, Refused,
    acting::{Due, Fired, at_once, command_id},
};

/// The read model that says what there is.
const READ_MODEL: &str = "holdings";
/// Pieces looked up at once.
const PAGE: i64 = 500;
/// How often a piece is looked at that others change at the same moment.
const ATTEMPTS: usize = 10;

/// Hands over what a user is responsible for, as far as it can be.
pub(crate) async fn carry_out(
    commands: &Commands,
    reach: &crate::Reach,
    due: &Due,
    now: Time,
) -> Result<Fired, Refused> {
    let (user, _) = commands.load_current::<User>(due.tenant, due.record).await?;
    let Some(to) = user.handing_over_to else { return Ok(Fired::Nothing) };
    if !reach(READ_MODEL, due.cause.position).await {
        return Ok(Fired::Later);
    }
    let mut after = String::new();
    loop {
        let page = held(commands, due, &after).await?;
        let give = page.iter().map(|(_, kind, record)| give(commands, due, kind, record, to, now).boxed());
        at_once(give.collect()).await.into_iter().collect::<Result<(), Refused>>()?;
        match page.into_iter().next_back() {
            Some((last, ..)) => after = last,
            None => break,
        }
    }
    let envelope = envelope(due, due.record, now, "finish");
    commands.dispatch::<User>(&envelope, user::Command::FinishHandOver { to }).await?;
    Ok(Fired::Done)
}

/// A page of what there is to do something about: entry, kind, record.
async fn held(commands: &Commands, due: &Due, after: &str) -> Result<Vec<(String, String, String)>, Refused> {
    sqlx::query_as(
        "select id, kind, record_id from read_holdings
         where tenant_id = $1 and user_id = $2 and open and id > $3 order by id limit $4",
    )
    .bind(due.tenant.to_string())
    .bind(due.record.to_string())
    .bind(after)
    .bind(PAGE)
    .fetch_all(commands.log().pool())
    .await
    .map_err(Refused::from)
}

/// Gives one piece, unless somebody else has it by now or it takes no such command.
async fn give(commands: &Commands, due: &Due, kind: &str, record: &str, to: Id, now: Time) -> Result<(), Refused> {
    let (Some(known), Ok(id)) = (catalogue::kind(kind), record.parse::<Id>()) else { return Ok(()) };
    let (attribute, command) =
        if known.commands.contains("assign") { ("assignee", "assign") } else { ("owner", "change_owner") };
    let leaver = due.record.to_string();
    for _ in 0..ATTEMPTS {
        let (state, version) = commands.state_at(&known.need(id), due.tenant).await?;
        let document = known.see(&state).unwrap_or_default();
        if document.get(attribute).and_then(Value::as_str) != Some(leaver.as_str()) {
            return Ok(());
        }
        let envelope = Envelope { expected: Some(version), ..envelope(due, id, now, kind) };
        match commands.issue(&envelope, kind, command, json!({ attribute: to })).await {
            // It changed at the same moment: who has it now?
            Err(Refused::Stale { .. }) => {}
            // It takes no such command: it stays, and is listed.
            Ok(_) | Err(Refused::Rejected(_)) => return Ok(()),
            Err(refused) => return Err(refused),
        }
    }
    Err(Refused::Busy)
}

fn envelope(due: &Due, id: Id, now: Time, step: &str) -> Envelope {
    let envelope = Envelope::new(due.tenant, id, Actor::SYSTEM, Via::Timer, now).caused_by(&due.cause);
    let name = ["hand_over", step, &id.to_string(), &User::stream(due.record), &due.cause.event.to_string()];
    Envelope { command_id: command_id(&name), ..envelope }
}
