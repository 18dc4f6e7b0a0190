//! Who may see and change what, asked before anything is decided: relations and teams are facts from the log, guarded as
//! others are.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use domain::{
    ActorKind, Aggregate, Authority, Ctx, Id, Need,
    catalogue::{self, Kind},
    chat::channel::Channel,
    kernel::{
        access::{Access, Reach, Reason, Teams, Verdict, Viewer, Wanted},
        aggregate::AnyState,
        any::AnyCommand,
        named::Undecodable,
        reference::{Mentions, Subject},
    },
    org::{authority::DENIED, role::Role, team::Team, user::User},
};
use eventstore::{Query, Recorded};

use crate::{Commands, Envelope, Refused, cache::Known, dispatch::World};

/// Events of teams and channels that are read at once.
const PAGE: i64 = 1000;

/// What a record is to somebody who may not see it, or to nobody.
fn unknown() -> Arc<Access> {
    Arc::default()
}

/// Takes in that somebody joined or left a team or channel.
fn move_in_or_out(teams: &mut Teams, id: Id, event: &Recorded) -> Result<(), Undecodable> {
    use domain::{
        chat::channel::Event::{OperatorAdded, OperatorRemoved},
        org::team::Event::{MemberAdded, MemberRemoved},
    };
    if event.category() == Channel::KIND {
        let operators = teams.operators.entry(id).or_default();
        match Channel::decode(&event.kind, &event.data)? {
            OperatorAdded { user } => drop(operators.insert(user)),
            OperatorRemoved { user } => drop(operators.remove(&user)),
            _ => {}
        }
        return Ok(());
    }
    let members = teams.members.entry(id).or_default();
    match Team::decode(&event.kind, &event.data)? {
        MemberAdded { user } => drop(members.insert(user)),
        MemberRemoved { user } => drop(members.remove(&user)),
        _ => {}
    }
    Ok(())
}

impl Commands {
    /// Who is in which team and answers in which channel, as the log has it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn teams(&self, tenant: Id) -> Result<Arc<Teams>, Refused> {
        let head = *self.log().tail().watch().borrow();
        let known = self.memberships.lock().get(&tenant).cloned();
        let (position, teams) = known.unwrap_or_default();
        if position > 0 && position >= head {
            return Ok(teams);
        }
        let mut query = Query {
            tenant: Some(tenant.to_string()),
            after: Some(position),
            limit: PAGE,
            categories: [Team::KIND, Channel::KIND].map(ToOwned::to_owned).to_vec(),
            types: ["team.member_added", "team.member_removed", "channel.operator_added", "channel.operator_removed"]
                .map(ToOwned::to_owned)
                .to_vec(),
            ..Query::default()
        };
        let (mut last, mut teams) = (position.max(head), teams);
        loop {
            let page = self.log().read_all(&query).await?;
            for event in &page {
                let Ok(id) = event.key().parse() else { continue };
                move_in_or_out(Arc::make_mut(&mut teams), id, event)
                    .map_err(|error| Refused::Broken(format!("{} does not decode: {error}", event.stream)))?;
                last = last.max(event.position);
            }
            query.after = page.last().map(|event| event.position);
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        let mut memberships = self.memberships.lock();
        let kept = memberships.entry(tenant).or_default();
        if kept.0 < last {
            *kept = (last, Arc::clone(&teams));
        }
        Ok(teams)
    }

