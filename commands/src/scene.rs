//! What rules see: an event and the records that it concerns, as they were at a position of the log or as they are now.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Id, Metadata,
    catalogue::{self, Kind, listed},
    kernel::{
        aggregate::{AnyState, Fold},
        merging,
        reference::{self, Subject},
    },
    work::automation::{Asks, Compiled, Preparation, Scene, Sight, Trigger, concerned},
};
use eventstore::{Direction, Log, Recorded};
use quick_cache::unsync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Cause, Commands, ListRow, Refused, lists::Lists};

/// Events of a stream that are read at once.
const PAGE: i64 = 1000;

/// Looks records up.
pub(crate) trait Eyes {
    /// The record as rules see it; `None` when there is none, or none that rules see.
    fn see(&mut self, subject: &Subject) -> impl Future<Output = Result<Option<Arc<Value>>, Refused>> + Send;

    /// What the list of its kind tells of it.
    fn row(&mut self, subject: &Subject) -> impl Future<Output = Result<Option<Arc<Value>>, Refused>> + Send;

    /// The same of a record that one refers to, which may have been entered after that one.
    fn called(&mut self, subject: &Subject) -> impl Future<Output = Result<Option<Arc<Value>>, Refused>> + Send {
        self.row(subject)
    }

    /// The record that it is merged into.
    fn merged_into(&mut self, subject: &Subject) -> impl Future<Output = Result<Option<Id>, Refused>> + Send;
}

/// The record that goes on for another, through chains: itself, unless it is merged.
pub(crate) async fn survivor(eyes: &mut impl Eyes, subject: &Subject) -> Result<Subject, Refused> {
    if !merging::KINDS.contains(&&*subject.kind) {
        return Ok(subject.clone());
    }
    let mut chain = vec![subject.id];
    while let Some(last) = chain.last().copied() {
        match eyes.merged_into(&Subject::new(&subject.kind, last)).await?.filter(|next| !chain.contains(next)) {
            Some(next) => chain.push(next),
            None => return Ok(Subject::new(&subject.kind, last)),
        }
    }
    Ok(subject.clone())
}

/// The records that go on for these.
pub(crate) async fn survivors(eyes: &mut impl Eyes, subjects: &[Subject]) -> Result<Vec<Subject>, Refused> {
    let mut survivors = Vec::new();
    for subject in subjects {
        survivors.push(survivor(eyes, subject).await?);
    }
    Ok(survivors)
}

/// The record by which this one, and all that are merged into it, was known before this event merged it or took that back;
/// `None` of other events.
pub(crate) async fn known_before(eyes: &mut impl Eyes, event: &Recorded) -> Result<Option<Subject>, Refused> {
    #[derive(Deserialize)]
    struct Unmerged {
        from: Id,
    }
    let Some(subject) = subject(event).filter(|subject| merging::KINDS.contains(&&*subject.kind)) else {
        return Ok(None);
    };
    match event.kind.split_once('.') {
        Some((_, "merged")) => Ok(Some(subject)),
        Some((kind, "unmerged")) => {
            let Unmerged { from } = event.decode().map_err(|error| Refused::Broken(error.to_string()))?;
            Ok(Some(survivor(eyes, &Subject::new(kind, from)).await?))
        }
        _ => Ok(None),
    }
}

/// The same things to do, to the records that go on where merged ones are named.
pub(crate) async fn followed(eyes: &mut impl Eyes, mut preparation: Preparation) -> Result<Preparation, Refused> {
    for action in &mut preparation.actions {
        let Some(kind) = catalogue::kind(&action.kind) else { continue };
        // The merge itself is the merged one's own business.
        if kind.create != action.command && !["merge", "unmerge"].contains(&&*action.command) {
            action.id = survivor(eyes, &Subject::new(&action.kind, action.id)).await?.id;
        }
        for (place, subject) in reference::subjects_in(kind, &action.command, &action.body) {
            let next = survivor(eyes, &subject).await?;
            if let Some(id) = action.body.0.pointer_mut(&place).filter(|_| next != subject) {
                *id = json!(next.id);
            }
        }
    }
    Ok(preparation)
}

