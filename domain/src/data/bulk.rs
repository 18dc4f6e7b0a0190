//! One command for many records: what was asked of which, how far it is, and what takes it back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Ctx, Decision, Echo, Id, Need, Rejection,
    data::import::{self, Import},
    kernel::{access::Relation, reference::Subject, undo},
    must,
};

/// What may be asked of a bulk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Begins it.
    Request(Request),
    /// Halts it until it is resumed.
    Pause,
    /// Lets one that was paused or has failed go on where it stopped.
    Resume,
    /// Ends it where it stands; what it has done stays until it is undone.
    Cancel {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Records that every item has been dealt with.
    Complete {
        /// What became of the items.
        counts: Counts,
    },
    /// Records that it could not go on.
    Fail {
        /// Why.
        reason: String,
    },
}

/// A bulk about to run: either a command of one kind, or what takes another bulk or an import back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The kind of its records, such as `ticket`; absent where it takes something back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The command that each record is given, such as `close`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The body of that command.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub body: Map<String, Value>,
    /// The filter that chose the records; absent where they were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The bulk or import that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "any"))]
    pub undoes: Option<Subject>,
    /// How many records it is about; absent where that is found out as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Whether it only shows what it would do.
    #[serde(default)]
    pub dry_run: bool,
    /// The colleague in whose name it runs.
    #[schemars(extend("x-held-reference" = "user"))]
    pub requester: Id,
}

/// What became of a bulk's items: `items = applied + unchanged + refused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Items dealt with.
    pub items: u64,
    /// Items that led to events.
    pub applied: u64,
    /// Items that were so already.
    pub unchanged: u64,
    /// Items that were refused.
    pub refused: u64,
    /// Events written, or that would be.
    pub events: u64,
}

/// What has happened to a bulk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It runs.
    Requested(Request),
    /// Somebody halted it.
    Paused,
    /// It goes on.
    Resumed,
    /// Somebody ended it.
    Cancelled {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Every item has been dealt with.
    Completed {
        /// What became of the items.
        counts: Counts,
    },
    /// It could not go on.
    Failed {
        /// Why.
        reason: String,
    },
    /// Another bulk has taken it back, as far as that was possible.
    Undone {
        /// That bulk.
        by: Id,
        /// What became of its items.
        counts: Counts,
    },
}

/// Where a bulk stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// At work.
    Running,
    /// Halted.
    Paused,
    /// Through with every item.
    Completed,
    /// Ended by somebody.
    Cancelled,
    /// Stuck.
    Failed,
}

/// One command for many records.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bulk {
    /// Where it stands.
    pub status: Status,
    /// What was asked.
    pub request: Option<Box<Request>>,
    counts: Counts,
    /// The bulks that took it back.
    undone_by: Vec<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("bulk_unknown", "There is no such bulk.");
const EXISTS: Rejection = Rejection::conflict("bulk_exists", "A bulk with this id asks for something else.");
const ENDED: Rejection = Rejection::conflict("bulk_ended", "The bulk has ended.");
const NOT_RUNNING: Rejection = Rejection::conflict("bulk_not_running", "The bulk is not running.");
const RUNS: Rejection =
    Rejection::conflict("bulk_undo_running", "What has not ended is not taken back: cancel it first.");
const WROTE_NOTHING: Rejection =
    Rejection::conflict("bulk_undo_dry_run", "What was only tried wrote nothing that could be taken back.");
const UNDOES_UNKNOWN: Rejection =
    Rejection::invalid("bulk_undo_unknown", "There is no such bulk or import to be taken back.");
const COUNTS_INVALID: Rejection =
    Rejection::invalid("bulk_counts_invalid", "Items are applied, unchanged or refused, and nothing else.");

/// Refuses to take back what is still at work, wrote nothing or is not there.
fn check_undone(undone: &Subject, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let (there, ended, dry_run) = match &*undone.kind {
        Bulk::KIND => {
            let bulk = ctx.fact::<Bulk>(undone.id);
            let ended = matches!(bulk.status, Status::Completed | Status::Cancelled | Status::Failed);
            (bulk.request.is_some(), ended, bulk.request.as_ref().is_some_and(|request| request.dry_run))
        }
        Import::KIND => {
            let import = ctx.fact::<Import>(undone.id);
            let ended = import.status != import::Status::Running;
            (import.start.is_some(), ended, import.start.as_ref().is_some_and(|start| start.dry_run))
        }
        _ => (false, false, false),
    };
    must(there, UNDOES_UNKNOWN, "/undoes")?;
    must(!dry_run, WROTE_NOTHING, "/undoes")?;
    must(ended, RUNS, "/undoes")
}

