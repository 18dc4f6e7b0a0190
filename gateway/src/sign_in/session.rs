//! Sessions: the cookie's digest and when it was last seen are in a table, that it lasts is in the log.

use domain::{
    Id, Time,
    org::{
        session::{self, Method, Reason, Session, Status},
        user::User,
    },
};
use jiff_sqlx::{Timestamp, ToSqlx};

use super::{Browser, Cookie};
use crate::{
    app::App,
    auth::{digest, random},
    problem::Problem,
};

/// After how many seconds it is written down that a session is used.
const SEEN: i64 = 60;
/// Sessions looked through at once.
const PAGE: i64 = 1000;

/// A session that lasts, as its person sees it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Listed {
    pub(crate) session_id: String,
    pub(crate) method: String,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Whose session a cookie is.
pub(crate) struct Known {
    pub(crate) tenant: Id,
    pub(crate) session: Id,
    pub(crate) user: Id,
}

type Row = (String, String, String, Timestamp);

fn parsed((tenant, session, user, _): &Row) -> Option<Known> {
    Some(Known { tenant: tenant.parse().ok()?, session: session.parse().ok()?, user: user.parse().ok()? })
}

impl App {
    fn idle(&self) -> i64 {
        i64::try_from(self.config.sign_in.session_idle.as_secs()).unwrap_or(i64::MAX)
    }

    /// Whose session a secret is, while it lasts. It is used by that, unless the browser only listens.
    pub(crate) async fn session(&self, secret: &str, browser: &Browser) -> Result<Option<Known>, Problem> {
        let (now, digest) = (self.now(), digest(secret));
        let row: Option<Row> =
            sqlx::query_as("select tenant_id, session_id, user_id, last_seen_at from auth_session where digest = $1")
                .bind(&digest)
                .fetch_optional(&self.pool)
                .await?;
        let Some((row, known)) = row.and_then(|row| parsed(&row).map(|known| (row, known))) else { return Ok(None) };
        if self.why_over(&known, row.3.to_jiff(), now).await?.is_some() {
            return Ok(None);
        }
        let seen = SEEN.min(self.idle() / 10);
        if !browser.listens && now.duration_since(row.3.to_jiff()).as_secs() >= seen {
            sqlx::query("update auth_session set last_seen_at = greatest(last_seen_at, $2) where digest = $1")
                .bind(digest)
                .bind(now.to_sqlx())
                .execute(&self.pool)
                .await?;
        }
        Ok(Some(known))
    }

    /// Why a session is over; `None` while it lasts. One that the log ended has no reason left to tell.
    async fn why_over(&self, known: &Known, seen: Time, now: Time) -> Result<Option<Option<Reason>>, Problem> {
        let (session, _) = self.commands.load::<Session>(known.tenant, known.session).await?;
        if session.status != Status::Active || session.user != Some(known.user) {
            return Ok(Some(None));
        }
        let (user, _) = self.commands.load::<User>(known.tenant, known.user).await?;
        let idle = now.duration_since(seen).as_secs() >= self.idle();
        Ok(session.over(&user, now).or(idle.then_some(Reason::Expired)).map(Some))
    }

    /// Begins a session; the one that the browser had is over. Returns its id and the cookie's secret, which is known only now.
    pub(crate) async fn begin_session(
        &self,
        (tenant, user): (Id, Id),
        era: u32,
        (method, second_factor): (Method, bool),
        browser: &Browser,
    ) -> Result<(Id, String), Problem> {
        let now = self.now();
        let secret = random().map_err(|error| Problem::broken(&error))?;
        let id = self.new_id();
        let expires_at = now + self.config.sign_in.session_lifetime;
        let address = browser.address.map(|address| address.to_string());
        let method_name = serde_json::to_value(method).map_err(|error| Problem::broken(&error))?;
        // The row first: without the log's word it opens nothing.
        sqlx::query(
            "insert into auth_session (digest, tenant_id, session_id, user_id, method, address, user_agent, started_at,
                                       last_seen_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
        )
        .bind(digest(&secret))
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(method_name.as_str())
        .bind(&address)
        .bind(&browser.user_agent)
        .bind(now.to_sqlx())
        .bind(expires_at.to_sqlx())
        .execute(&self.pool)
        .await?;
        let start = session::Start {
            user,
            method,
            second_factor,
            era,
            address: address.map(Into::into),
            user_agent: browser.user_agent.clone().map(Into::into),
            expires_at,
        };
        let envelope = self.own_envelope(tenant, user, id);
        let begun = self.commands.dispatch::<Session>(&envelope, session::Command::Start(start)).await;
        if let Err(refused) = begun {
            self.forget_session(tenant, id).await?;
            return Err(refused.into());
        }
        if let Some(before) = browser.cookie(Cookie::Session)
            && let Some(before) = self.session(before, browser).await?
        {
            self.conclude_session(before.tenant, before.user, before.session, Reason::Replaced).await?;
        }
        Ok((id, secret))
    }

