//! Who may see and change a record and by what, now or in the past; and what whoever asks sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Authority, Id, catalogue,
    catalogue::Kind,
    chat::channel::Channel,
    kernel::{
        access::{Access, Holds, Reach, Reason, Teams, Verdict, Viewer, Wanted, tells},
        record::Level,
        reference::Subject,
    },
    org::{role::Role, team::Team, user::User},
};
use eventstore::{Direction, Query, Recorded};
use projections::{AsOf, ReadModel, RecordAccess, Sight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::kernel::{
    moment::{Moment, past},
    request::{self, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Events that are read at once.
const PAGE: i64 = 1000;

/// `GET /{kind}/{id}/access` for every kind, and `GET /me/access`.
pub(in crate::http) fn routes() -> Routes {
    let routes = Routes::new().get("/me/access", mine);
    catalogue::kinds().fold(routes, |routes, kind| {
        routes.get(&format!("/{}/{{id}}/access", kind.plural), move |app, caller, id, moment, headers| {
            of_record(kind, app, caller, id, moment, headers)
        })
    })
}

impl App {
    /// What the caller sees of lists and feeds.
    pub(in crate::http) async fn sight(&self, caller: &Caller) -> Result<Sight, Problem> {
        if !caller.authority.is_walled() {
            return Ok(Sight::Everything);
        }
        let teams = self.commands.teams(caller.tenant).await?;
        let viewer = Viewer { user: caller.actor.principal(), authority: &caller.authority, teams: &teams };
        Ok(Sight::of(&viewer))
    }

    /// The same, once what it goes by has reached a position.
    pub(in crate::http) async fn sight_at(&self, caller: &Caller, position: Option<i64>) -> Result<Sight, Problem> {
        let sight = self.sight(caller).await?;
        if let Sight::Walled(_) = sight {
            request::reach(self, RecordAccess::NAME, position).await?;
        }
        Ok(sight)
    }

    /// Whether a record is out of the sight of a caller who sees some of its kind: to whoever reads none nothing is concealed,
    /// he names what he was told of.
    pub(in crate::http) async fn conceals(&self, caller: &Caller, kind: &str, id: Id) -> Result<bool, Problem> {
        Ok(caller.authority.allows(&format!("{kind}.read")) && !self.shows(caller, kind, id).await?)
    }

    /// Whether the caller saw a record until this event happened to it.
    pub(in crate::http) async fn showed_before(&self, caller: &Caller, event: &Recorded) -> Result<bool, Problem> {
        let Some((kind, name)) = event.kind.split_once('.') else { return Ok(false) };
        let (true, Ok(id)) = (event.version > 0 && tells(kind, name), event.key().parse()) else { return Ok(false) };
        let mut then = Then::knowing(self, caller, Some(AsOf::Position(event.position - 1))).await?;
        let (me, record, read) = (caller.actor.principal(), Subject::new(kind, id), format!("{kind}.read"));
        Ok(then.explained(me, &caller.authority, &record, read, Wanted::See).await?.is_some())
    }

    /// Whether the caller sees a record, as the log has it.
    pub(in crate::http) async fn shows(&self, caller: &Caller, kind: &str, id: Id) -> Result<bool, Problem> {
        let reach = caller.authority.reach(&format!("{kind}.read"));
        if reach == Some(Reach::All) {
            return Ok(true);
        }
        let teams = self.commands.teams(caller.tenant).await?;
        let viewer = Viewer { user: caller.actor.principal(), authority: &caller.authority, teams: &teams };
        let record = Subject::new(kind, id);
        let reason = self.commands.judge(caller.tenant, &viewer, &record, reach, Wanted::See).await?;
        Ok(reason.is_some())
    }

    /// Whether the caller may issue a command for a record, as far as walls go.
    pub(in crate::http) async fn changes(
        &self,
        caller: &Caller,
        kind: &str,
        id: Id,
        command: &str,
    ) -> Result<bool, Problem> {
        let permission = format!("{kind}.{command}");
        if !caller.may(&permission) {
            return Ok(false);
        }
        let teams = self.commands.teams(caller.tenant).await?;
        let viewer = Viewer { user: caller.actor.principal(), authority: &caller.authority, teams: &teams };
        let (record, reach) = (Subject::new(kind, id), caller.authority.reach(&permission));
        Ok(self.commands.judge(caller.tenant, &viewer, &record, reach, Wanted::Change).await?.is_some())
    }
}

/// What somebody may of a record, and by what.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Permitted {
    /// The user.
    user: Id,
    /// The user's name.
    name: String,
    /// By what the user sees it.
    sees: Explained,
    /// The commands that the user may issue for it, each with what permits it.
    commands: BTreeMap<String, Explained>,
}

/// By what somebody may.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Explained {
    /// The permission that it takes.
    permission: String,
    /// How far that reaches.
    reach: Reach,
    /// The roles that give it so far.
    roles: BTreeSet<String>,
    /// Why it reaches this record.
    by: By,
    /// The relation to it, one's own or a colleague's.
    relation: Option<Holds>,
    /// The colleague, the team, or whom it is shared with: the channel, where it is its operators'.
    with: Option<Id>,
    /// How far it is shared.
    level: Option<Level>,
    /// The records that it is about, one after the other, up to the one that all this is true of; none for the record itself.
    about: Vec<Subject>,
    /// The same in words.
    detail: String,
}

/// Why a permission reaches a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum By {
    /// It reaches everything.
    Role,
    /// It is everybody's to see who may see any such record.
    Open,
    /// It is one's own.
    Own,
    /// It is shared.
    Share,
    /// A team of one's own handles it.
    Team,
    /// It belongs to a colleague in a team of one's own.
    Colleague,
}