/// Sets the scene of an event for these rules, with as much of the records as they ask for.
pub(crate) async fn scene(eyes: &mut impl Eyes, trigger: &Trigger, rules: &[&Compiled]) -> Result<Scene, Refused> {
    let asks = rules.iter().map(|rule| rule.asks()).max().unwrap_or_default();
    let own = eyes.see(&trigger.subject).await?;
    let mut records = Vec::new();
    let mut merged = Vec::new();
    for subject in concerned(&trigger.subject, &trigger.data, own.as_deref()) {
        // What happened, happened to this record. Others are those that go on for them.
        let seen = if subject == trigger.subject { subject.clone() } else { survivor(eyes, &subject).await? };
        if seen != subject {
            merged.push((subject, seen.id));
        }
        if let Some(document) = eyes.see(&seen).await? {
            let row = match asks {
                Asks::Documents => None,
                Asks::Rows => eyes.row(&seen).await?,
                Asks::Names => match eyes.row(&seen).await? {
                    Some(row) => Some(named(eyes, &seen, row).await?),
                    None => None,
                },
            };
            records.push((seen, Sight { document, row }));
        }
    }
    let scene = Scene::new(trigger, records).following(&merged);
    let mut survivors = Vec::new();
    for subject in rules.iter().flat_map(|rule| rule.named_in(&scene)).collect::<BTreeSet<_>>() {
        let next = survivor(eyes, &subject).await?;
        survivors.extend((next != subject).then_some((subject.id, next.id)));
    }
    Ok(scene.knowing(survivors))
}

/// The row of a record with what the records are called that it refers to.
async fn named(eyes: &mut impl Eyes, of: &Subject, mut row: Arc<Value>) -> Result<Arc<Value>, Refused> {
    for name in listed::names(&of.kind) {
        let kind = name.kinds.iter().find(|kind| name.by.is_none_or(|by| row[by] == **kind));
        let Some(kind) = kind else { continue };
        let ids = &row[name.column];
        let ids: Vec<Id> = ids
            .as_array()
            .map_or_else(|| std::slice::from_ref(ids), Vec::as_slice)
            .iter()
            .filter_map(|id| id.as_str()?.parse().ok())
            .collect();
        let mut names = Vec::new();
        for id in ids {
            let other = survivor(eyes, &Subject::new(kind, id)).await?;
            names.extend(eyes.called(&other).await?.map(|other| other["name"].clone()));
        }
        let value = if name.kind.is_set() { Value::Array(names) } else { names.pop().unwrap_or_default() };
        Arc::make_mut(&mut row)[name.field] = value;
    }
    Ok(row)
}

/// The event as rules see it; `None` when it is no record's.
pub(crate) fn trigger(event: &Recorded, metadata: &Metadata) -> Option<Trigger> {
    Some(Trigger {
        event_id: event.id.to_string(),
        position: u64::try_from(event.position).ok()?,
        event_type: event.kind.to_string(),
        subject: subject(event)?,
        occurred_at: event.occurred_at,
        actor: metadata.actor.clone(),
        via: metadata.via,
        data: serde_json::from_slice(&event.data).ok()?,
    })
}

/// The record that an event happened to.
pub(crate) fn subject(event: &Recorded) -> Option<Subject> {
    Some(Subject::new(event.category(), event.key().parse().ok()?))
}

/// Who and why; `None` when the event is none of Deskfold's own.
pub(crate) fn metadata(event: &Recorded) -> Option<Metadata> {
    serde_json::from_slice(&event.metadata).ok()
}

/// The event as the cause of what follows from it, `further` rules deeper.
pub(crate) fn cause(event: &Recorded, metadata: &Metadata, further: u32) -> Cause {
    let cause = Cause::told(event, metadata);
    Cause { depth: cause.depth.saturating_add(further), ..cause }
}

/// Records as they are now.
pub(crate) struct Now<'a> {
    pub(crate) commands: &'a Commands,
    pub(crate) tenant: Id,
}

impl Eyes for Now<'_> {
    async fn see(&mut self, subject: &Subject) -> Result<Option<Arc<Value>>, Refused> {
        let Some(kind) = visible(subject) else { return Ok(None) };
        let state = self.commands.state(&kind.need(subject.id), self.tenant).await?;
        Ok(kind.see(&state).map(Arc::new))
    }

    async fn row(&mut self, subject: &Subject) -> Result<Option<Arc<Value>>, Refused> {
        let (tenant, stream) = (self.tenant.to_string(), format!("{}-{}", subject.kind, subject.id));
        let events = read(self.commands.log(), &tenant, &stream, i64::MAX).await?;
        let lists = self.commands.lists();
        let row = lists.fold(&subject.kind, subject.id, None, &events).map_err(Refused::Broken)?;
        Ok(row.and_then(|row| lists.show(&subject.kind, subject.id, &row)))
    }

    async fn merged_into(&mut self, subject: &Subject) -> Result<Option<Id>, Refused> {
        let Some(kind) = visible(subject) else { return Ok(None) };
        let state = self.commands.state(&kind.need(subject.id), self.tenant).await?;
        Ok(kind.merged_into(&state))
    }
}

