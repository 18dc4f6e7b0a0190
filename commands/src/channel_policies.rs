//! The reactor of channels: a new team gets its mail and the alias it goes to, chat that is switched on for a team gets its channel, a team's own channels
//! follow its name and close and open with it, a user who is given a channel is an operator of it, and what an operator who is let go was responsible for is
//! nobody's any more.
//!
//! Every command is marked with the event that it follows from: it is carried out once, however often the event is answered.

use std::sync::Arc;

use domain::{
    Actor, ActorKind, Aggregate, Id, Via,
    chat::{
        channel::{self, Channel, Kind, TeamHas},
        conversation::{self, Conversation},
    },
    kernel::text,
    org::{
        team::{self, ChannelKind, Team},
        user::{self, User},
    },
};
use eventstore::{Failure, Handler, Recorded};
use sqlx::PgConnection;

use crate::{Clock, Commands, Envelope, Refused, acting::command_id, scene};

/// Under what it is marked which events have been answered.
const MARK: &str = "channel.policy";

/// The reactor.
pub(crate) struct ChannelPolicies {
    commands: Commands,
    clock: Clock,
}

impl ChannelPolicies {
    pub(crate) fn new(commands: Commands, clock: Clock) -> ChannelPolicies {
        ChannelPolicies { commands, clock }
    }

    /// What Deskfold itself does about an event.
    fn envelope(&self, tenant: Id, id: Id, event: &Recorded, step: &str) -> Envelope {
        let envelope = Envelope::new(tenant, id, Actor::SYSTEM, Via::Rule, (self.clock)());
        let envelope = match scene::metadata(event) {
            Some(metadata) => envelope.caused_by(&scene::cause(event, &metadata, 0)),
            None => envelope,
        };
        let command_id = command_id(&[MARK, step, &id.to_string(), &event.id.to_string()]);
        let mark = Some((MARK.to_owned(), format!("{}/{step}/{id}", event.id)));
        // It happens with what it follows from, so that an import that is taken up again tells the same.
        Envelope { command_id, mark, occurred_at: Some(event.occurred_at), ..envelope }
    }

    /// Carries commands for a channel out, once.
    async fn once(&self, envelope: &Envelope, commands: Vec<channel::Command>) -> Result<Option<Refused>, Failure> {
        match self.commands.dispatch_all::<Channel>(envelope, commands).await {
            Ok(_) | Err(Refused::Marked) => Ok(None),
            Err(refused @ Refused::Rejected(_)) => Ok(Some(refused)),
            Err(refused) => Err(unavailable(&refused)),
        }
    }

    /// Connects a team's channel of a kind, with whoever asked for it as its operator.
    async fn connect(&self, tenant: Id, team: Id, name: String, kind: Kind, event: &Recorded) -> Result<(), Failure> {
        let id = Channel::of_team(team, kind);
        let connect = channel::Command::Connect(channel::New { kind, name, team: Some(team) });
        let asked = scene::metadata(event).map(|metadata| metadata.actor);
        let operator = asked.filter(|actor| actor.kind == ActorKind::User).map(|actor| actor.principal());
        let add = operator.map(|user| channel::Command::AddOperators { users: [user].into() });
        let envelope = self.envelope(tenant, id, event, "connect");
        let all = [connect.clone()].into_iter().chain(add).collect();
        if self.once(&envelope, all).await?.is_none() {
            return Ok(());
        }
        // Whoever asked is gone: the channel is there all the same.
        if let Some(refused) = self.once(&envelope, vec![connect]).await? {
            tracing::info!(channel = %id, %team, %refused, "a team gets no channel");
        }
        Ok(())
    }

    /// Gives a team that was not given any the alias that follows from its name; another one where that is taken.
    async fn call(&self, tenant: Id, team: Id, name: &str, event: &Recorded) -> Result<(), Failure> {
        for alias in text::slugs(name, Team::KIND, team) {
            let known = self.commands.load_current::<Team>(tenant, team).await;
            let (known, _) = known.map_err(|refused| unavailable(&refused))?;
            if known.alias.is_some() {
                return Ok(()); // Somebody has said so meanwhile.
            }
            let change = team::Command::ChangeAlias { alias: Some(alias) };
            let envelope = self.envelope(tenant, team, event, "alias");
            match self.commands.dispatch::<Team>(&envelope, change).await {
                Ok(_) | Err(Refused::Marked) => return Ok(()),
                Err(Refused::Rejected(refusal)) if refusal.code == team::ALIAS_TAKEN.code => {}
                Err(Refused::Rejected(refusal)) => {
                    tracing::info!(%team, %refusal, "a team gets no alias");
                    return Ok(());
                }
                Err(refused) => return Err(unavailable(&refused)),
            }
        }
        Ok(())
    }

