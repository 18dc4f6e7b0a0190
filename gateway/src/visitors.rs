//! Visitors of pages: they hold a token that their own browser made, for one conversation, and have no other right.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode, header};
use domain::{
    Actor, ActorKind, Id, Time,
    chat::{channel::PUBLIC_SCOPE, conversation::Conversation},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock, clock::DefaultClock};
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx;
use parking_lot::Mutex;
use sqlx::FromRow;

use crate::{app::App, auth::digest, problem::Problem};

/// How long a token is good after it was last used.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24 * 60);
/// What tokens begin with, so that whoever finds one knows what it is.
const PREFIX: &str = "dfv_";
/// Characters of 32 bytes in base64.
const LENGTH: usize = 43;
/// After how many seconds somebody may ask again who has too many streams.
const STREAM_RETRY: u64 = 10;
/// How often it is written down that a token was used.
const NOTED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// A visitor who has written before.
#[derive(Clone, Debug)]
pub(crate) struct Visiting {
    pub(crate) tenant: Id,
    pub(crate) channel: Id,
    pub(crate) visitor: Id,
    pub(crate) sender: String,
    pub(crate) conversation: Id,
    digest: String,
}

#[derive(FromRow)]
struct Row {
    tenant_id: String,
    channel_id: String,
    visitor_id: String,
    sender: String,
    conversation_id: String,
    digest: String,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    revoked_at: Option<jiff_sqlx::Timestamp>,
}

/// How whoever sends a token stands.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Nobody has written with it.
    Stranger,
    /// It was given up, or taken away: it is good for nothing any more.
    Gone,
    /// It opens a conversation.
    Known(Visiting),
}

impl Standing {
    /// Who that is, if anybody yet; a token that was given up is refused.
    pub(crate) fn known(self) -> Result<Option<Visiting>, Problem> {
        match self {
            Standing::Stranger => Ok(None),
            Standing::Gone => Err(unknown()),
            Standing::Known(visiting) => Ok(Some(visiting)),
        }
    }
}

impl Visiting {
    fn of(row: Row) -> Option<Visiting> {
        Some(Visiting {
            tenant: row.tenant_id.parse().ok()?,
            channel: row.channel_id.parse().ok()?,
            visitor: row.visitor_id.parse().ok()?,
            sender: row.sender,
            conversation: row.conversation_id.parse().ok()?,
            digest: row.digest,
        })
    }

    /// As whom he acts.
    pub(crate) fn actor(&self) -> Actor {
        Actor { kind: ActorKind::Visitor, id: self.visitor, on_behalf_of: None }
    }
}

/// A token that a browser made; it may be known or not.
#[derive(Clone)]
pub(crate) struct Token {
    digest: String,
}

impl Token {
    /// Reads one; what is too short to be random is none.
    pub(crate) fn read(text: &str) -> Result<Token, Problem> {
        let sound = text.strip_prefix(PREFIX).is_some_and(|random| {
            random.len() == LENGTH && random.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        });
        if sound { Ok(Token { digest: digest(text) }) } else { Err(invalid()) }
    }

    /// The one that a request is sent with.
    pub(crate) fn sent(headers: &HeaderMap) -> Result<Token, Problem> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let text = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(invalid)?;
        Token::read(text.trim())
    }

    /// Whoever holds it: the same every time it is sent, before anything of it is written down too.
    pub(crate) fn holder(&self) -> Id {
        Id::named(&["visitor", &self.digest])
    }
}

fn invalid() -> Problem {
    let detail =
        "Send the visitor's token: Authorization: Bearer dfv_ and 32 random bytes in base64 without padding, for URLs.";
    Problem::unauthorized("visitor_token_invalid", detail)
}

/// What is answered to a token that nobody has written with, or not any more.
pub(crate) fn unknown() -> Problem {
    Problem::missing("visitor_unknown", "Nothing was written with this token, or it was given up.")
}

/// How much visitors may write.
pub(crate) struct Flood(Option<Limiters>);

struct Limiters {
    per_minute: NonZeroU32,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    visitors: DefaultKeyedRateLimiter<Id>,
}

/// What a limiter says to so many at once: when it would let them through.
fn checked<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: &K, count: NonZeroU32) -> Result<(), u64> {
    let not_until =
        |not_until: governor::NotUntil<_>| not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
    // More at once than there may be in a minute never come: whoever asks takes no more than that.
    limiter.check_key_n(key, count).unwrap_or(Ok(())).map_err(not_until)
}

