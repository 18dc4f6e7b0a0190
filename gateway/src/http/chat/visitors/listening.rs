//! What a visitor's page hears as it happens, over server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Instant};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use channels::inbound;
use domain::{
    ActorKind, Aggregate,
    chat::{channel::Channel, conversation::Conversation},
    org::user::User,
};
use eventstore::{Query, Recorded};
use serde_json::json;
use tokio::sync::{broadcast, watch};

use super::{
    Known,
    thread::{Message, Part, choices},
};
use crate::{
    app::App,
    http::kernel::{
        request::{self, Params},
        stream::{HEARTBEAT, PAGE, last_event, read_on, sse},
    },
    live::{Sent, Shown, Signal},
    problem::Problem,
    sign_in::Browser,
    visitors::{LOOKED_AT_EVERY, Streaming, Token, Visiting},
};

pub(super) async fn follow(
    State(app): State<App>,
    known: Known,
    Params(Part { after, limit: _ }): Params<Part>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = Token::sent(&headers)?;
    let last = last_event(&headers)?;
    let streaming = app.streams.open(browser.address, known.visiting.visitor)?;
    let head = app.log.tail().watch();
    let position = match last.or(after) {
        Some(position) => {
            request::must_exist(&app, position, if last.is_some() { "" } else { "/after" }).await?;
            position
        }
        None => app.log.head().await?,
    };
    let (shown, signals) = app.signals.listen(known.visiting.tenant);
    let attended = known.chat.is_attended(&app).await?;
    let listener = Listener {
        tenant: known.visiting.tenant.to_string(),
        visiting: known.visiting,
        token,
        position,
        head,
        shown: shown.into(),
        signals,
        // Somebody may have come or gone since the page asked how the chat looks, or was last connected.
        ready: presence(attended).into_iter().collect(),
        attended: Some(attended),
        choices: Vec::new(),
        ended: false,
        looked: Instant::now(),
        _streaming: streaming,
        app,
    };
    let events = futures::stream::unfold(listener, |mut listener| async move {
        Box::pin(listener.next()).await.map(|event| (Ok::<_, Infallible>(event), listener))
    });
    Ok(sse(events))
}

/// That somebody who answers is there, or nobody.
fn presence(attended: bool) -> Option<Event> {
    Event::default().event("presence").json_data(json!({ "operators_present": attended })).ok()
}

/// A visitor who listens.
struct Listener {
    app: App,
    visiting: Visiting,
    tenant: String,
    token: Token,
    position: i64,
    head: watch::Receiver<i64>,
    shown: VecDeque<Arc<Sent>>,
    signals: broadcast::Receiver<Arc<Sent>>,
    ready: VecDeque<Event>,
    /// Whether somebody who answers is there, as far as told; `None` where that may have changed.
    attended: Option<bool>,
    /// The answers that a chatbot offers, as far as told.
    choices: Vec<String>,
    /// Whether the desk has taken the token away: what is ready is the last.
    ended: bool,
    looked: Instant,
    /// Counted as long as it is open.
    _streaming: Streaming,
}

impl Listener {
    /// The next event to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let stopping = self.app.stopping.clone();
        loop {
            if stopping.is_cancelled() || !self.is_let_in().await {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if self.position < *self.head.borrow_and_update() {
                let presence = self.app.log.presence().clone();
                match presence.guard(self.read()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(problem)) => {
                        tracing::warn!(%problem, "a visitor's stream ends");
                        return None;
                    }
                    // The visitor's page comes back by itself, when the database is back too.
                    Err(_) => return None,
                }
            }
            if let Some(sent) = self.shown.pop_front() {
                if let Some(event) = self.show(&sent).await {
                    return Some(event);
                }
                continue;
            }
            tokio::select! {
                moved = self.head.changed() => if moved.is_err() { return None },
                sent = self.signals.recv() => match sent {
                    Ok(sent) => self.shown.push_back(sent),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep(HEARTBEAT) => {
                    return Some(Event::default().id(self.position.to_string()).comment("here"));
                }
            }
        }
    }

