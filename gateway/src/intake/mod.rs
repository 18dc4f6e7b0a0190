//! The intake of orders, leads and calls: what another system hands in is kept first, then made a record of, once.
//!
//! A reactor tries what was received, corrected or is to be tried again. It rehearses all of it before anything is written, so
//! that what cannot be taken leaves nothing behind; each record is marked in the log with the delivery that it came of, so that
//! whoever comes after a crash finds what was made.

mod flat;
mod meaning;

use std::{sync::Arc, time::Duration};

use commands::{Cause, Commands, Envelope, Refused};
use domain::{
    Actor, Aggregate, Id, Metadata, Via, catalogue,
    data::{
        delivery::{Command, Delivery, Status},
        intake_source::{self, IntakeSource, Takes},
    },
    kernel::reference::Subject,
};
use eventstore::{Failure, Handle, Handler, Recorded, Subscription, SubscriptionOptions};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use self::meaning::Mapping;
use self::meaning::{Part, Read, Said, implied, link, plainly};
use crate::import::{
    Brought, Existing, Fault, Handed, Header, Missing, Records, Run, Sheet, Spoken, Stop, Target, shape,
};

/// The steps of an attempt: first the contact, then what is about it.
const CONTACT: u64 = 1;
const RECORD: u64 = 2;
/// How often whoever handed something in looks what has become of it, and how long.
const LOOKS: [u64; 10] = [4, 6, 10, 20, 40, 80, 160, 320, 640, 1280];
/// Most deliveries that are tried within one transaction of the reactor.
const BATCH: i64 = 32;
/// Events that something is to be tried after.
const CONCERNS: &[&str] = &["delivery.received", "delivery.corrected", "delivery.tried_again"];

/// The mapping of a source, if one is set for what it hands in.
///
/// # Errors
/// When the log cannot be reached.
pub(crate) async fn mapping_of(
    commands: &Commands,
    tenant: Id,
    takes: Takes,
    source: &str,
) -> Result<Option<String>, Refused> {
    let unavailable = |error: eventstore::Error| Refused::Unavailable(error.to_string());
    let key = intake_source::key(takes, source);
    let owner = commands.log().claim_owner(&tenant.to_string(), intake_source::SCOPE, &key).await;
    let Some(owner) = owner.map_err(unavailable)? else { return Ok(None) };
    let Ok(id) = owner.key().parse::<Id>() else { return Ok(None) };
    let (known, _) = commands.load_current::<IntakeSource>(tenant, id).await?;
    Ok(known.fields.as_ref().filter(|_| known.is_live()).map(|fields| fields.mapping.clone()))
}

/// Waits a while until it is known what became of a delivery; how it stands then.
///
/// # Errors
/// When the log cannot be reached.
pub(crate) async fn became(commands: &Commands, tenant: Id, id: Id) -> Result<Arc<Delivery>, Refused> {
    let mut looks = LOOKS.into_iter();
    loop {
        let (delivery, _) = commands.load_current::<Delivery>(tenant, id).await?;
        match looks.next() {
            Some(pause) if delivery.status == Status::Received => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            _ => return Ok(delivery),
        }
    }
}

/// That a body is no JSON.
pub(crate) fn no_json(why: &str) -> Fault {
    domain::data::delivery::BODY_INVALID.because(format!("The body is no JSON: {why}.")).into()
}

/// What would become of something if it were handed in now: nothing is written.
///
/// # Errors
/// When that cannot be found out now.
pub(crate) async fn foresee(
    commands: &Commands,
    (tenant, id): (Id, Id),
    (takes, source): (Takes, &str),
    actor: Actor,
    body: &Value,
) -> Result<Result<(), Fault>, Refused> {
    let unavailable = |stop: Stop| match stop {
        Stop::Later(why) => Refused::Unavailable(why),
        stop => Refused::Broken(format!("{stop:?}")),
    };
    let cause = Cause { event: Uuid::now_v7(), position: 0, correlation: Uuid::now_v7(), depth: 0 };
    let handed = Some(Handed { cause, attempt: 1 });
    let run = Run { import: id, tenant, source: source.to_owned(), actor, handed };
    let attempt = Attempt { tenant, id, takes, run };
    let text = mapping_of(commands, tenant, takes, source).await?;
    let target = Target::new(commands.clone(), true);
    let outcome = bring(&attempt, &target, text.as_deref(), body).await.map_err(unavailable)?;
    Ok(outcome.map(drop))
}

/// Starts the reactor.
pub(crate) fn start(commands: &Commands, clock: commands::Clock) -> Handle {
    let log = commands.log();
    // Few at once: what has been tried is not tried again after a crash.
    let options = SubscriptionOptions { relaxed_commit: false, batch: BATCH, ..SubscriptionOptions::default() };
    let intake = Intake { commands: commands.clone(), clock };
    Subscription::spawn(log, intake, options, log.metrics().clone())
}

/// The reactor.
struct Intake {
    commands: Commands,
    clock: commands::Clock,
}

