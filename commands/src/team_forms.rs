//! The reactor of teams' forms: a team that takes forms gets one to begin with, and its page goes when it takes none any more.

use std::sync::Arc;

use domain::{
    Actor, ActorKind, Aggregate, Id, Metadata, Via,
    desk::form::{self, Field, Fields, Form, InputType},
    kernel::{
        named::Either,
        record::{Common, New},
        text,
    },
    org::{
        settings::FEATURE_DISABLED,
        team::{self, ChannelKind, Team},
    },
};
use eventstore::{Failure, Handler, Recorded};
use sqlx::PgConnection;

use crate::{Commands, Envelope, Refused, acting::command_id, scene};

/// The reactor.
pub(crate) struct TeamForms {
    commands: Commands,
}

/// The form that a team begins with.
fn form_of(team: Id) -> Id {
    Id::named(&["team_form", &team.to_string()])
}

fn field(key: &str, maps_to: &str, input_type: InputType, label: &str, required: bool) -> form::Command {
    let field = Field {
        key: key.into(),
        maps_to: Some(maps_to.into()),
        input_type,
        label: label.into(),
        placeholder: None,
        required,
        ..form::example()
    };
    form::Command::AddField { field, before: None }
}

/// What such a form asks at first: whoever looks after the team says the rest.
fn first_fields() -> Vec<form::Command> {
    vec![
        field("name", "contact.name", InputType::Text, "Name", true),
        field("email", "contact.email", InputType::Email, "E-mail", true),
        field("subject", "ticket.title", InputType::Text, "Subject", true),
        field("message", "ticket.description", InputType::Textarea, "Message", true),
    ]
}

impl TeamForms {
    /// Of its subscription: read models have the plain names.
    const NAME: &'static str = "react_team_forms";

    pub(crate) fn new(commands: Commands) -> TeamForms {
        TeamForms { commands }
    }

    async fn answer(&self, event: &Recorded) -> Result<(), Refused> {
        let (Ok(tenant), Ok(team)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { return Ok(()) };
        let Some(metadata) = scene::metadata(event) else { return Ok(()) };
        match Team::decode(&event.kind, &event.data) {
            Ok(team::Event::ChannelEnabled { kind: ChannelKind::Form }) => {
                self.begin(tenant, team, event, &metadata).await
            }
            Ok(team::Event::ChannelDisabled { kind: ChannelKind::Form }) => {
                let envelope = envelope(tenant, team, event, &metadata, "unpublish");
                settled(self.commands.dispatch::<Form>(&envelope, Either::Own(form::Command::Unpublish)).await)
            }
            _ => Ok(()),
        }
    }

    async fn begin(&self, tenant: Id, id: Id, event: &Recorded, metadata: &Metadata) -> Result<(), Refused> {
        let (team, _) = self.commands.load_current::<Team>(tenant, id).await?;
        let Some(name) = team.name.clone() else { return Ok(()) };
        let owner = (metadata.actor.kind == ActorKind::User).then(|| metadata.actor.principal());
        for (turn, slug) in text::slugs(&name, Team::KIND, form_of(id)).into_iter().enumerate() {
            let fields = Fields {
                name: name.clone(),
                slug,
                team: Some(id),
                text: None,
                thanks: None,
                button: None,
                language: None,
                website: None,
            };
            let (custom, tags) = Default::default();
            let new = New { fields, custom, owner: Some(owner), stage: None, tags, copied_from: None };
            let create = [Either::Common(Common::Create(new))].into_iter();
            let commands = create.chain(first_fields().into_iter().map(Either::Own)).collect();
            let envelope = envelope(tenant, id, event, metadata, &format!("begin {turn}"));
            match self.commands.dispatch_all::<Form>(&envelope, commands).await {
                // Another form has that slug: one that nobody has is as good.
                Err(Refused::Rejected(refusal)) if refusal.code == "form_slug_taken" => {}
                outcome => return settled(outcome),
            }
        }
        Ok(())
    }
}

fn envelope(tenant: Id, team: Id, event: &Recorded, metadata: &Metadata, what: &str) -> Envelope {
    let cause = scene::cause(event, metadata, 1);
    let envelope = Envelope::new(tenant, form_of(team), Actor::SYSTEM, Via::Rule, event.recorded_at).caused_by(&cause);
    Envelope { command_id: command_id(&["team_form", what, &event.id.to_string()]), remember: true, ..envelope }
}

/// A refusal is an answer: there is such a form, or none; or forms are switched off.
fn settled<T>(outcome: Result<T, Refused>) -> Result<(), Refused> {
    match outcome {
        Err(Refused::Rejected(refusal)) => {
            if refusal != FEATURE_DISABLED {
                tracing::debug!(%refusal, "a team's form stays as it is");
            }
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

impl Handler for TeamForms {
    fn name(&self) -> &str {
        TeamForms::NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Team::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        matches!(&*event.kind, "team.channel_enabled" | "team.channel_disabled")
    }

    async fn handle(&mut self, _: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch {
            match self.answer(event).await {
                Ok(()) => {}
                Err(Refused::Broken(reason)) => return Err(Failure::Poison { position: event.position, reason }),
                Err(refused) => return Err(Failure::Store(sqlx::Error::Protocol(refused.to_string()))),
            }
        }
        Ok(())
    }
}