    /// By what somebody may with a permission that reaches so far, as the log has it; `None` when not at all.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn judge(
        &self,
        tenant: Id,
        viewer: &Viewer<'_>,
        record: &Subject,
        reach: Option<Reach>,
        wanted: Wanted,
    ) -> Result<Option<Reason>, Refused> {
        let mut known: HashMap<Subject, Arc<Access>> = HashMap::new();
        loop {
            match viewer.judge(record, reach, wanted, &|subject| known.get(subject).cloned()) {
                Verdict::Yes(reason) => return Ok(Some(reason)),
                Verdict::No => return Ok(None),
                Verdict::Needs(subjects) => {
                    for subject in subjects {
                        let access = self.access(tenant, &subject).await?;
                        known.insert(subject, access);
                    }
                }
            }
        }
    }

    /// Whether a colleague sees a record, as the log has it: nobody does who is shut out.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn user_sees(&self, tenant: Id, user: Id, record: &Subject) -> Result<bool, Refused> {
        let (known, _) = self.load_current::<User>(tenant, user).await?;
        if !known.is_active() {
            return Ok(false);
        }
        let mut roles = Vec::with_capacity(known.roles.len());
        for role in &known.roles {
            roles.push(self.load_current::<Role>(tenant, *role).await?.0);
        }
        let authority = Authority::new(roles);
        let teams = self.teams(tenant).await?;
        let viewer = Viewer { user, authority: &authority, teams: &teams };
        let reach = authority.reach(&format!("{}.read", record.kind));
        Ok(self.judge(tenant, &viewer, record, reach, Wanted::See).await?.is_some())
    }

    /// What a record is called, where its kind says so.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn called(&self, tenant: Id, record: &Subject) -> Result<Option<String>, Refused> {
        let Some(kind) = catalogue::kind(&record.kind) else { return Ok(None) };
        let state = self.state(&kind.need(record.id), tenant).await?;
        let seen = kind.see(&state);
        let named = |name: &str| seen.as_ref().and_then(|seen| seen[name].as_str()).map(ToOwned::to_owned);
        Ok(named("title").or_else(|| named("name")).filter(|name| !name.trim().is_empty()))
    }

    /// The record of a stream, if whoever asks may be told of it.
    pub(crate) async fn told_of(&self, envelope: &Envelope, stream: &str) -> Result<Option<Subject>, Refused> {
        let named = stream.split_once('-').and_then(|(kind, id)| Some(Subject::new(kind, id.parse().ok()?)));
        if !is_walled(envelope) {
            return Ok(named);
        }
        let Some(record) = named else { return Ok(None) };
        let teams = self.teams(envelope.tenant).await?;
        let viewer = Viewer { user: envelope.actor.principal(), authority: &envelope.authority, teams: &teams };
        let reach = envelope.authority.reach(&format!("{}.read", record.kind));
        let seen = self.judge(envelope.tenant, &viewer, &record, reach, Wanted::See).await?;
        Ok(seen.map(|_| record))
    }

    /// Who stands in what relation to a record, as the log has it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn access(&self, tenant: Id, record: &Subject) -> Result<Arc<Access>, Refused> {
        let Some(kind) = catalogue::kind(&record.kind) else { return Ok(unknown()) };
        Ok(Arc::clone(self.state(&kind.need(record.id), tenant).await?.access()))
    }
}

/// The refusal of what would change a record out of reach, through one that was merged into it.
fn not_reached(kind: &Kind) -> Refused {
    DENIED.because(format!("What goes on for this merged {} is not reached.", kind.name.replace('_', " "))).into()
}

/// Whether there is anything to ask: whoever may do all that he may to everything is not asked, nor is Deskfold itself.
fn is_walled(envelope: &Envelope) -> bool {
    envelope.actor.kind != ActorKind::System && envelope.authority.is_walled()
}