/// A delivery that is tried.
struct Attempt {
    tenant: Id,
    id: Id,
    takes: Takes,
    run: Run,
}

/// What came of one.
struct Taken {
    record: Id,
    contact: Option<Id>,
}

impl Handler for Intake {
    fn name(&self) -> &str {
        "react_intake"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Delivery::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        CONCERNS.contains(&&*event.kind)
    }

    async fn handle(&mut self, _: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch.iter().filter(|event| self.concerns(event)) {
            self.answer(event).await.map_err(|why| Failure::Store(sqlx::Error::Protocol(why)))?;
        }
        Ok(())
    }
}

impl Intake {
    /// Tries a delivery; `Err` when that has to be done later.
    async fn answer(&self, event: &Recorded) -> Result<(), String> {
        let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { return Ok(()) };
        let Ok(metadata) = serde_json::from_slice::<Metadata>(&event.metadata) else { return Ok(()) };
        let later = |refused: Refused| refused.to_string();
        let (delivery, _) = self.commands.load_current::<Delivery>(tenant, id).await.map_err(later)?;
        let Some(received) = delivery.received.as_ref().filter(|_| delivery.status == Status::Received) else {
            return Ok(());
        };
        let correlation = Uuid::parse_str(&metadata.correlation_id).unwrap_or(event.id);
        let cause = Cause { event: event.id, position: event.position, correlation, depth: metadata.depth };
        let handed = Handed { cause, attempt: delivery.attempt };
        let (source, actor) = (received.source.clone(), metadata.actor.clone());
        let run = Run { import: id, tenant, source, actor, handed: Some(handed) };
        let attempt = Attempt { tenant, id, takes: received.takes, run };
        let tried = match delivery.is_base64() {
            true => Ok(Err(no_json("it is not UTF-8, or has the character U+0000"))),
            false => self.attempt(&attempt, delivery.body()).await,
        };
        let command = match tried {
            Ok(Ok(Taken { record, contact })) => {
                let record = Subject::new(attempt.takes.kind(), record);
                Command::Take { attempt: delivery.attempt, record, contact }
            }
            Ok(Err(fault)) => Command::Refuse {
                attempt: delivery.attempt,
                code: fault.code.into_owned(),
                reason: fault.reason.into(),
                pointer: fault.pointer,
            },
            Err(Stop::Later(why)) => return Err(why),
            Err(stop) => {
                tracing::warn!(delivery = %id, ?stop, "a delivery cannot be tried");
                let reason = "Something is wrong within Deskfold: whoever runs it finds more in its log.".to_owned();
                let code = "delivery_not_tried".to_owned();
                Command::Refuse { attempt: delivery.attempt, code, reason: reason.into(), pointer: None }
            }
        };
        let mut envelope = Envelope::new(tenant, id, Actor::SYSTEM, Via::Rule, (self.clock)());
        envelope.command_id = Uuid::new_v5(&event.id, b"intake");
        match self.commands.dispatch::<Delivery>(&envelope.caused_by(&cause), command).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused.to_string()),
        }
    }

    /// The record of a step, if it was made before.
    async fn made(&self, attempt: &Attempt, number: u32, step: u64) -> Result<Option<Id>, Stop> {
        let mark = Handed::mark(attempt.id, number, step);
        let owner = self.commands.log().claim_owner(&attempt.tenant.to_string(), Handed::MARK, &mark).await?;
        Ok(owner.and_then(|owner| owner.key().parse().ok()))
    }

    async fn attempt(&self, attempt: &Attempt, body: &str) -> Result<Result<Taken, Fault>, Stop> {
        let number = attempt.run.handed.as_ref().map_or(1, |handed| handed.attempt);
        // Whoever made it was stopped before saying so.
        if let Some(record) = self.made(attempt, number, RECORD).await? {
            let contact = self.made(attempt, number, CONTACT).await?;
            return Ok(Ok(Taken { record, contact: contact.or(self.contact_of(attempt, record).await?) }));
        }
        let body = match serde_json::from_str::<Value>(body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(no_json(&error.to_string()))),
        };
        let text = mapping_of(&self.commands, attempt.tenant, attempt.takes, &attempt.run.source).await?;
        let rehearsal = Target::new(self.commands.clone(), true);
        match bring(attempt, &rehearsal, text.as_deref(), &body).await? {
            Ok(_) => bring(attempt, &Target::new(self.commands.clone(), false), text.as_deref(), &body).await,
            refused => Ok(refused),
        }
    }

    /// The contact that a record names.
    async fn contact_of(&self, attempt: &Attempt, record: Id) -> Result<Option<Id>, Stop> {
        let Some(kind) = catalogue::kind(attempt.takes.kind()) else { return Ok(None) };
        let state = self.commands.state(&kind.need(record), attempt.tenant).await?;
        let there = kind.see(&state).unwrap_or_default();
        Ok(there[link(attempt.takes)].as_str().and_then(|id| id.parse().ok()))
    }
}