    /// Looks now and then whether the token is good still, and for the same conversation.
    async fn is_let_in(&mut self) -> bool {
        if self.looked.elapsed() < LOOKED_AT_EVERY {
            return true;
        }
        self.looked = Instant::now();
        match self.app.log.presence().guard(self.app.visiting(self.visiting.channel, &self.token)).await {
            Ok(Ok(visiting)) => visiting.is_some_and(|now| now.conversation == self.visiting.conversation),
            // Without the database nothing is seen anyway.
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let head = *self.head.borrow();
        let stream = Conversation::stream(self.visiting.conversation);
        let only = || Query { tenant: Some(self.tenant.clone()), stream: Some(stream.clone()), ..Query::default() };
        let (position, events) = read_on(&self.app.log, self.position, head, only).await?;
        if position - self.position > PAGE {
            // Who came and went meanwhile is not among them.
            self.attended = None;
        }
        self.position = position;
        let told = self.attended;
        let mut heard = false;
        for event in events {
            if *event.tenant != *self.tenant {
                continue;
            }
            if *event.stream == *stream {
                heard = true;
                self.take_in(&event).await?;
            } else if [User::KIND, Channel::KIND].contains(&event.category()) {
                self.attended = None;
            }
        }
        if heard {
            self.offer().await?;
        }
        if self.attended.is_none() {
            let (channel, _) = self.app.commands.load::<Channel>(self.visiting.tenant, self.visiting.channel).await?;
            let attended = inbound::is_attended(&self.app.commands, self.visiting.tenant, &channel).await?;
            self.attended = Some(attended);
            if told != Some(attended) {
                self.ready.extend(presence(attended));
            }
        }
        Ok(())
    }

    /// What a visitor is told of an event of the conversation.
    async fn take_in(&mut self, event: &Recorded) -> Result<(), Problem> {
        let sse = Event::default().id(event.position.to_string());
        let unreadable = |error: projections::Unreadable| Problem::broken(&error);
        let name = event.kind.strip_prefix("conversation.").unwrap_or_default();
        let told = if let Some(row) = projections::conversation_message(event).map_err(unreadable)? {
            let message = Message::of(&self.app, self.visiting.tenant, row).await?;
            sse.event("message").json_data(message)
        } else if let Some(state) = name.strip_prefix("message_") {
            let data: serde_json::Value = event.decode().unwrap_or_default();
            sse.event("state").json_data(json!({ "message": data["message_id"], "state": state }))
        } else {
            match name {
                "closed" | "reopened" | "handed_over" | "visitor_blocked" | "visitor_unblocked" => {
                    sse.event(name.trim_start_matches("visitor_")).json_data(json!({}))
                }
                "visitor_revoked" => {
                    // Whoever was let in since is not meant, and comes back at once.
                    self.ended = true;
                    sse.event("revoked").json_data(json!({}))
                }
                _ => return Ok(()),
            }
        };
        self.ready.push_back(told.map_err(|error| Problem::broken(&error))?);
        Ok(())
    }

    /// Tells which answers a chatbot offers now, when they are others than before.
    async fn offer(&mut self) -> Result<(), Problem> {
        let Visiting { tenant, conversation, .. } = self.visiting;
        let (state, _) = self.app.commands.load_current::<Conversation>(tenant, conversation).await?;
        let choices = choices(&self.app, tenant, &state).await?;
        if choices != self.choices {
            self.ready.extend(Event::default().event("choices").json_data(json!({ "choices": choices })).ok());
            self.choices = choices;
        }
        Ok(())
    }

    /// What a visitor is told of a signal: that somebody of the desk types, or has left off.
    async fn show(&self, sent: &Sent) -> Option<Event> {
        let Signal { conversation, signal, kind, by } = sent.signal;
        let is_here = sent.tenant == self.visiting.tenant && conversation == self.visiting.conversation;
        if !is_here || kind == ActorKind::Visitor || signal == Shown::Looking {
            return None;
        }
        let (user, _) = self.app.commands.load::<User>(self.visiting.tenant, by).await.ok()?;
        let name = (!user.profile.name.0.is_empty()).then(|| user.profile.name.0.clone());
        Event::default().event("signal").json_data(json!({ "signal": signal, "name": name })).ok()
    }
}
