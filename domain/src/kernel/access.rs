//! Who stands in what relation to a record, and whether that lets somebody see or change it.
//!
//! An aggregate says of each event what relations follow from it ([`Aggregate::relates`](crate::Aggregate::relates)); [`Access`] takes them in.
//! The same fold serves commands, which keep it beside the state, and the read model `record_access`. [`Viewer::judge`]
//! is the one place that decides; the predicate that lists use says the same in SQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, ActorKind, Authority, Id, Metadata, Via, catalogue,
    kernel::{record::Level, reference::Subject},
};

/// Commands that say who else may have a record: no share suffices for them.
pub const HANDING: &[&str] = &["share", "unshare", "change_owner"];
/// Events besides the first of a record from which something follows for who stands in what relation to it, of whatever kind:
/// [`tells`].
pub const TELLING: &[&str] = &[
    "absorbed",
    "amended",
    "answered",
    "assigned",
    "attached",
    "carried",
    "contact_linked",
    "contact_unlinked",
    "created",
    "detached",
    "drafted",
    "granted",
    "issued",
    "logged",
    "added",
    "matched",
    "merged",
    "opened",
    "owner_changed",
    "placed",
    "queued",
    "raised",
    "received",
    "requested",
    "requester_changed",
    "sent",
    "shared",
    "skipped",
    "started",
    "subscribed",
    "taken",
    "team_changed",
    "transferred",
    "unassigned",
    "unmerged",
    "unshared",
];
/// Whether something follows from an event, of a kind and a name such as `shared`, for who stands in what relation to its
/// record.
pub fn tells(kind: &str, event: &str) -> bool {
    TELLING.contains(&event) || (event == "details_changed" && catalogue::kind(kind).is_some_and(|kind| kind.private))
}

/// With whom a record is shared that is everybody's to see, of a kind whose records may be one user's alone.
pub const EVERYBODY: Id = Id::NIL;
/// Kinds whose records are about those of other kinds. Others are at most about what they became a part of.
pub const FOLLOWING: &[&str] = &[
    "activity",
    "call",
    "comment",
    "delivery",
    "email",
    "entitlement",
    "form_submission",
    "offer",
    "order",
    "relation",
    "rule_run",
    "system_notice",
    "upload",
];
/// Of how many records of one kind it is remembered that another is about them, where they are told one by one: the last ones.
const MOST_ABOUT: usize = 200;
/// How many steps there may be from a remark to the record that it is about in the end.
pub const STEPS: usize = 3;

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// What is one's own: owned by, assigned to or asked for by oneself, begun by oneself until somebody else owns it, or
    /// shared with oneself or a team of one's own.
    Own,
    /// That, and what belongs to a team of one's own or to somebody in it.
    Team,
    /// Everything.
    All,
}

/// What follows from an event for who stands in what relation to its record.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// This user owns it, or nobody.
    Owner(Option<Id>),
    /// It is assigned to this user, or to nobody.
    Assignee(Option<Id>),
    /// This user or contact asks for it, or nobody.
    Requester(Option<Id>),
    /// This team handles it, or none.
    Team(Option<Id>),
    /// It is shared with this user or team, or with all who answer in this channel.
    Shared(Id, Level),
    /// It is no longer.
    Unshared(Id),
    /// By this attribute it is about these records, and no others.
    About(&'static str, Vec<Subject>),
    /// It is about this record too.
    AlsoAbout(Subject),
    /// It is about this record no longer.
    NoLongerAbout(Subject),
}

/// Who stands in what relation to a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Whether the record exists.
    pub begun: bool,
    /// The user who began it, as long as nobody else has come to own it.
    pub creator: Option<Id>,
    /// The user who owns it.
    pub owner: Option<Id>,
    /// The user whom it is assigned to.
    pub assignee: Option<Id>,
    /// The user or contact who asks for it.
    pub requester: Option<Id>,
    /// The team that handles it.
    pub team: Option<Id>,
    /// The users, teams and channels with whom it is shared, and how far.
    pub shared: BTreeMap<Id, Level>,
    /// The records that it is about, by attribute: who sees one of them sees it. One that everybody sees counts only where
    /// all of them are such.
    pub about: BTreeMap<String, Vec<Subject>>,
}