fn complete(bulk: &Bulk, counts: Counts) -> Decision<Event> {
    let sum = [counts.applied, counts.unchanged, counts.refused].into_iter().try_fold(0u64, u64::checked_add);
    must(sum == Some(counts.items), COUNTS_INVALID, "/counts/items")?;
    match bulk.status {
        Status::Running => Ok(vec![Event::Completed { counts }]),
        Status::Completed if bulk.counts == counts => Ok(vec![]),
        _ => Err(NOT_RUNNING),
    }
}

impl Aggregate for Bulk {
    const KIND: &'static str = "bulk";
    const PLURAL: &'static str = "bulk";
    const CREATE: &'static str = "request";
    const INTERNAL: &'static [&'static str] = &["request", "resume", "complete", "fail"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Status::{Cancelled, Completed, Failed, Missing, Paused, Running};
        match (command, self.status) {
            (Command::Request(new), Missing) => {
                new.undoes.as_ref().map_or(Ok(()), |undone| check_undone(undone, ctx))?;
                Ok(vec![Event::Requested(new)])
            }
            (Command::Request(new), _) if self.request.as_deref() == Some(&new) => Ok(vec![]),
            (Command::Request(_), _) => Err(EXISTS),
            (_, Missing) => Err(UNKNOWN),
            (Command::Pause, Running) => Ok(vec![Event::Paused]),
            (Command::Pause, Paused) => Ok(vec![]),
            (Command::Resume, Paused | Failed) => Ok(vec![Event::Resumed]),
            (Command::Resume, Running) => Ok(vec![]),
            (Command::Cancel { reason }, Running | Paused | Failed) => Ok(vec![Event::Cancelled { reason }]),
            (Command::Cancel { .. }, Cancelled) => Ok(vec![]),
            (Command::Pause | Command::Resume | Command::Cancel { .. }, _) => Err(ENDED),
            (Command::Complete { counts }, _) => complete(self, counts),
            (Command::Fail { reason }, Running) => Ok(vec![Event::Failed { reason }]),
            (Command::Fail { .. }, Failed) => Ok(vec![]),
            (Command::Fail { .. }, Paused | Completed | Cancelled) => Err(NOT_RUNNING),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Requested(request) => {
                self.status = Status::Running;
                self.request = Some(Box::new(request.clone()));
            }
            Event::Paused => self.status = Status::Paused,
            Event::Resumed => self.status = Status::Running,
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::Completed { counts } => {
                self.status = Status::Completed;
                self.counts = *counts;
            }
            Event::Failed { .. } => self.status = Status::Failed,
            Event::Undone { by, .. } => self.undone_by.push(*by),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Requested(request) => vec![Relation::Owner(Some(request.requester))],
            _ => Vec::new(),
        }
    }

    fn needs(&self, command: &Command, _: &Ctx<'_>) -> Vec<Need> {
        let Command::Request(Request { undoes: Some(undone), .. }) = command else { return Vec::new() };
        match &*undone.kind {
            Bulk::KIND => vec![Need::guarded::<Bulk>(undone.id)],
            Import::KIND => vec![Need::guarded::<Import>(undone.id)],
            _ => Vec::new(),
        }
    }

    /// What it takes back says so.
    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let Event::Completed { counts } = event else { return Vec::new() };
        let request = self.request.as_deref().filter(|request| !request.dry_run);
        let Some(undone) = request.and_then(|request| request.undoes.as_ref()) else { return Vec::new() };
        match &*undone.kind {
            Bulk::KIND => vec![Echo::to::<Bulk>(undone.id, &Event::Undone { by: ctx.id, counts: *counts })],
            Import::KIND => {
                vec![Echo::to::<Import>(undone.id, &import::Event::Undone { by: ctx.id, counts: *counts })]
            }
            _ => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        let undo = [RUNS, WROTE_NOTHING, UNDOES_UNKNOWN, undo::LASTING, undo::OVERTAKEN];
        [UNKNOWN, EXISTS, ENDED, NOT_RUNNING, COUNTS_INVALID].into_iter().chain(undo).collect()
    }

    fn examples() -> Vec<Command> {
        let request = Request {
            kind: Some("ticket".into()),
            command: Some("close".into()),
            body: Map::new(),
            filter: None,
            undoes: None,
            items: Some(3),
            dry_run: false,
            requester: Id::from_bits(5),
        };
        let counts = Counts { items: 3, applied: 1, unchanged: 1, refused: 1, events: 2 };
        vec![
            Command::Request(request),
            Command::Pause,
            Command::Resume,
            Command::Fail { reason: "Its requester is no longer active.".into() },
            Command::Complete { counts },
            Command::Cancel { reason: Some("Wrong filter".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, given};

    const COUNTS: Counts = Counts { items: 3, applied: 1, unchanged: 1, refused: 1, events: 2 };

    fn new() -> Request {
        let Some(Command::Request(request)) = Bulk::examples().into_iter().next() else { unreachable!() };
        request
    }

    fn bulk(events: impl IntoIterator<Item = Event>) -> Given<Bulk> {
        given([Event::Requested(new())].into_iter().chain(events))
    }

    fn cancelled() -> Event {
        Event::Cancelled { reason: None }
    }

    fn failed() -> Event {
        Event::Failed { reason: "Nobody asks any more.".into() }
    }

    #[test]
    fn it_is_asked_for_once() {
        given::<Bulk>([]).when(Command::Request(new())).then([Event::Requested(new())]);
        bulk([]).when(Command::Request(new())).nothing();
        bulk([]).when(Command::Request(Request { items: Some(4), ..new() })).rejected(EXISTS);
        given::<Bulk>([]).when(Command::Pause).rejected(UNKNOWN);
    }

    #[test]
    fn what_has_ended_is_taken_back_and_says_so() {
        let undoing = |undoes| Request { kind: None, command: None, undoes: Some(undoes), items: None, ..new() };
        let undoes = || Subject::new(Bulk::KIND, Id::from_bits(7));
        let ask = |events: Vec<Event>| {
            given::<Bulk>([]).with::<Bulk>(Id::from_bits(7), events).when(Command::Request(undoing(undoes())))
        };
        let requested = || Event::Requested(new());
        ask(vec![requested(), cancelled()]).then([Event::Requested(undoing(undoes()))]);
        ask(vec![requested()]).rejected(RUNS);
        ask(vec![Event::Requested(Request { dry_run: true, ..new() }), cancelled()]).rejected(WROTE_NOTHING);
        ask(vec![]).rejected(UNDOES_UNKNOWN);
        let ticket = undoing(Subject::new("ticket", Id::from_bits(7)));
        given::<Bulk>([]).when(Command::Request(ticket)).rejected(UNDOES_UNKNOWN);
    }

    #[test]
    fn it_halts_and_goes_on() {
        bulk([]).when(Command::Pause).then([Event::Paused]);
        bulk([Event::Paused]).when(Command::Pause).nothing();
        bulk([Event::Paused]).when(Command::Resume).then([Event::Resumed]);
        bulk([failed()]).when(Command::Resume).then([Event::Resumed]);
        bulk([]).when(Command::Resume).nothing();
        bulk([cancelled()]).when(Command::Resume).rejected(ENDED);
        bulk([Event::Paused]).when(Command::Cancel { reason: None }).then([cancelled()]);
        bulk([cancelled()]).when(Command::Cancel { reason: None }).nothing();
    }

    #[test]
    fn it_completes_when_every_item_is_accounted_for() {
        let complete = |counts| Command::Complete { counts };
        bulk([]).when(complete(COUNTS)).then([Event::Completed { counts: COUNTS }]);
        bulk([]).when(complete(Counts { refused: 2, ..COUNTS })).rejected(COUNTS_INVALID);
        bulk([Event::Paused]).when(complete(COUNTS)).rejected(NOT_RUNNING);
        bulk([Event::Completed { counts: COUNTS }]).when(complete(COUNTS)).nothing();
        bulk([Event::Completed { counts: COUNTS }]).when(Command::Cancel { reason: None }).rejected(ENDED);
    }

    #[test]
    fn it_fails_while_it_runs() {
        let fail = || Command::Fail { reason: "Nobody asks any more.".into() };
        bulk([]).when(fail()).then([failed()]);
        bulk([failed()]).when(fail()).nothing();
        // What took it back says nothing about how it stands.
        bulk([Event::Undone { by: Id::from_bits(9), counts: COUNTS }]).when(fail()).then([failed()]);
        bulk([Event::Paused]).when(fail()).rejected(NOT_RUNNING);
    }
}
