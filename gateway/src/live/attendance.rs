//! Who is at the desk: online while a screen with the inbox is open, away when it is not touched, offline when the last one is closed.
//!
//! Each process keeps lines of its own alive in `react_attendance`, so that whoever it served is offline soon after it has died.

use std::{collections::HashMap, sync::Arc, time::Duration};

use commands::{Envelope, Refused};
use domain::{
    Id, Time, Via,
    org::{
        settings::AWAY_AFTER,
        tenant::Tenant,
        user::{Command, Presence, PresenceSource, User},
    },
};
use jiff::SignedDuration;
use jiff_sqlx::{Timestamp, ToSqlx};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{app::App, auth::SYSTEM, config::Role, problem::Problem};

/// How often lines are kept alive and those of others looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How long somebody is still there after the last screen was closed: pages are loaded anew, connections break.
const GRACE: SignedDuration = SignedDuration::from_secs(40);

/// Who of this process's clients listens.
pub(crate) struct Attendance {
    pub(crate) process: Uuid,
    listening: Mutex<HashMap<(Id, Id), Listening>>,
}

struct Listening {
    screens: usize,
    active_at: Time,
}

/// An open screen; closed when this is dropped.
pub(crate) struct Attending {
    attendance: Arc<Attendance>,
    who: (Id, Id),
}

impl Drop for Attending {
    fn drop(&mut self) {
        if let Some(listening) = self.attendance.listening.lock().get_mut(&self.who) {
            listening.screens = listening.screens.saturating_sub(1);
        }
    }
}

impl Attendance {
    pub(crate) fn new() -> Arc<Attendance> {
        Arc::new(Attendance { process: Uuid::now_v7(), listening: Mutex::default() })
    }

    fn enter(self: &Arc<Self>, who: (Id, Id), now: Time) -> Attending {
        let mut listening = self.listening.lock();
        let known = listening.entry(who).or_insert(Listening { screens: 0, active_at: now });
        known.screens += 1;
        known.active_at = now;
        Attending { attendance: Arc::clone(self), who }
    }

    /// When somebody who has a screen open touched anything before.
    fn touched(&self, who: (Id, Id), now: Time) -> Option<Time> {
        let mut listening = self.listening.lock();
        listening.get_mut(&who).map(|known| std::mem::replace(&mut known.active_at, now))
    }

    /// Those who have a screen open here, and when they last touched anything; who has none is forgotten.
    fn present(&self) -> Vec<((Id, Id), Time)> {
        let mut listening = self.listening.lock();
        listening.retain(|_, known| known.screens > 0);
        listening.iter().map(|(who, known)| (*who, known.active_at)).collect()
    }
}

impl App {
    /// Somebody opens a screen.
    pub(crate) async fn attend(&self, tenant: Id, user: Id) -> Result<Attending, Problem> {
        let now = self.now();
        let attending = self.attendance.enter((tenant, user), now);
        self.keep_attending(&[((tenant, user), now)]).await?;
        self.set_presence(tenant, user, Presence::Online, PresenceSource::Session).await?;
        Ok(attending)
    }

    /// Somebody touches something. Who was away for a pause is back.
    pub(crate) async fn touch(&self, tenant: Id, user: Id) -> Result<(), Problem> {
        let now = self.now();
        let Some(before) = self.attendance.touched((tenant, user), now) else { return Ok(()) };
        if self.is_away(tenant, before).await? {
            self.keep_attending(&[((tenant, user), now)]).await?;
            self.set_presence(tenant, user, Presence::Online, PresenceSource::Idle).await?;
        }
        Ok(())
    }

    /// Keeps this process's lines alive, until the system stops.
    pub(crate) async fn keep_attendance(self) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.stopping.cancelled() => return,
            }
            if let Ok(Err(problem)) = self.log.presence().guard(self.look_around()).await {
                tracing::warn!(%problem, "cannot see who is at the desk");
            }
        }
    }

    /// Keeps lines alive, and says who is away and who has left, where that is this process's work.
    pub(crate) async fn look_around(&self) -> Result<(), Problem> {
        self.keep_attending(&self.attendance.present()).await?;
        if !self.config.roles.contains(&Role::React) {
            return Ok(());
        }
        let now = self.now();
        let lines: Vec<(String, String, Timestamp, Timestamp)> = sqlx::query_as(
            "select tenant_id, user_id, max(listens_until), max(active_at) from react_attendance group by 1, 2",
        )
        .fetch_all(&self.pool)
        .await?;
        for (tenant, user, until, active_at) in lines {
            let (Ok(tenant), Ok(user)) = (tenant.parse::<Id>(), user.parse::<Id>()) else { continue };
            if until.to_jiff() < now {
                self.set_presence(tenant, user, Presence::Offline, PresenceSource::Session).await?;
                self.forget_attending(tenant, user, now).await?;
                continue;
            }
            if self.is_away(tenant, active_at.to_jiff()).await? {
                self.set_presence(tenant, user, Presence::Away, PresenceSource::Idle).await?;
            }
        }
        Ok(())
    }

    /// Whether whoever touched something last at this moment has paused for as long as makes him away.
    async fn is_away(&self, tenant: Id, active_at: Time) -> Result<bool, Problem> {
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let minutes = settings.setting(AWAY_AFTER).as_i64().unwrap_or_default();
        Ok(self.now().duration_since(active_at) >= SignedDuration::from_mins(minutes))
    }

    async fn keep_attending(&self, present: &[((Id, Id), Time)]) -> Result<(), Problem> {
        if present.is_empty() {
            return Ok(());
        }
        let until = self.now().checked_add(GRACE).unwrap_or(Time::MAX);
        sqlx::query(
            "insert into react_attendance (tenant_id, user_id, process, listens_until, active_at)
             select tenant_id, user_id, $3, $5, active_at from unnest($1::text[], $2::text[], $4::timestamptz[])
                 as present (tenant_id, user_id, active_at)
             on conflict (tenant_id, user_id, process) do update
             set listens_until = excluded.listens_until, active_at = excluded.active_at",
        )
        .bind(present.iter().map(|((tenant, _), _)| tenant.to_string()).collect::<Vec<_>>())
        .bind(present.iter().map(|((_, user), _)| user.to_string()).collect::<Vec<_>>())
        .bind(self.attendance.process)
        .bind(present.iter().map(|(_, active_at)| active_at.to_sqlx()).collect::<Vec<_>>())
        .bind(until.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn forget_attending(&self, tenant: Id, user: Id, now: Time) -> Result<(), Problem> {
        sqlx::query("delete from react_attendance where tenant_id = $1 and user_id = $2 and listens_until < $3")
            .bind(tenant.to_string())
            .bind(user.to_string())
            .bind(now.to_sqlx())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Says whether somebody is there, as far as he has not said so himself.
    async fn set_presence(
        &self,
        tenant: Id,
        user: Id,
        presence: Presence,
        source: PresenceSource,
    ) -> Result<(), Problem> {
        let envelope = Envelope::new(tenant, user, SYSTEM, Via::Api, self.now());
        match self.commands.dispatch::<User>(&envelope, Command::SetPresence { presence, source }).await {
            // Whoever was deactivated meanwhile is not there anyway.
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }
}