/// How somebody holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Owns it.
    Owner,
    /// Is assigned to it.
    Assignee,
    /// Asks for it.
    Requester,
    /// Began it.
    Creator,
    /// It is about oneself.
    Oneself,
}

impl Access {
    /// Takes in what happened to the record, and who did it.
    pub fn happened(&mut self, relations: Vec<Relation>, actor: &Actor, via: Via) {
        if !std::mem::replace(&mut self.begun, true) && actor.kind == ActorKind::User && via != Via::Import {
            self.creator = Some(actor.principal());
        }
        relations.into_iter().for_each(|relation| self.take(relation));
    }

    /// The same of a stored event: who did it matters for the first one alone.
    pub fn told(&mut self, relations: Vec<Relation>, metadata: &[u8]) {
        if self.begun {
            return relations.into_iter().for_each(|relation| self.take(relation));
        }
        match serde_json::from_slice::<Metadata>(metadata) {
            Ok(Metadata { actor, via, .. }) => self.happened(relations, &actor, via),
            Err(_) => self.happened(relations, &Actor::SYSTEM, Via::Api),
        }
    }

    fn take(&mut self, relation: Relation) {
        match relation {
            Relation::Owner(owner) => {
                self.owner = owner;
                if owner.is_some() && owner != self.creator {
                    self.creator = None;
                }
            }
            Relation::Assignee(assignee) => self.assignee = assignee,
            Relation::Requester(requester) => self.requester = requester,
            Relation::Team(team) => self.team = team,
            Relation::Shared(grantee, level) => drop(self.shared.insert(grantee, level)),
            Relation::Unshared(grantee) => drop(self.shared.remove(&grantee)),
            Relation::About(attribute, subjects) if subjects.is_empty() => drop(self.about.remove(attribute)),
            Relation::About(attribute, subjects) => drop(self.about.insert(attribute.to_owned(), subjects)),
            Relation::AlsoAbout(subject) => {
                let known = self.about.entry(subject.kind.clone()).or_default();
                if !known.contains(&subject) {
                    known.push(subject);
                }
                // A file that is sent to everybody is seen through what it is sent from.
                if known.len() > MOST_ABOUT {
                    known.remove(0);
                }
            }
            Relation::NoLongerAbout(subject) => {
                if let Some(known) = self.about.get_mut(&subject.kind) {
                    known.retain(|other| *other != subject);
                    if known.is_empty() {
                        self.about.remove(&subject.kind);
                    }
                }
            }
        }
    }

    /// Whoever holds it, and how; the first relation of each.
    pub fn holders(&self) -> BTreeMap<Id, Holds> {
        let relations = [
            (self.owner, Holds::Owner),
            (self.assignee, Holds::Assignee),
            (self.requester, Holds::Requester),
            (self.creator, Holds::Creator),
        ];
        let mut holders = BTreeMap::new();
        for (holder, how) in relations {
            if let Some(holder) = holder {
                holders.entry(holder).or_insert(how);
            }
        }
        holders
    }

    /// The records that it is about.
    pub fn subjects(&self) -> BTreeSet<&Subject> {
        self.about.values().flatten().collect()
    }
}

/// What somebody wants of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// To see it.
    See,
    /// To change it.
    Change,
    /// To say who else may have it.
    Hand,
}

impl Wanted {
    /// What a command wants of its record.
    pub fn of(command: &str) -> Wanted {
        if HANDING.contains(&command) { Wanted::Hand } else { Wanted::Change }
    }

    fn is_met_by(self, level: Level) -> bool {
        match self {
            Wanted::See => true,
            Wanted::Change => level >= Level::Write,
            Wanted::Hand => false,
        }
    }
}

/// By what somebody may see or change a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A role permits it for everything.
    Role,
    /// It is everybody's to see who may see any such record.
    Open,
    /// The relation to the record itself.
    Own {
        /// Which relation.
        relation: Holds,
    },
    /// A share.
    Share {
        /// The user or team that it is shared with.
        with: Id,
        /// How far.
        level: Level,
    },
    /// A team of one's own handles it.
    Team {
        /// The team.
        team: Id,
    },
    /// It belongs to somebody in a team of one's own.
    Colleague {
        /// The colleague.
        user: Id,
        /// How the colleague holds it.
        relation: Holds,
    },
    /// What it is about.
    About {
        /// That record.
        subject: Subject,
        /// By what one may see or change that.
        reason: Box<Reason>,
    },
}