impl World<'_> {
    /// The record as whoever asks may know it: nothing where he may not see it.
    ///
    /// # Errors
    /// When he sees it and may not do this.
    pub(crate) async fn admit(
        &mut self,
        envelope: &Envelope,
        kind: &Kind,
        known: Known,
        commands: &[AnyCommand],
    ) -> Result<Known, Refused> {
        if known.version < 0 || !is_walled(envelope) {
            return Ok(known);
        }
        let record = Subject::new(kind.name, envelope.id);
        let own = Arc::clone(known.state.access());
        // A rule sees nothing of its own; what somebody sees nothing of he may know from elsewhere.
        let seen = envelope.authority.reach(&format!("{}.read", kind.name));
        let looks = envelope.actor.kind != ActorKind::Rule && seen.is_some();
        let names: Vec<String> = commands.iter().map(|command| command.encode().0).collect();
        // What is begun is nobody's yet.
        let asked: Vec<&String> = names.iter().filter(|name| *name != kind.create).collect();
        if looks && !asked.is_empty() && self.judge(envelope, &record, &own, seen, Wanted::See).await?.is_none() {
            return Ok(Known::nothing(known.fold));
        }
        // What was merged is changed where it goes on; who else may have it is its own affair.
        let changes = |name: &str| Wanted::of(name) == Wanted::Change;
        let merged = kind.merged_into(&known.state).filter(|_| looks && asked.iter().any(|name| changes(name)));
        let last = match merged {
            Some(into) => {
                let last = Subject::new(kind.name, self.survivor(kind, into).await?);
                let access = self.access(kind, last.id);
                if self.judge(envelope, &last, &access, seen, Wanted::See).await?.is_none() {
                    return Err(not_reached(kind));
                }
                Some((last, access))
            }
            None => None,
        };
        for name in asked {
            let permission = format!("{}.{name}", kind.name);
            let reach = envelope.authority.reach(&permission);
            // Whoever is let in by another permission is judged by that.
            if reach.is_none_or(|reach| reach == Reach::All) {
                continue;
            }
            if envelope.actor.kind == ActorKind::Rule {
                let detail =
                    format!("A rule acts on everything or on nothing: this needs {permission} without a scope.");
                return Err(DENIED.because(detail).into());
            }
            if let Some((last, access)) = last.as_ref().filter(|_| changes(name))
                && self.judge(envelope, last, access, reach, Wanted::Change).await?.is_none()
            {
                return Err(not_reached(kind));
            }
            if self.judge(envelope, &record, &own, reach, Wanted::of(name)).await?.is_some() {
                continue;
            }
            if !looks {
                return Ok(Known::nothing(known.fold));
            }
            let detail = format!("This needs the permission {permission}, which does not reach this record.");
            return Err(DENIED.because(detail).into());
        }
        Ok(known)
    }

    /// The records that a command names and that whoever asks may not see: whatever is decided from here on knows nothing of
    /// them, so that no answer tells them from what does not exist. What he may see none of he does not ask about: programs
    /// that only write name what they were told.
    pub(crate) async fn hidden(
        &mut self,
        envelope: &Envelope,
        id: Id,
        mentions: &Mentions,
        state: &AnyState,
    ) -> Result<BTreeSet<Subject>, Refused> {
        let mut hidden = BTreeSet::new();
        if !is_walled(envelope) || envelope.actor.kind == ActorKind::Rule {
            return Ok(hidden);
        }
        let subjects = loop {
            let ctx = Ctx { id, ..envelope.ctx(envelope.now, "", &self.facts) };
            match mentions.subjects(state, &ctx) {
                Ok(subjects) => break subjects,
                Err(need) => self.load(vec![need]).await?,
            }
        };
        for subject in subjects {
            let reach = envelope.authority.reach(&format!("{}.read", subject.kind));
            if reach.is_none_or(|reach| reach == Reach::All) {
                continue;
            }
            let Some(kind) = catalogue::kind(&subject.kind) else { continue };
            self.load(vec![kind.need(subject.id)]).await?;
            // Itself, and what is taken for it should it be merged.
            for id in [subject.id, self.survivor(kind, subject.id).await?] {
                let access = self.access(kind, id);
                let record = Subject::new(kind.name, id);
                if self.judge(envelope, &record, &access, reach, Wanted::See).await?.is_none() {
                    self.facts.insert(kind.name, subject.id, Known::nothing(kind.need(subject.id).fold).state);
                    hidden.insert(subject);
                    break;
                }
            }
        }
        Ok(hidden)
    }

    /// Who stands in what relation to a record, as far as it is loaded.
    fn access(&self, kind: &Kind, id: Id) -> Arc<Access> {
        self.facts.any(kind.name, id).map_or_else(unknown, |state| Arc::clone(state.access()))
    }

    /// By what whoever asks may. What that depends on must not change until the events are appended.
    async fn judge(
        &mut self,
        envelope: &Envelope,
        record: &Subject,
        own: &Arc<Access>,
        reach: Option<Reach>,
        wanted: Wanted,
    ) -> Result<Option<Reason>, Refused> {
        let mut teams = self.commands.teams(self.tenant).await?;
        loop {
            let viewer = Viewer { user: envelope.actor.principal(), authority: &envelope.authority, teams: &teams };
            let known = |subject: &Subject| {
                if subject == record {
                    return Some(Arc::clone(own));
                }
                let Some(kind) = catalogue::kind(&subject.kind) else { return Some(unknown()) };
                self.facts.any(kind.name, subject.id).map(|state| Arc::clone(state.access()))
            };
            let needs = match viewer.judge(record, reach, wanted, &known) {
                Verdict::No => return Ok(None),
                Verdict::Yes(reason) => {
                    let relied = reason.groups(&viewer).into_iter().map(|group| match group.kind.as_str() {
                        Channel::KIND => Need::guarded::<Channel>(group.id),
                        _ => Need::guarded::<Team>(group.id),
                    });
                    let missing: Vec<Need> = relied.filter(|need| !self.facts.has(need.kind, need.id)).collect();
                    if missing.is_empty() {
                        return Ok(Some(reason));
                    }
                    missing
                }
                Verdict::Needs(subjects) => {
                    let need = |subject: Subject| catalogue::kind(&subject.kind).map(|kind| kind.need(subject.id));
                    let needs = subjects.into_iter().filter_map(need);
                    needs.map(|need| Need { guarded: true, ..need }).collect::<Vec<_>>()
                }
            };
            let loaded: Vec<_> = needs.iter().map(|need| (need.kind, need.id)).collect();
            self.load(needs).await?;
            // Who is in a team or channel is what its own stream says, which is guarded.
            for (kind, id) in loaded {
                if let Some(state) = self.facts.state::<Team>(kind, id) {
                    Arc::make_mut(&mut teams).members.insert(id, state.members.clone());
                } else if let Some(state) = self.facts.state::<Channel>(kind, id) {
                    Arc::make_mut(&mut teams).operators.insert(id, state.operators.clone());
                }
            }
        }
    }
}