/// Brings a body in: the contact, and what is about it.
async fn bring(
    attempt: &Attempt,
    target: &Target,
    text: Option<&str>,
    body: &Value,
) -> Result<Result<Taken, Fault>, Stop> {
    if let Some(place) = domain::kernel::text::nul_at(body) {
        let reason = format!("{place} holds the character U+0000.");
        return Ok(Err(Fault::new("text_invalid", reason).of(place.trim_start_matches('/'))));
    }
    let said = match text {
        None => plainly(attempt.takes, body),
        Some(text) => match Mapping::parse(text, attempt.takes) {
            Ok(mapping) => mapping.read(body),
            Err(error) => Err(Fault::new("mapping_invalid", format!("The mapping: {error}."))),
        },
    };
    let Said { record, contact, missing } = match said {
        Ok(said) => said,
        Err(fault) => return Ok(Err(fault)),
    };
    let (mut records, mut spoken) = match spoken(attempt, target, record).await? {
        Ok(read) => read,
        Err(fault) => return Ok(Err(fault)),
    };
    // What was missed lasted for nobody.
    if attempt.takes == Takes::Calls && spoken.body.get("status").is_some_and(|status| status == "missed") {
        spoken.body.remove("duration_s");
    }
    let contact = match contact {
        Some(part) => match self::spoken(attempt, target, part).await? {
            Ok((contacts, said)) => named(said).map(|said| (contacts, said)),
            Err(fault) => return Ok(Err(Fault { reason: format!("contact: {}", fault.reason), ..fault })),
        },
        None => match implied(attempt.takes, &attempt.run.source, &spoken.body) {
            Some(said) => Some((implied_contacts(attempt, target)?, said)),
            None => None,
        },
    };
    let mut linked = None;
    if let Some((contacts, said)) = contact {
        match self::contact(attempt, target, contacts, said, missing).await? {
            Ok(contact) => linked = contact,
            Err(fault) => return Ok(Err(Fault { reason: format!("contact: {}", fault.reason), ..fault })),
        }
    }
    if let Some(contact) = linked {
        spoken.body.entry(link(attempt.takes)).or_insert_with(|| json!(contact));
    }
    let contact = spoken.body.get(link(attempt.takes)).and_then(Value::as_str).and_then(|id| id.parse().ok());
    let brought = records.bring(RECORD, spoken).await?;
    Ok(brought.map(|Brought { record, .. }| Taken { record, contact: linked.or(contact) }))
}

/// The contact whom it is about: found by number or address, or made; `None` where nobody is to be named.
async fn contact(
    attempt: &Attempt,
    target: &Target,
    mut contacts: Records,
    said: Spoken,
    missing: Missing,
) -> Result<Result<Option<Id>, Fault>, Stop> {
    let Some(kind) = catalogue::kind("contact") else { return Ok(Ok(None)) };
    let known = contacts.known(&said).await?;
    if let Some(known) = known {
        // Of who was put away nothing is told, and nobody is made a second time.
        if !kind.is_live(&target.state_of(kind, attempt.tenant, known).await?) {
            return Ok(Ok(None));
        }
    }
    match (known, missing) {
        (None, Missing::Leave) => Ok(Ok(None)),
        // Who calls is known; what a telephone system says adds nothing.
        (Some(known), Missing::Leave) => Ok(Ok(Some(known))),
        _ => Ok(contacts.bring(CONTACT, said).await?.map(|brought| Some(brought.record))),
    }
}

/// Who has no name is called by where he is reached; who has neither is nobody.
fn named(mut said: Spoken) -> Option<Spoken> {
    let text = |said: &Spoken, name: &str| {
        said.body.get(name).and_then(Value::as_str).map(str::to_owned).filter(|text| !text.trim().is_empty())
    };
    let reached = text(&said, "email").or_else(|| text(&said, "phone"));
    if text(&said, "name").is_none() {
        let name = reached.clone().or_else(|| said.key.clone())?;
        said.body.insert("name".into(), name.into());
    }
    (reached.is_some() || said.key.is_some() || said.body.contains_key("further_phones")).then_some(said)
}

fn implied_contacts(attempt: &Attempt, target: &Target) -> Result<Records, Stop> {
    let shape = shape("contact").ok_or_else(|| Stop::Never("there are no contacts".into()))?;
    let header = Header::new(Vec::new())?;
    Ok(Records::new(attempt.run.clone(), Sheet::plain(shape, Existing::Fill)?, header, target.clone()))
}

/// What a part of a body says, and what brings it in.
async fn spoken(attempt: &Attempt, target: &Target, part: Part) -> Result<Result<(Records, Spoken), Fault>, Stop> {
    let Part { sheet, read } = part;
    match read {
        Read::Cells(header, row) => {
            let records = Records::new(attempt.run.clone(), sheet, header, target.clone());
            Ok(records.spoken(&row).await?.map(|spoken| (records, spoken)))
        }
        Read::Plainly(spoken) => {
            let header = Header::new(Vec::new())?;
            Ok(Ok((Records::new(attempt.run.clone(), sheet, header, target.clone()), spoken)))
        }
    }
}
