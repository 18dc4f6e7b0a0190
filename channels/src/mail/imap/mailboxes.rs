//! Which mailboxes are fetched from: of all processes one does, and follows what channels say of them. How each fares stands in
//! `react_mailbox`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use commands::Refused;
use domain::{
    Id,
    chat::channel::{Channel, Kind, Mailbox, Purpose},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Login, Open, Reached, Trouble, Whose, taken_in};
use crate::{
    followed::Followed,
    mail::{Post, addresses::Found, oauth},
    outbox::Secrets,
    turn::{Turn, backoff},
};

/// Held by the process that fetches.
const FETCHING: i64 = 7_813_887_472;
/// How often it is looked which mailboxes there are.
const LOOK: Duration = Duration::from_secs(2);
/// From the first attempt that failed to the next; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What fetching needs.
#[derive(Clone)]
pub struct Options {
    /// What mail needs of this process.
    pub post: Post,
    /// Opens credentials.
    pub secrets: Secrets,
    /// Whether servers in private networks may be called.
    pub private: bool,
    /// How long a server may take to answer.
    pub patience: Duration,
}

/// How a mailbox fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MailboxState")]
pub struct State {
    /// Whether it is open now.
    pub connected: bool,
    /// What went wrong last; nothing while it is open.
    pub error: Option<String>,
    /// How many attempts failed one after the other.
    pub failures: i32,
    /// How many mails were taken in from it.
    pub taken: i64,
    /// When it was last looked into.
    pub checked_at: Option<domain::Time>,
}

/// A mailbox that is to be fetched from.
#[derive(Clone, PartialEq)]
struct Wanted {
    mailbox: Mailbox,
    credential: Option<Id>,
}

/// What fetches.
pub struct Fetching {
    task: JoinHandle<()>,
    stopping: CancellationToken,
    nudge: Arc<Notify>,
}

impl Fetching {
    /// Starts it.
    pub fn start(options: Options) -> Fetching {
        let (stopping, nudge) = (CancellationToken::new(), Arc::new(Notify::new()));
        let task = tokio::spawn(run(options, stopping.clone(), Arc::clone(&nudge)));
        Fetching { task, stopping, nudge }
    }

    /// Looks at once which mailboxes there are.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stopping.cancel();
        // A task that panicked has been reported.
        let _ = self.task.await;
    }
}