impl Explained {
    fn of(permission: String, reach: Reach, authority: &Authority, reason: &Reason) -> Explained {
        let roles = authority.roles(&permission).into_iter().map(ToOwned::to_owned).collect();
        let (mut about, mut last) = (Vec::new(), reason);
        while let Reason::About { subject, reason } = last {
            about.push(subject.clone());
            last = reason;
        }
        let (by, relation, with, level) = match last {
            Reason::Role | Reason::About { .. } => (By::Role, None, None, None),
            Reason::Open => (By::Open, None, None, None),
            Reason::Own { relation } => (By::Own, Some(*relation), None, None),
            Reason::Share { with, level } => (By::Share, None, Some(*with), Some(*level)),
            Reason::Team { team } => (By::Team, None, Some(*team), None),
            Reason::Colleague { user, relation } => (By::Colleague, Some(*relation), Some(*user), None),
        };
        Explained { permission, reach, roles, by, relation, with, level, about, detail: reason.to_string() }
    }
}

/// Who may see a record.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct WhoMay {
    /// The users who see it, by name.
    data: Vec<Permitted>,
    /// The position that this reflects.
    position: i64,
}

/// Everybody and everything that decides who may, at some moment.
struct Then<'a> {
    app: &'a App,
    tenant: Id,
    moment: Option<AsOf>,
    users: BTreeMap<Id, User>,
    roles: BTreeMap<Id, Arc<Role>>,
    teams: Teams,
    records: BTreeMap<Subject, Arc<Access>>,
}

