//! What rules see: an event and the records that it concerns, as they were at a position of the log or as they are now.

use std::sync::Arc;

use domain::{
    Id, Metadata,
    automation::{Scene, Trigger, concerned},
    catalogue::{self, Kind},
    kernel::{AnyState, Fold},
    reference::Subject,
};
use eventstore::{Direction, Log, Recorded};
use quick_cache::unsync::Cache;
use serde_json::Value;
use uuid::Uuid;

use crate::{Cause, Commands, Refused};

/// Events of a stream that are read at once.
const PAGE: i64 = 1000;

/// Looks records up.
pub(crate) trait Eyes {
    /// The record as rules see it; `None` when there is none, or none that rules see.
    fn see(&mut self, subject: &Subject) -> impl Future<Output = Result<Option<Arc<Value>>, Refused>> + Send;
}

/// Sets the scene of an event.
pub(crate) async fn scene(eyes: &mut impl Eyes, trigger: &Trigger) -> Result<Scene, Refused> {
    let own = eyes.see(&trigger.subject).await?;
    let mut records = Vec::new();
    for subject in concerned(&trigger.subject, &trigger.data, own.as_deref()) {
        if let Some(record) = eyes.see(&subject).await? {
            records.push((subject, record));
        }
    }
    Ok(Scene::new(trigger, records))
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
    let correlation = Uuid::parse_str(&metadata.correlation_id).unwrap_or(event.id);
    Cause { event: event.id, position: event.position, correlation, depth: metadata.depth.saturating_add(further) }
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
}

/// The kind of a record that rules see.
fn visible(subject: &Subject) -> Option<&'static Kind> {
    catalogue::kind(&subject.kind).filter(|kind| kind.document.is_some())
}

/// Records as they were at a position of the log, which moves forward event by event.
pub(crate) struct World {
    log: Log,
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
}

impl World {
    /// With room for this many records; others are read again from the log.
    pub(crate) fn new(log: &Log, most: usize) -> World {
        World { log: log.clone(), records: Cache::new(most) }
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
            (seen.fold)(Some(&seen.state), &mut std::iter::once((&*event.kind, &*event.data, &*event.metadata)));
        match folded {
            Ok(state) if seen.version + 1 == event.version => {
                let seen = Seen { version: event.version, state, document: None, ..seen.clone() };
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
            self.records.insert(key, Seen { kind, fold, version: 0, state, document: None });
        }
    }

    /// The records of a tenant at this position, up to which every event must have been taken in.
    pub(crate) fn at<'a>(&'a mut self, tenant: &'a Arc<str>, position: i64) -> At<'a> {
        At { world: self, tenant, position }
    }

    async fn read(&self, key: &Key, subject: &Subject, kind: &'static Kind, until: i64) -> Result<Seen, Refused> {
        let fold = kind.need(subject.id).fold;
        let unreadable =
            |error: domain::named::Undecodable| Refused::Broken(format!("{} does not decode: {error}", key.1));
        let mut state = fold(None, &mut std::iter::empty()).map_err(unreadable)?;
        let mut version = -1;
        loop {
            let page = self.log.read_stream(&key.0, &key.1, version + 1, Direction::Forward, PAGE).await;
            let page = page.map_err(|error| Refused::Unavailable(error.to_string()))?;
            let full = page.len() as i64 == PAGE;
            let past: Vec<&Recorded> = page.iter().take_while(|event| event.position <= until).collect();
            if let Some(last) = past.last() {
                state =
                    fold(Some(&state), &mut past.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata)))
                        .map_err(unreadable)?;
                version = last.version;
            }
            if !full || past.len() < page.len() {
                return Ok(Seen { kind, fold, version, state, document: None });
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
        let Some(kind) = visible(subject) else { return Ok(None) };
        let key = (Arc::clone(self.tenant), format!("{}-{}", subject.kind, subject.id).into());
        let mut seen = match self.world.records.get(&key) {
            Some(Seen { document: Some(document), .. }) => return Ok(document.clone()),
            Some(seen) => seen.clone(),
            None => self.world.read(&key, subject, kind, self.position).await?,
        };
        let document = if seen.version < 0 { None } else { seen.kind.see(&seen.state).map(Arc::new) };
        seen.document = Some(document.clone());
        self.world.records.insert(key, seen);
        Ok(document)
    }
}