    async fn of_team(&self, tenant: Id, team: Id, event: &Recorded) -> Result<(), Failure> {
        let Ok(happened) = Team::decode(&event.kind, &event.data) else { return Ok(()) };
        match happened {
            team::Event::Created(new) => {
                if new.alias.is_none() {
                    self.call(tenant, team, &new.name, event).await?;
                }
                self.connect(tenant, team, new.name, Kind::Email, event).await
            }
            team::Event::ChannelEnabled { kind } => {
                let Some(kind) = carried_by(kind) else { return Ok(()) };
                let known = self.commands.find::<Team>(tenant, team).await.map_err(|refused| unavailable(&refused))?;
                let name = known.and_then(|team| team.name.clone()).unwrap_or_default();
                let id = Channel::of_team(team, kind);
                let there = self.commands.find::<Channel>(tenant, id).await.map_err(|refused| unavailable(&refused))?;
                if there.is_none() {
                    self.connect(tenant, team, name, kind, event).await?;
                }
                let envelope = self.envelope(tenant, id, event, "enable");
                let open = channel::Command::FollowTeam { team: TeamHas::SwitchedOn };
                self.once(&envelope, vec![open]).await.map(|_| ())
            }
            team::Event::ChannelDisabled { kind } => {
                let Some(kind) = carried_by(kind) else { return Ok(()) };
                let envelope = self.envelope(tenant, Channel::of_team(team, kind), event, "disable");
                let close = channel::Command::FollowTeam { team: TeamHas::SwitchedOff };
                self.once(&envelope, vec![close]).await.map(|_| ())
            }
            team::Event::Renamed { from, to } => self.rename(tenant, team, (&from, &to), event).await,
            team::Event::Archived { .. } => self.follow(tenant, team, TeamHas::GoneAway, event).await,
            team::Event::Restored => self.follow(tenant, team, TeamHas::ComeBack, event).await,
            _ => Ok(()),
        }
    }

    /// Closes a team's own channels with it, or opens those that were closed so.
    async fn follow(&self, tenant: Id, team: Id, has: TeamHas, event: &Recorded) -> Result<(), Failure> {
        for kind in OWN {
            let envelope = self.envelope(tenant, Channel::of_team(team, kind), event, "follow");
            self.once(&envelope, vec![channel::Command::FollowTeam { team: has }]).await?;
        }
        Ok(())
    }

    /// Calls a team's own channels as it is called now, those that were called as it was: nobody has given them another name.
    async fn rename(&self, tenant: Id, team: Id, (from, to): (&str, &str), event: &Recorded) -> Result<(), Failure> {
        for kind in OWN {
            let id = Channel::of_team(team, kind);
            loop {
                let (known, version) =
                    self.commands.load_current::<Channel>(tenant, id).await.map_err(|refused| unavailable(&refused))?;
                if !known.exists() || known.name != from {
                    break;
                }
                let envelope = Envelope { expected: Some(version), ..self.envelope(tenant, id, event, "rename") };
                match self.commands.dispatch::<Channel>(&envelope, channel::Command::Rename { name: to.into() }).await {
                    // Somebody has changed it meanwhile: perhaps its name.
                    Err(Refused::Stale { .. }) => {}
                    Ok(_) | Err(Refused::Rejected(_) | Refused::Marked) => break,
                    Err(refused) => return Err(unavailable(&refused)),
                }
            }
        }
        Ok(())
    }

    /// What is said of a user's channels is done there, where it counts.
    async fn of_user(&self, tenant: Id, user: Id, event: &Recorded) -> Result<(), Failure> {
        let Ok(happened) = User::decode(&event.kind, &event.data) else { return Ok(()) };
        let (channel, command, step) = match happened {
            user::Event::ChannelAccessGranted { channel } => {
                (channel, channel::Command::AddOperators { users: [user].into() }, "add_operator")
            }
            user::Event::ChannelAccessRevoked { channel } => {
                (channel, channel::Command::RemoveOperator { user }, "remove_operator")
            }
            _ => return Ok(()),
        };
        // Before there were channels ids of none were named here.
        self.once(&self.envelope(tenant, channel, event, step), vec![command]).await.map(|_| ())
    }