impl<'a> Then<'a> {
    /// Relations as they were at a moment, and the caller with the rights and teams of now.
    async fn knowing(app: &'a App, caller: &Caller, moment: Option<AsOf>) -> Result<Then<'a>, Problem> {
        let (users, roles, records) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let teams = Teams::clone(&*app.commands.teams(caller.tenant).await?);
        Ok(Then { app, tenant: caller.tenant, moment, users, roles, teams, records })
    }

    async fn of(app: &'a App, tenant: Id, moment: Option<AsOf>) -> Result<Then<'a>, Problem> {
        let (users, roles, records) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut then = Then { app, tenant, moment, users, roles, teams: Teams::default(), records };
        let mut groups = (BTreeMap::new(), BTreeMap::new());
        let mut query = Query {
            tenant: Some(tenant.to_string()),
            limit: PAGE,
            categories: [User::KIND, Role::KIND, Team::KIND, Channel::KIND].map(ToOwned::to_owned).to_vec(),
            ..Query::default()
        };
        loop {
            let page = app.log.read_all(&query).await?;
            for event in page.iter().filter(|event| moment.is_none_or(|moment| moment.includes(event))) {
                then.take_in(&mut groups, event).map_err(|error| Problem::broken(&error))?;
            }
            query.after = page.last().map(|event| event.position);
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        let (teams, channels) = groups;
        then.teams = Teams {
            members: teams.into_iter().map(|(id, team)| (id, team.members)).collect(),
            operators: channels.into_iter().map(|(id, channel)| (id, channel.operators)).collect(),
        };
        Ok(then)
    }

    fn take_in(
        &mut self,
        (teams, channels): &mut (BTreeMap<Id, Team>, BTreeMap<Id, Channel>),
        event: &Recorded,
    ) -> Result<(), domain::kernel::named::Undecodable> {
        let Ok(id) = event.key().parse() else { return Ok(()) };
        match event.category() {
            User::KIND => self.users.entry(id).or_default().evolve(&User::decode(&event.kind, &event.data)?),
            Role::KIND => {
                Arc::make_mut(self.roles.entry(id).or_default()).evolve(&Role::decode(&event.kind, &event.data)?);
            }
            Channel::KIND => channels.entry(id).or_default().evolve(&Channel::decode(&event.kind, &event.data)?),
            _ => teams.entry(id).or_default().evolve(&Team::decode(&event.kind, &event.data)?),
        }
        Ok(())
    }

    fn authority(&self, user: &User) -> Authority {
        Authority::new(user.roles.iter().filter_map(|role| self.roles.get(role)).cloned())
    }

    /// Who stood in what relation to a record then.
    async fn access(&self, record: &Subject) -> Result<Arc<Access>, Problem> {
        let Some(kind) = catalogue::kind(&record.kind) else { return Ok(Arc::default()) };
        let Some(moment) = self.moment else { return Ok(self.app.commands.access(self.tenant, record).await?) };
        let (tenant, stream) = (self.tenant.to_string(), format!("{}-{}", record.kind, record.id));
        let mut access = Access::default();
        let mut from = 0;
        loop {
            let page = self.app.log.read_stream(&tenant, &stream, from, Direction::Forward, PAGE).await?;
            for event in page.iter().filter(|event| moment.includes(event)) {
                let relations = kind.relates(&event.kind, &event.data).map_err(|error| Problem::broken(&error))?;
                access.told(relations, &event.metadata);
            }
            if (page.len() as i64) < PAGE {
                return Ok(Arc::new(access));
            }
            from += PAGE;
        }
    }

    /// By what somebody may, if at all.
    async fn explained(
        &mut self,
        user: Id,
        authority: &Authority,
        record: &Subject,
        permission: String,
        wanted: Wanted,
    ) -> Result<Option<Explained>, Problem> {
        let Some(reach) = authority.reach(&permission) else { return Ok(None) };
        loop {
            let viewer = Viewer { user, authority, teams: &self.teams };
            let known = |subject: &Subject| self.records.get(subject).cloned();
            match viewer.judge(record, Some(reach), wanted, &known) {
                Verdict::No => return Ok(None),
                Verdict::Yes(reason) => {
                    return Ok(Some(Explained::of(permission, reach, authority, &reason)));
                }
                Verdict::Needs(subjects) => {
                    for subject in subjects {
                        let access = self.access(&subject).await?;
                        self.records.insert(subject, access);
                    }
                }
            }
        }
    }

    /// What somebody may of a record.
    async fn commands(
        &mut self,
        user: Id,
        authority: &Authority,
        kind: &'static Kind,
        record: &Subject,
    ) -> Result<BTreeMap<String, Explained>, Problem> {
        let mut commands = BTreeMap::new();
        for name in kind.commands.iter().filter(|name| *name != kind.create) {
            let permission = format!("{}.{name}", kind.name);
            let explained = self.explained(user, authority, record, permission, Wanted::of(name)).await?;
            commands.extend(explained.map(|explained| (name.clone(), explained)));
        }
        Ok(commands)
    }
}

async fn of_record(
    kind: &'static Kind,
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    query: Given<Moment>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", kind.name))?;
    // Who colleagues are is told with it.
    caller.must("user.read")?;
    let called = kind.name.replace('_', " ");
    let missing = || Problem::missing(format!("{}_unknown", kind.name), format!("There is no such {called}."));
    let Given { asked: moment, mut faults } = query;
    faults.check(request::min_position(&app, &headers, moment.min_position).await)?;
    let past = faults.check(past(&app, &caller, moment.as_of.as_deref(), moment.known_at.as_deref()).await)?.flatten();
    faults.done()?;
    let id = kind.id_of(caller.tenant, &id).ok_or_else(missing)?;
    app.must_show(&caller, kind.name, id).await?;
    let position = app.log.head().await?;
    let record = Subject::new(kind.name, id);
    let mut then = Then::of(&app, caller.tenant, past).await?;
    if !then.access(&record).await?.begun {
        return Err(missing());
    }
    let users: Vec<(Id, String, Authority)> = then
        .users
        .iter()
        .filter(|(_, user)| user.is_active())
        .map(|(id, user)| (*id, user.profile.name.0.clone(), then.authority(user)))
        .collect();
    let mut data = Vec::new();
    for (user, name, authority) in users {
        let read = format!("{}.read", kind.name);
        let Some(sees) = then.explained(user, &authority, &record, read, Wanted::See).await? else { continue };
        let commands = then.commands(user, &authority, kind, &record).await?;
        data.push(Permitted { user, name, sees, commands });
    }
    data.sort_by(|one, other| (&one.name, one.user).cmp(&(&other.name, other.user)));
    Ok(([(POSITION, position)], Json(WhoMay { data, position })).into_response())
}

/// Which record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    /// The record: its kind, a colon and its id.
    #[schemars(example = "deal:01K9Z3T8W0QX6V5N4M3K2J1H0G")]
    record: String,
    /// An instant or a day, which is taken to its end in the tenant's time zone, or a position of the log: what I might then.
    #[serde(default)]
    as_of: Option<String>,
    /// An instant or a day, taken to its end: by what was known here by then.
    #[serde(default)]
    known_at: Option<String>,
}

/// What I may of a record, and by what.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Mine {
    /// By what I see it; null when I do not, or when there is no such record.
    sees: Option<Explained>,
    /// The commands that I may issue for it, each with what permits it.
    commands: BTreeMap<String, Explained>,
    /// Why not, where I do not see it.
    detail: Option<String>,
    /// The position that this reflects.
    position: i64,
}

async fn mine(
    State(app): State<App>,
    caller: Caller,
    query: Given<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked: Which { record, as_of, known_at }, mut faults } = query;
    let invalid = || {
        let detail = "record is a kind and an id with a colon between them.";
        request::parameter_invalid("/record", detail)
    };
    let named = || {
        let (kind, id) = record.split_once(':')?;
        let kind = catalogue::kind(kind)?;
        Some((kind, kind.id_of(caller.tenant, id)?))
    };
    let named = faults.check(named().ok_or_else(invalid))?;
    faults.check(request::min_position(&app, &headers, None).await)?;
    let past = faults.check(past(&app, &caller, as_of.as_deref(), known_at.as_deref()).await)?.flatten();
    faults.done()?;
    let (kind, id) = named.ok_or_else(invalid)?;
    let record = Subject::new(kind.name, id);
    let position = app.log.head().await?;
    let me = caller.actor.principal();
    let (mut then, authority) = match past {
        None => (Then::knowing(&app, &caller, None).await?, caller.authority.clone()),
        Some(_) => {
            let then = Then::of(&app, caller.tenant, past).await?;
            let authority = then.users.get(&me).map_or_else(Authority::none, |user| then.authority(user));
            (then, authority)
        }
    };
    let read = format!("{}.read", kind.name);
    // What one does not see now one is told nothing of, not even that one saw it.
    let exists = caller.missing_feature_of(kind.name).is_none()
        && !app.hides(&caller, kind.name, id).await?
        && (past.is_none() || app.shows(&caller, kind.name, id).await?)
        && then.access(&record).await?.begun;
    let sees = match exists {
        true => then.explained(me, &authority, &record, read.clone(), Wanted::See).await?,
        false => None,
    };
    let called = kind.name.replace('_', " ");
    let detail = sees.is_none().then(|| match authority.reach(&read) {
        None => format!("This needs the permission {read}."),
        Some(Reach::All) => format!("There is no such {called}."),
        Some(Reach::Team) => format!("There is no such {called}, or it is neither yours nor your team's."),
        Some(Reach::Own) => format!("There is no such {called}, or it is not yours."),
    });
    let commands = match &sees {
        Some(_) => then.commands(me, &authority, kind, &record).await?,
        None => BTreeMap::new(),
    };
    Ok(([(POSITION, position)], Json(Mine { sees, commands, detail, position })).into_response())
}
