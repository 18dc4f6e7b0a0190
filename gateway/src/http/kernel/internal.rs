//! What only colleagues may see, internal comments and notes in tickets, is kept from contacts and from whoever acts for one; and
//! how a colleague signs in from everybody who has nothing to do with it.

use domain::{Aggregate, Id, catalogue, crm::comment::Comment};
use eventstore::Recorded;

use crate::{app::App, auth::Caller, problem::Problem};

fn unknown(kind: &str) -> Problem {
    Problem::missing(format!("{kind}_unknown"), format!("There is no such {}.", kind.replace('_', " ")))
}

/// Whether what is confidential is told: to oneself, to whoever helps others to sign in, and to auditors.
fn may_know(caller: &Caller, event: &Recorded) -> bool {
    let own = event.key().parse() == Ok(caller.actor.principal());
    own || caller.may("user.issue_link") || caller.may("event.read")
}

impl App {
    /// Whether a record is none of the caller's business.
    pub(crate) async fn hides(&self, caller: &Caller, kind: &str, id: Id) -> Result<bool, Problem> {
        if !caller.is_outside() || kind != Comment::KIND {
            return Ok(false);
        }
        let comment = self.commands.find::<Comment>(caller.tenant, id).await?;
        Ok(comment.is_some_and(|comment| comment.added.as_ref().is_some_and(|added| added.internal)))
    }

    /// Refuses what only colleagues may see, and what is about a kind of record whose feature is off. Whether a command
    /// reaches the record is asked when it is decided.
    pub(crate) async fn must_offer(&self, caller: &Caller, kind: &str, id: Id) -> Result<(), Problem> {
        let about = catalogue::kind(kind).and_then(|kind| kind.about(caller.tenant, id));
        if let Some(feature) = about.and_then(|about| caller.missing_feature_of(about)) {
            return Err(feature.disabled().into());
        }
        if !self.hides(caller, kind, id).await? {
            return Ok(());
        }
        Err(unknown(kind))
    }

    /// Refuses what the caller does not see as if it did not exist, and what is about a kind of record whose feature is off.
    pub(crate) async fn must_show(&self, caller: &Caller, kind: &str, id: Id) -> Result<(), Problem> {
        self.must_offer(caller, kind, id).await?;
        if self.shows(caller, kind, id).await? { Ok(()) } else { Err(unknown(kind)) }
    }

    /// Whether an event is none of the caller's business.
    pub(crate) async fn hides_event(&self, caller: &Caller, event: &Recorded) -> Result<bool, Problem> {
        if catalogue::is_confidential(&event.kind) && !may_know(caller, event) {
            return Ok(true);
        }
        if !caller.is_outside() {
            return Ok(false);
        }
        if &*event.kind == "ticket.note_added" {
            return Ok(true);
        }
        match event.key().parse() {
            Ok(id) => self.hides(caller, event.category(), id).await,
            Err(_) => Ok(false),
        }
    }

    /// Whether the caller sees an event: all of them who may read the log, else those of records that he sees.
    pub(in crate::http) async fn sees_event(&self, caller: &Caller, event: &Recorded) -> Result<bool, Problem> {
        if self.hides_event(caller, event).await? {
            return Ok(false);
        }
        if caller.may("event.read") {
            return Ok(true);
        }
        let (kind, Ok(id)) = (event.category(), event.key().parse::<Id>()) else { return Ok(false) };
        if !caller.may(&format!("{kind}.read")) {
            return Ok(false);
        }
        match self.must_show(caller, kind, id).await {
            Ok(()) => Ok(true),
            Err(problem) if problem.status().is_client_error() => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// Those of the events that are the caller's business.
    pub(crate) async fn visible(&self, caller: &Caller, events: Vec<Recorded>) -> Result<Vec<Recorded>, Problem> {
        let mut visible = Vec::with_capacity(events.len());
        for event in events {
            if !self.hides_event(caller, &event).await? {
                visible.push(event);
            }
        }
        Ok(visible)
    }
}