    async fn forget_session(&self, tenant: Id, session: Id) -> Result<(), Problem> {
        sqlx::query("delete from auth_session where tenant_id = $1 and session_id = $2")
            .bind(tenant.to_string())
            .bind(session.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a session as its person does.
    pub(crate) async fn end_session(&self, tenant: Id, user: Id, session: Id) -> Result<(), Problem> {
        let envelope = self.own_envelope(tenant, user, session);
        self.commands.dispatch::<Session>(&envelope, session::Command::End).await?;
        self.forget_session(tenant, session).await
    }

    async fn conclude_session(&self, tenant: Id, user: Id, session: Id, reason: Reason) -> Result<(), Problem> {
        let envelope = match reason {
            Reason::Replaced | Reason::PasswordSet => self.own_envelope(tenant, user, session),
            _ => self.system_envelope(tenant, session),
        };
        self.commands.dispatch::<Session>(&envelope, session::Command::Conclude { reason }).await?;
        self.forget_session(tenant, session).await
    }

    /// A user's sessions that last, those used last first.
    pub(crate) async fn sessions_of(&self, tenant: Id, user: Id) -> Result<Vec<Listed>, Problem> {
        let rows: Vec<Listed> = sqlx::query_as(
            "select session_id, method, address, user_agent, started_at, last_seen_at, expires_at from auth_session
             where tenant_id = $1 and user_id = $2 order by last_seen_at desc, session_id desc",
        )
        .bind(tenant.to_string())
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?;
        let (now, mut lasting) = (self.now(), Vec::new());
        for row in rows {
            let Ok(session) = row.session_id.parse() else { continue };
            let known = Known { tenant, session, user };
            if self.why_over(&known, row.last_seen_at.to_jiff(), now).await?.is_none() {
                lasting.push(row);
            }
        }
        Ok(lasting)
    }

    /// Tells the log of a user's sessions that ended with a new password.
    pub(crate) async fn conclude_sessions_of(&self, tenant: Id, user: Id) -> Result<(), Problem> {
        let sessions: Vec<String> =
            sqlx::query_scalar("select session_id from auth_session where tenant_id = $1 and user_id = $2")
                .bind(tenant.to_string())
                .bind(user.to_string())
                .fetch_all(&self.pool)
                .await?;
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        for session in sessions.iter().filter_map(|id| id.parse().ok()) {
            let (known, _) = self.commands.load::<Session>(tenant, session).await?;
            if let Some(reason) = known.over(&state, self.now()).filter(|_| known.status == Status::Active) {
                self.conclude_session(tenant, user, session, reason).await?;
            }
        }
        Ok(())
    }

    /// Tells the log of sessions that are over without anybody's having ended them, and forgets whatever is of no use any
    /// more: tokens, attempts, rows of sessions that ended.
    pub(crate) async fn end_stale_sessions(&self) -> Result<(), Problem> {
        self.forget_tokens().await?;
        self.forget_attempts().await?;
        let (now, mut after) = (self.now(), String::new());
        loop {
            let rows: Vec<(String, String, String, Timestamp, String)> = sqlx::query_as(
                "select tenant_id, session_id, user_id, last_seen_at, digest from auth_session
                 where digest > $1 order by digest limit $2",
            )
            .bind(&after)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.4);
            for (tenant, session, user, seen, _) in rows {
                let Some(known) = parsed(&(tenant, session, user, seen)) else { continue };
                match self.why_over(&known, seen.to_jiff(), now).await? {
                    None => {}
                    Some(Some(reason)) => {
                        self.conclude_session(known.tenant, known.user, known.session, reason).await?;
                    }
                    Some(None) => self.forget_ended_session(&known, now).await?,
                }
            }
        }
    }

    /// Forgets a session that the log says is over; one that is only beginning has time to get there.
    async fn forget_ended_session(&self, known: &Known, now: Time) -> Result<(), Problem> {
        sqlx::query(
            "delete from auth_session where tenant_id = $1 and session_id = $2 and started_at < $3 - interval '1 minute'",
        )
        .bind(known.tenant.to_string())
        .bind(known.session.to_string())
        .bind(now.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