impl Reason {
    /// The teams and channels that it depends on who is in them.
    pub fn groups(&self, viewer: &Viewer<'_>) -> Vec<Subject> {
        let team = |id: Id| Subject::new("team", id);
        match self {
            Reason::Share { with, .. } if viewer.answers_in(*with) => vec![Subject::new("channel", *with)],
            Reason::Share { with, .. } if viewer.is_in(*with) => vec![team(*with)],
            Reason::Team { team: id } => vec![team(*id)],
            Reason::Colleague { user, .. } => viewer.common(*user).into_iter().map(team).collect(),
            Reason::About { reason, .. } => reason.groups(viewer),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |relation: &Holds| match relation {
            Holds::Owner => "owned by",
            Holds::Assignee => "assigned to",
            Holds::Requester => "asked for by",
            Holds::Creator => "begun by",
            Holds::Oneself => "about",
        };
        match self {
            Reason::Role => f.write_str("the role reaches everything"),
            Reason::Open => f.write_str("it is everybody's to see who may see any such record"),
            Reason::Own { relation } => write!(f, "{} the user", held(relation)),
            Reason::Share { with, .. } => write!(f, "shared with {with}"),
            Reason::Team { team } => write!(f, "handled by team {team}"),
            Reason::Colleague { user, relation } => write!(f, "{} colleague {user}", held(relation)),
            Reason::About { subject, reason } => write!(f, "about {} {}, {reason}", subject.kind, subject.id),
        }
    }
}

/// What is said about whether somebody may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By this.
    Yes(Reason),
    /// Not.
    No,
    /// These records must be known first.
    Needs(BTreeSet<Subject>),
}

/// Who is in which team, and who answers in which channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Teams {
    /// The members of each team.
    pub members: BTreeMap<Id, BTreeSet<Id>>,
    /// The operators of each channel: what is shared with it is theirs to see. That makes them nobody's colleagues.
    pub operators: BTreeMap<Id, BTreeSet<Id>>,
}

/// Those groups that somebody is in.
fn groups_of(groups: &BTreeMap<Id, BTreeSet<Id>>, user: Id) -> impl Iterator<Item = Id> {
    groups.iter().filter(move |(_, inside)| inside.contains(&user)).map(|(group, _)| *group)
}

impl Teams {
    /// Teams with these members, and no channels.
    pub fn with(members: BTreeMap<Id, BTreeSet<Id>>) -> Teams {
        Teams { members, operators: BTreeMap::new() }
    }

    /// The teams that a user is in.
    pub fn of(&self, user: Id) -> BTreeSet<Id> {
        groups_of(&self.members, user).collect()
    }

    /// The channels that a user answers in.
    pub fn channels_of(&self, user: Id) -> BTreeSet<Id> {
        groups_of(&self.operators, user).collect()
    }

    /// Everybody who is in a team with a user, the user aside.
    pub fn colleagues(&self, user: Id) -> BTreeSet<Id> {
        let own = self.members.values().filter(|members| members.contains(&user));
        own.flatten().copied().filter(|member| *member != user).collect()
    }
}

/// Somebody who wants to see or change records.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The user, or the contact who is acted for.
    pub user: Id,
    /// What the roles permit, and how far.
    pub authority: &'a Authority,
    /// Who is in which team, and who answers in which channel.
    pub teams: &'a Teams,
}

/// What is known of a record; `None` when that must be loaded first.
pub type Known<'a> = &'a dyn Fn(&Subject) -> Option<Arc<Access>>;

/// Whether whoever may see any record of this kind sees all of them.
fn is_open(kind: &str) -> bool {
    catalogue::kind(kind).is_some_and(|kind| kind.open.is_some())
}