impl Flood {
    /// So many messages a minute from an address, and by a visitor; 0 for any number.
    pub(crate) fn new(per_minute: u32) -> Flood {
        let limiters = NonZeroU32::new(per_minute).map(|limit| {
            let quota = Quota::per_minute(limit);
            Limiters { per_minute: limit, addresses: RateLimiter::keyed(quota), visitors: RateLimiter::keyed(quota) }
        });
        Flood(limiters)
    }

    /// Counts what is worth so many messages.
    pub(crate) fn take(&self, address: Option<IpAddr>, visitor: Id, messages: u32) -> Result<(), Problem> {
        let Some(Limiters { per_minute, addresses, visitors }) = &self.0 else { return Ok(()) };
        let count = NonZeroU32::new(messages).unwrap_or(NonZeroU32::MIN).min(*per_minute);
        let of_address = address.map_or(Ok(()), |address| checked(addresses, &address, count));
        let Err(seconds) = of_address.and_then(|()| checked(visitors, &visitor, count)) else { return Ok(()) };
        let detail = format!("Too much at once. Try again in {seconds} s.");
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds))
    }

    /// Forgets who has been quiet.
    pub(crate) fn tidy(&self) {
        if let Some(Limiters { addresses, visitors, .. }) = &self.0 {
            addresses.retain_recent();
            visitors.retain_recent();
        }
    }
}

/// How many streams visitors have open in this process.
pub(crate) struct Streams {
    most: usize,
    open: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    addresses: HashMap<IpAddr, usize>,
    visitors: HashMap<Id, usize>,
}

/// A stream that counts as long as it is kept.
pub(crate) struct Streaming {
    streams: Arc<Streams>,
    address: Option<IpAddr>,
    visitor: Id,
}

impl Streams {
    /// So many from an address, and a tenth of them by a visitor; 0 for any number.
    pub(crate) fn new(most: u32) -> Arc<Streams> {
        Arc::new(Streams { most: most as usize, open: Mutex::default() })
    }

    /// One more, unless there are as many as there may be.
    pub(crate) fn open(self: &Arc<Streams>, address: Option<IpAddr>, visitor: Id) -> Result<Streaming, Problem> {
        let mut open = self.open.lock();
        let here = address.and_then(|address| open.addresses.get(&address)).copied().unwrap_or_default();
        let own = open.visitors.get(&visitor).copied().unwrap_or_default();
        if self.most > 0 && (here >= self.most || own >= (self.most / 10).max(1)) {
            let detail =
                "There are too many streams open from here: one for all tabs of a page is enough. Close others first.";
            return Err(
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "streams_limited", detail).retry_after(STREAM_RETRY)
            );
        }
        if let Some(address) = address {
            *open.addresses.entry(address).or_default() += 1;
        }
        *open.visitors.entry(visitor).or_default() += 1;
        Ok(Streaming { streams: Arc::clone(self), address, visitor })
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        fn leave<K: Eq + Hash>(open: &mut HashMap<K, usize>, key: K) {
            if let Entry::Occupied(mut entry) = open.entry(key) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        let mut open = self.streams.open.lock();
        if let Some(address) = self.address {
            leave(&mut open.addresses, address);
        }
        leave(&mut open.visitors, self.visitor);
    }
}

impl App {
    /// The tenant of a channel.
    pub(crate) async fn tenant_of_channel(&self, channel: Id) -> Result<Option<Id>, Problem> {
        let owner = self.log.claim_owner("", PUBLIC_SCOPE, &channel.to_string()).await?;
        Ok(owner.and_then(|owner| owner.tenant.parse().ok()))
    }

    /// The visitor with a token, in a channel.
    pub(crate) async fn visiting(&self, channel: Id, token: &Token) -> Result<Option<Visiting>, Problem> {
        match self.admitted(channel, token).await? {
            Standing::Known(visiting) => Ok(Some(visiting)),
            Standing::Stranger | Standing::Gone => Ok(None),
        }
    }

    /// How whoever sends a token stands in a channel. What the desk has revoked the log says, at once and for ever.
    pub(crate) async fn admitted(&self, channel: Id, token: &Token) -> Result<Standing, Problem> {
        let row: Option<Row> = sqlx::query_as("select * from auth_visitor where digest = $1 and channel_id = $2")
            .bind(&token.digest)
            .bind(channel.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(Standing::Stranger) };
        if row.revoked_at.is_some() {
            return Ok(Standing::Gone);
        }
        let (since, good) = (row.created_at.to_jiff(), row.expires_at.to_jiff());
        let Some(visiting) = Visiting::of(row) else { return Ok(Standing::Stranger) };
        let (conversation, _) =
            self.commands.load_current::<Conversation>(visiting.tenant, visiting.conversation).await?;
        if conversation.revoked_at().is_some_and(|at| since <= at) {
            return Ok(Standing::Gone);
        }
        if good <= self.now() {
            return Ok(Standing::Stranger);
        }
        if good.duration_since(self.now()) < GOOD_FOR - NOTED_EVERY {
            sqlx::query("update auth_visitor set expires_at = $2 where digest = $1")
                .bind(&token.digest)
                .bind(self.good_until().to_sqlx())
                .execute(&self.pool)
                .await?;
        }
        Ok(Standing::Known(visiting))
    }