    /// Remembers which operator has which conversation.
    async fn of_conversation(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        id: Id,
        event: &Recorded,
    ) -> Result<(), Failure> {
        let Ok(happened) = Conversation::decode(&event.kind, &event.data) else { return Ok(()) };
        match happened {
            conversation::Event::Assigned { to, .. } => {
                let known = self.commands.find::<Conversation>(tenant, id).await;
                let known = known.map_err(|refused| unavailable(&refused))?;
                let Some(channel) = known.and_then(|known| known.channel()) else { return Ok(()) };
                sqlx::query(
                    "insert into react_channel_assignment (tenant_id, channel_id, conversation_id, user_id)
                     values ($1, $2, $3, $4)
                     on conflict (tenant_id, conversation_id) do update set user_id = excluded.user_id",
                )
                .bind(tenant.to_string())
                .bind(channel.to_string())
                .bind(id.to_string())
                .bind(to.to_string())
                .execute(transaction)
                .await?;
            }
            conversation::Event::Unassigned { .. } => {
                sqlx::query("delete from react_channel_assignment where tenant_id = $1 and conversation_id = $2")
                    .bind(tenant.to_string())
                    .bind(id.to_string())
                    .execute(transaction)
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes from an operator who was let go what he is responsible for in the channel.
    async fn let_go(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        channel: Id,
        user: Id,
        event: &Recorded,
    ) -> Result<(), Failure> {
        let conversations: Vec<String> = sqlx::query_scalar(
            "select conversation_id from react_channel_assignment
             where tenant_id = $1 and channel_id = $2 and user_id = $3 order by conversation_id",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .bind(user.to_string())
        .fetch_all(transaction)
        .await?;
        for conversation in conversations.iter().filter_map(|id| id.parse::<Id>().ok()) {
            loop {
                let now = self.commands.load_current::<Channel>(tenant, channel).await;
                let (now, _) = now.map_err(|refused| unavailable(&refused))?;
                let known = self.commands.load_current::<Conversation>(tenant, conversation).await;
                let (known, version) = known.map_err(|refused| unavailable(&refused))?;
                // Somebody else has it by now, or he is back.
                if known.assignee != Some(user) || now.operators.contains(&user) {
                    break;
                }
                let envelope =
                    Envelope { expected: Some(version), ..self.envelope(tenant, conversation, event, "unassign") };
                let unassign = conversation::Command::Unassign;
                match self.commands.dispatch::<Conversation>(&envelope, unassign).await {
                    Err(Refused::Stale { .. }) => {}
                    Ok(_) | Err(Refused::Rejected(_) | Refused::Marked) => break,
                    Err(refused) => return Err(unavailable(&refused)),
                }
            }
        }
        Ok(())
    }
}

/// The kinds of channels that Deskfold makes for teams.
const OWN: [Kind; 2] = [Kind::Email, Kind::LiveChat];

/// The kind of channel by which a team is reached, where switching it on is all that it takes: a form is built first.
fn carried_by(kind: ChannelKind) -> Option<Kind> {
    match kind {
        ChannelKind::Email => Some(Kind::Email),
        ChannelKind::LiveChat => Some(Kind::LiveChat),
        ChannelKind::Form => None,
    }
}

impl Handler for ChannelPolicies {
    fn name(&self) -> &str {
        "react_channels"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Team::KIND, Channel::KIND, Conversation::KIND, User::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        matches!(
            &*event.kind,
            "team.created"
                | "team.channel_enabled"
                | "team.channel_disabled"
                | "team.renamed"
                | "team.archived"
                | "team.restored"
                | "user.channel_access_granted"
                | "user.channel_access_revoked"
                | "channel.operator_removed"
                | "conversation.assigned"
                | "conversation.unassigned"
        )
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch.iter().filter(|event| self.concerns(event)) {
            let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { continue };
            match event.category() {
                Team::KIND => self.of_team(tenant, id, event).await?,
                User::KIND => self.of_user(tenant, id, event).await?,
                Conversation::KIND => self.of_conversation(transaction, tenant, id, event).await?,
                _ => {
                    if let Ok(channel::Event::OperatorRemoved { user }) = Channel::decode(&event.kind, &event.data) {
                        self.let_go(transaction, tenant, id, user, event).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The log is out of reach: the batch is handled again.
fn unavailable(refused: &Refused) -> Failure {
    Failure::Store(sqlx::Error::Protocol(refused.to_string()))
}