async fn run(options: Options, stopping: CancellationToken, nudge: Arc<Notify>) {
    let pool = options.post.commands.log().pool().clone();
    while !stopping.is_cancelled() {
        if let Ok(Some(turn)) = Turn::take(&pool, FETCHING).await
            && let Err(error) = follow(&options, turn, &stopping, &nudge).await
        {
            tracing::warn!(%error, "no mail is fetched for a while");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// Fetches from whatever mailboxes there are, until it is stopped or the turn is lost.
async fn follow(
    options: &Options,
    mut turn: Turn,
    stopping: &CancellationToken,
    nudge: &Notify,
) -> Result<(), sqlx::Error> {
    let mut followed = Followed::new();
    let begin = |whose, wanted: &Wanted, stop| tokio::spawn(fetch(options.clone(), whose, wanted.clone(), stop));
    let outcome = loop {
        if stopping.is_cancelled() {
            break Ok(());
        }
        if let Err(error) = turn.check().await {
            break Err(error);
        }
        match wanted(options).await {
            Ok(wanted) => followed.follow(wanted, begin).await,
            Err(error) => tracing::debug!(%error, "cannot see which mailboxes there are"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = nudge.notified() => {}
            () = stopping.cancelled() => {}
        }
    };
    followed.end().await;
    turn.give_back().await;
    outcome
}

/// The mailboxes that are to be fetched from, as their channels stand.
async fn wanted(options: &Options) -> Result<BTreeMap<Whose, Wanted>, String> {
    let known: Vec<(String, String)> = sqlx::query_as(
        "select tenant_id, id from read_channels where kind = 'email' and enabled and mail->'incoming' is not null",
    )
    .fetch_all(options.post.commands.log().pool())
    .await
    .map_err(|error| error.to_string())?;
    let mut wanted = BTreeMap::new();
    for (tenant, id) in known {
        let (Ok(tenant), Ok(id)) = (tenant.parse::<Id>(), id.parse::<Id>()) else { continue };
        let found = channel(options, (tenant, id)).await.map_err(|refused| refused.to_string())?;
        let mailbox = found.as_ref().and_then(|found| found.channel.mail.incoming.clone());
        if let (Some(found), Some(mailbox)) = (found, mailbox) {
            let credential = found.channel.credential_of(Purpose::Incoming);
            wanted.insert((tenant, id), Wanted { mailbox, credential });
        }
    }
    Ok(wanted)
}

async fn channel(options: &Options, (tenant, id): Whose) -> Result<Option<Found>, Refused> {
    let (channel, _) = options.post.commands.load_current::<Channel>(tenant, id).await?;
    let open = channel.kind == Some(Kind::Email) && channel.enabled;
    Ok(open.then_some(Found { tenant, id, channel }))
}

/// Fetches from a mailbox until it is stopped, and begins anew whenever something goes wrong.
async fn fetch(options: Options, whose: Whose, wanted: Wanted, stop: CancellationToken) {
    let pool = options.post.commands.log().pool().clone();
    let mut failures = 0;
    // What is not ours and never will be: it is not asked for again.
    let mut left: HashSet<(u32, u32)> = HashSet::new();
    loop {
        let ended = tokio::select! {
            ended = keep_fetching(&options, whose, &wanted, &mut failures, &mut left) => ended,
            () = stop.cancelled() => break,
        };
        failures += 1;
        if let Err(trouble) = ended {
            tracing::info!(channel = %whose.1, trouble, "a mailbox cannot be fetched from");
            if let Err(error) = fares(&pool, whose, false, Some(&trouble), failures, 0).await {
                tracing::debug!(%error, "cannot say how a mailbox fares");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE)) => {}
            () = stop.cancelled() => break,
        }
    }
    if let Err(error) = fares(&pool, whose, false, None, 0, 0).await {
        tracing::debug!(%error, "cannot say how a mailbox fares");
    }
}

async fn login(options: &Options, (tenant, id): Whose, wanted: &Wanted) -> Result<Login, Trouble> {
    let credential = wanted.credential.ok_or("the channel has no password for its mailbox")?;
    let sealed = (options.secrets)(tenant, id, credential).await?;
    let sealed = sealed.ok_or("the channel has no password for its mailbox")?;
    Ok(match &wanted.mailbox.oauth {
        Some(oauth) => Login::Token(oauth::token(oauth, &sealed, options.private, options.patience).await?),
        None => Login::Password(sealed),
    })
}

async fn keep_fetching(
    options: &Options,
    whose: Whose,
    wanted: &Wanted,
    failures: &mut i32,
    left: &mut HashSet<(u32, u32)>,
) -> Result<(), Trouble> {
    let pool = options.post.commands.log().pool();
    let broken = |error: sqlx::Error| error.to_string();
    let Wanted { mailbox, .. } = wanted;
    let login = login(options, whose, wanted).await?;
    let mut open = Open::new(mailbox, login, options.private, options.patience).await?;
    *failures = 0;
    fares(pool, whose, true, None, 0, 0).await.map_err(broken)?;
    loop {
        let mut reached = reached(pool, whose, &mailbox.folder).await.map_err(broken)?;
        for uid in open.new_ones(reached).await? {
            let validity = open.validity();
            if left.contains(&(validity, uid)) {
                continue;
            }
            let found = channel(options, whose).await.map_err(|refused| refused.to_string())?;
            let found = found.ok_or("the channel is closed")?;
            let ours = match open.mail(uid).await? {
                Some(raw) => taken_in(&options.post, &found, raw).await?,
                None => false,
            };
            if ours {
                open.put_aside(uid, mailbox.taken_folder.as_deref()).await?;
                fares(pool, whose, true, None, 0, 1).await.map_err(broken)?;
            } else {
                left.insert((validity, uid));
            }
            // What was put aside does not come again; what stays is known by its number.
            reached = Reached { validity, uid };
            keep(pool, whose, &mailbox.folder, reached).await.map_err(broken)?;
        }
        fares(pool, whose, true, None, 0, 0).await.map_err(broken)?;
        open = open.wait().await?;
    }
}

async fn reached(pool: &PgPool, (tenant, channel): Whose, folder: &str) -> Result<Reached, sqlx::Error> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "select uid_validity, uid from react_mailbox_folder where tenant_id = $1 and channel_id = $2 and folder = $3",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(folder)
    .fetch_optional(pool)
    .await?;
    let number = |number: i64| u32::try_from(number).unwrap_or_default();
    Ok(row.map(|(validity, uid)| Reached { validity: number(validity), uid: number(uid) }).unwrap_or_default())
}

async fn keep(pool: &PgPool, (tenant, channel): Whose, folder: &str, reached: Reached) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_mailbox_folder (tenant_id, channel_id, folder, uid_validity, uid) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, channel_id, folder) do update set uid_validity = $4, uid = $5",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(folder)
    .bind(i64::from(reached.validity))
    .bind(i64::from(reached.uid))
    .execute(pool)
    .await?;
    Ok(())
}

/// A row of `react_mailbox`: whether it is open, what went wrong, how often, how many were taken, when it was looked into.
type Fares = (bool, Option<String>, i32, i64, Option<jiff_sqlx::Timestamp>);

/// Says how a mailbox fares.
async fn fares(
    pool: &PgPool,
    (tenant, channel): Whose,
    connected: bool,
    error: Option<&str>,
    failures: i32,
    taken: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_mailbox (tenant_id, channel_id, connected, error, failures, taken, checked_at)
         values ($1, $2, $3, $4, $5, $6, now())
         on conflict (tenant_id, channel_id) do update set connected = $3, error = $4, failures = $5,
             taken = react_mailbox.taken + $6, checked_at = now()",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(connected)
    .bind(error)
    .bind(failures)
    .bind(taken)
    .execute(pool)
    .await?;
    Ok(())
}

impl State {
    /// How the mailbox of a channel fares; `None` where it was never fetched from.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(pool: &PgPool, tenant: Id, channel: Id) -> Result<Option<State>, sqlx::Error> {
        let row: Option<Fares> = sqlx::query_as(
            "select connected, error, failures, taken, checked_at from react_mailbox
             where tenant_id = $1 and channel_id = $2",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .fetch_optional(pool)
        .await?;
        Ok(row.map(|(connected, error, failures, taken, checked)| State {
            connected,
            error,
            failures,
            taken,
            checked_at: checked.map(jiff_sqlx::Timestamp::to_jiff),
        }))
    }
}