    /// Writes down that whoever holds a token may begin a chat. A challenge counts for one token: false when another has it.
    pub(crate) async fn note_proof(
        &self,
        channel: Id,
        token: &Token,
        challenge: Option<&str>,
        until: Time,
    ) -> Result<bool, Problem> {
        let noted = sqlx::query(
            "insert into auth_visitor_proof (digest, channel_id, challenge, expires_at) values ($1, $2, $3, $4)
             on conflict (digest) do update
             set channel_id = excluded.channel_id, challenge = excluded.challenge, expires_at = excluded.expires_at",
        )
        .bind(&token.digest)
        .bind(channel.to_string())
        .bind(challenge)
        .bind(until.to_sqlx())
        .execute(&self.pool)
        .await;
        match noted {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(true),
        }
    }

    /// Whether whoever holds a token has shown what the channel wants shown before a chat begins.
    pub(crate) async fn has_proven(&self, channel: Id, token: &Token) -> Result<bool, Problem> {
        let proven =
            "select exists (select from auth_visitor_proof where digest = $1 and channel_id = $2 and expires_at > $3)";
        let proven: bool = sqlx::query_scalar(proven)
            .bind(&token.digest)
            .bind(channel.to_string())
            .bind(self.now().to_sqlx())
            .fetch_one(&self.pool)
            .await?;
        Ok(proven)
    }

    fn good_until(&self) -> Time {
        self.now().checked_add(GOOD_FOR).unwrap_or(Time::MAX)
    }

    /// Writes down that whoever holds a token takes part in a conversation.
    pub(crate) async fn admit(
        &self,
        (tenant, channel): (Id, Id),
        token: &Token,
        sender: &str,
        conversation: Id,
    ) -> Result<(), Problem> {
        sqlx::query(
            "insert into auth_visitor (digest, tenant_id, channel_id, visitor_id, sender, conversation_id, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (digest) do update set conversation_id = excluded.conversation_id, expires_at = excluded.expires_at
             where auth_visitor.tenant_id = excluded.tenant_id and auth_visitor.channel_id = excluded.channel_id",
        )
        .bind(&token.digest)
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .bind(token.holder().to_string())
        .bind(sender)
        .bind(conversation.to_string())
        .bind(self.now().to_sqlx())
        .bind(self.good_until().to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a visitor another token; the one until now is of no use then.
    pub(crate) async fn renew(&self, visiting: &Visiting, token: &Token) -> Result<(), Problem> {
        let renewed = sqlx::query(
            "with renewed as (update auth_visitor set digest = $2, expires_at = $3 where digest = $1 returning *)
             insert into auth_visitor
                 (digest, tenant_id, channel_id, visitor_id, sender, conversation_id, created_at, expires_at, revoked_at)
             select $1, tenant_id, channel_id, visitor_id, sender, conversation_id, created_at, $4, $4 from renewed",
        )
        .bind(&visiting.digest)
        .bind(&token.digest)
        .bind(self.good_until().to_sqlx())
        .bind(self.now().to_sqlx())
        .execute(&self.pool)
        .await;
        match renewed {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(invalid()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Gives a visitor's token up.
    pub(crate) async fn forget_visitor(&self, visiting: &Visiting) -> Result<(), Problem> {
        sqlx::query("update auth_visitor set revoked_at = $2 where digest = $1")
            .bind(&visiting.digest)
            .bind(self.now().to_sqlx())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets tokens that are too old, and what was shown to begin a chat; what was given up stays so.
    pub(crate) async fn forget_visitors(&self) -> Result<(), Problem> {
        let old = [
            "delete from auth_visitor where expires_at < $1 and revoked_at is null",
            "delete from auth_visitor_proof where expires_at < $1",
        ];
        for old in old {
            sqlx::query(old).bind(self.now().to_sqlx()).execute(&self.pool).await?;
        }
        Ok(())
    }
}

/// How often it is looked whether somebody who listens is still let in.
pub(crate) const LOOKED_AT_EVERY: Duration = Duration::from_secs(15);