/// The events of a stream up to a position.
async fn read(log: &Log, tenant: &str, stream: &str, until: i64) -> Result<Vec<Recorded>, Refused> {
    let mut events = Vec::new();
    loop {
        let from = events.last().map_or(0, |last: &Recorded| last.version + 1);
        let page = log.read_stream(tenant, stream, from, Direction::Forward, PAGE).await;
        let page = page?;
        let full = page.len() as i64 == PAGE;
        let beyond = page.last().is_some_and(|last| last.position > until);
        events.extend(page.into_iter().filter(|event| event.position <= until));
        if !full || beyond {
            return Ok(events);
        }
    }
}

/// The kind of a record that rules see.
fn visible(subject: &Subject) -> Option<&'static Kind> {
    catalogue::kind(&subject.kind).filter(|kind| kind.document.is_some())
}

/// Records as they were at a position of the log, which moves forward event by event.
pub(crate) struct World {
    log: Log,
    lists: Lists,
    /// Whether new records are remembered with what lists tell of them.
    rows: bool,
    records: Cache<Key, Seen>,
}

/// Tenant and stream.
type Key = (Arc<str>, Arc<str>);

#[derive(Clone)]
struct Seen {
    kind: &'static Kind,
    fold: Fold,
    /// The version of its stream, -1 when it has no event.
    version: i64,
    state: AnyState,
    /// What rules see of that state, once somebody has looked.
    document: Option<Option<Arc<Value>>>,
    /// Its row in the list of its kind, once somebody has looked.
    row: Option<ListRow>,
}

impl World {
    /// With room for this many records; others are read again from the log.
    pub(crate) fn new(commands: &Commands, most: usize) -> World {
        let (log, lists) = (commands.log().clone(), commands.lists().clone());
        World { log, lists, rows: false, records: Cache::new(most) }
    }

    /// The same for whoever is going to ask for rows of most records.
    pub(crate) fn with_rows(self, rows: bool) -> World {
        World { rows, ..self }
    }

    /// Forgets everything: it may be at another position from now on.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }

    /// Moves on by an event. New records are remembered if told to; others as long as they are known.
    pub(crate) fn take_in(&mut self, event: &Recorded, remember: bool) {
        let key = (Arc::clone(&event.tenant), Arc::clone(&event.stream));
        let Some(seen) = self.records.get(&key) else {
            if remember && event.version == 0 {
                self.begin(key, event);
            }
            return;
        };
        if seen.version >= event.version {
            return;
        }
        let folded =
            (seen.fold)(Some(seen.state.clone()), &mut std::iter::once((&*event.kind, &*event.data, &*event.metadata)));
        match folded {
            Ok(state) if seen.version + 1 == event.version => {
                let row = match (&seen.row, subject(event)) {
                    // What cannot be folded is read anew by whoever looks, who learns why.
                    (Some(row), Some(of)) => {
                        self.lists.fold(&of.kind, of.id, Some(Arc::clone(row)), [event]).ok().flatten()
                    }
                    _ => None,
                };
                let seen = Seen { version: event.version, state, document: None, row, ..seen.clone() };
                self.records.insert(key, seen);
            }
            // Whoever looks reads it anew, and learns what is wrong with it.
            _ => drop(self.records.remove(&key)),
        }
    }

    fn begin(&mut self, key: Key, event: &Recorded) {
        let Some((subject, kind)) = subject(event).and_then(|subject| Some((subject.clone(), visible(&subject)?)))
        else {
            return;
        };
        let fold = kind.need(subject.id).fold;
        if let Ok(state) = fold(None, &mut std::iter::once((&*event.kind, &*event.data, &*event.metadata))) {
            let row = self.rows.then(|| self.lists.fold(kind.name, subject.id, None, [event]).ok().flatten()).flatten();
            self.records.insert(key, Seen { kind, fold, version: 0, state, document: None, row });
        }
    }