impl Viewer<'_> {
    /// Whether this is a channel that the viewer answers in.
    pub fn answers_in(&self, channel: Id) -> bool {
        self.teams.operators.get(&channel).is_some_and(|operators| operators.contains(&self.user))
    }

    /// Whether this is a team that the viewer is in, or a channel that he answers in.
    pub fn is_in(&self, group: Id) -> bool {
        let member = self.teams.members.get(&group).is_some_and(|members| members.contains(&self.user));
        member || self.answers_in(group)
    }

    /// The teams that the viewer is in with a colleague.
    pub fn common(&self, colleague: Id) -> Vec<Id> {
        let both = |members: &BTreeSet<Id>| members.contains(&self.user) && members.contains(&colleague);
        self.teams.members.iter().filter(|(_, members)| both(members)).map(|(team, _)| *team).collect()
    }

    /// By what relation to the record itself the viewer may, with a permission that reaches so far.
    fn direct(&self, record: &Subject, access: &Access, reach: Reach, wanted: Wanted) -> Option<Reason> {
        let holders = access.holders();
        if let Some(relation) = holders.get(&self.user) {
            return Some(Reason::Own { relation: *relation });
        }
        if record.id == self.user {
            return Some(Reason::Own { relation: Holds::Oneself });
        }
        let mut shares = access
            .shared
            .iter()
            .filter(|(grantee, level)| wanted.is_met_by(**level) && (**grantee == self.user || self.is_in(**grantee)));
        if let Some((with, level)) = shares.next() {
            return Some(Reason::Share { with: *with, level: *level });
        }
        if reach < Reach::Team {
            return None;
        }
        if let Some(team) = access.team.filter(|team| self.is_in(*team)) {
            return Some(Reason::Team { team });
        }
        let mut colleagues = holders.into_iter().filter(|(holder, _)| !self.common(*holder).is_empty());
        colleagues.next().map(|(user, relation)| Reason::Colleague { user, relation })
    }

    /// Whether the viewer sees a record.
    pub fn sees(&self, record: &Subject, known: Known<'_>) -> Verdict {
        let reach = self.authority.reach(&format!("{}.read", record.kind));
        self.judge(record, reach, Wanted::See, known)
    }

    /// Whether the viewer may, with a permission that reaches so far.
    pub fn judge(&self, record: &Subject, reach: Option<Reach>, wanted: Wanted, known: Known<'_>) -> Verdict {
        self.judge_within(record, reach, wanted, known, STEPS)
    }

    fn judge_within(
        &self,
        record: &Subject,
        reach: Option<Reach>,
        wanted: Wanted,
        known: Known<'_>,
        steps: usize,
    ) -> Verdict {
        let Some(reach) = reach else { return Verdict::No };
        if reach == Reach::All {
            return Verdict::Yes(Reason::Role);
        }
        if is_open(&record.kind) && wanted == Wanted::See {
            return Verdict::Yes(Reason::Open);
        }
        let Some(access) = known(record) else { return Verdict::Needs(BTreeSet::from([record.clone()])) };
        if !access.begun {
            return Verdict::No;
        }
        if wanted == Wanted::See && access.shared.contains_key(&EVERYBODY) {
            return Verdict::Yes(Reason::Open);
        }
        if let Some(reason) = self.direct(record, &access, reach, wanted) {
            return Verdict::Yes(reason);
        }
        let mut needs = BTreeSet::new();
        let subjects = access.subjects();
        let about_open = subjects.iter().all(|subject| is_open(&subject.kind));
        for subject in subjects {
            // That everybody sees a product opens no remark on a product and a customer.
            if wanted == Wanted::See && is_open(&subject.kind) && !about_open {
                continue;
            }
            let Some(steps) = steps.checked_sub(1) else { break };
            // Whoever sees what it is about sees it; whoever may change it there may change it here.
            let reach = match wanted {
                Wanted::See => self.authority.reach(&format!("{}.read", subject.kind)),
                _ => Some(reach),
            };
            match self.judge_within(subject, reach, wanted, known, steps) {
                Verdict::Yes(reason) => {
                    return Verdict::Yes(Reason::About { subject: subject.clone(), reason: Box::new(reason) });
                }
                Verdict::Needs(subjects) => needs.extend(subjects),
                Verdict::No => {}
            }
        }
        if needs.is_empty() { Verdict::No } else { Verdict::Needs(needs) }
    }
}

#[cfg(test)]
mod tests;