    /// The records of a tenant at this position, up to which every event must have been taken in.
    pub(crate) fn at<'a>(&'a mut self, tenant: &'a Arc<str>, position: i64) -> At<'a> {
        At { world: self, tenant, position }
    }

    async fn read(&self, key: &Key, subject: &Subject, kind: &'static Kind, until: i64) -> Result<Seen, Refused> {
        let fold = kind.need(subject.id).fold;
        let unreadable =
            |error: domain::kernel::named::Undecodable| Refused::Broken(format!("{} does not decode: {error}", key.1));
        let mut state = fold(None, &mut std::iter::empty()).map_err(unreadable)?;
        let mut version = -1;
        loop {
            let page = self.log.read_stream(&key.0, &key.1, version + 1, Direction::Forward, PAGE).await;
            let page = page?;
            let full = page.len() as i64 == PAGE;
            let past: Vec<&Recorded> = page.iter().take_while(|event| event.position <= until).collect();
            if let Some(last) = past.last() {
                state = fold(Some(state), &mut past.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata)))
                    .map_err(unreadable)?;
                version = last.version;
            }
            if !full || past.len() < page.len() {
                return Ok(Seen { kind, fold, version, state, document: None, row: None });
            }
        }
    }
}

/// The records of a tenant at a position.
pub(crate) struct At<'a> {
    world: &'a mut World,
    tenant: &'a Arc<str>,
    position: i64,
}

impl Eyes for At<'_> {
    async fn see(&mut self, subject: &Subject) -> Result<Option<Arc<Value>>, Refused> {
        let Some((key, mut seen)) = self.look(subject).await? else { return Ok(None) };
        if let Some(document) = &seen.document {
            return Ok(document.clone());
        }
        let document = if seen.version < 0 { None } else { seen.kind.see(&seen.state).map(Arc::new) };
        seen.document = Some(document.clone());
        self.world.records.insert(key, seen);
        Ok(document)
    }

    async fn row(&mut self, subject: &Subject) -> Result<Option<Arc<Value>>, Refused> {
        let key = (Arc::clone(self.tenant), Arc::<str>::from(format!("{}-{}", subject.kind, subject.id)));
        let known = self.world.records.get(&key).and_then(|seen| seen.row.clone());
        let row = match known {
            Some(row) => Some(row),
            None => {
                let events = read(&self.world.log, &key.0, &key.1, self.position).await?;
                let row = self.world.lists.fold(&subject.kind, subject.id, None, &events).map_err(Refused::Broken)?;
                if let (Some(mut seen), Some(row)) = (self.world.records.get_mut(&key), &row) {
                    seen.row = Some(Arc::clone(row));
                }
                row
            }
        };
        Ok(row.and_then(|row| self.world.lists.show(&subject.kind, subject.id, &row)))
    }

    async fn called(&mut self, subject: &Subject) -> Result<Option<Arc<Value>>, Refused> {
        if let Some(row) = self.row(subject).await? {
            return Ok(Some(row));
        }
        let stream = format!("{}-{}", subject.kind, subject.id);
        let first = self.world.log.read_stream(self.tenant, &stream, 0, Direction::Forward, 1).await;
        let first = first?;
        let row = self.world.lists.fold(&subject.kind, subject.id, None, &first).map_err(Refused::Broken)?;
        Ok(row.and_then(|row| self.world.lists.show(&subject.kind, subject.id, &row)))
    }

    async fn merged_into(&mut self, subject: &Subject) -> Result<Option<Id>, Refused> {
        let Some((key, seen)) = self.look(subject).await? else { return Ok(None) };
        let into = seen.kind.merged_into(&seen.state);
        self.world.records.insert(key, seen);
        Ok(into)
    }
}

impl At<'_> {
    /// A record that rules see, remembered or read.
    async fn look(&mut self, subject: &Subject) -> Result<Option<(Key, Seen)>, Refused> {
        let Some(kind) = visible(subject) else { return Ok(None) };
        let key = (Arc::clone(self.tenant), format!("{}-{}", subject.kind, subject.id).into());
        let seen = match self.world.records.get(&key) {
            Some(seen) => seen.clone(),
            None => self.world.read(&key, subject, kind, self.position).await?,
        };
        Ok(Some((key, seen)))
    }
}
