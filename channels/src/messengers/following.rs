//! How Telegram is told where to bring what comes, or is asked for it where nobody can reach this server: one task for each bot.

use std::{collections::BTreeMap, time::Duration};

use data_encoding::HEXLOWER;
use domain::{
    Id,
    chat::channel::{Channel, Kind},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Messengers, Whose, store,
    telegram::{self, Told, UPDATES},
};
use crate::{followed::Followed, turn::backoff};

/// How often it is looked which channels there are.
const LOOK: Duration = Duration::from_secs(2);
/// How long Telegram waits for something to come before it says that nothing has.
const WAITS: Duration = Duration::from_secs(25);
/// How many updates are asked for at once.
const MOST: u64 = 100;
/// How often it is looked whether a webhook is still ours.
const LOOKED_AFTER: Duration = Duration::from_secs(10 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize)]
struct Me {
    username: Option<String>,
}

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    url: String,
    last_error_message: Option<String>,
}

/// Looks after the channels of Telegram, until it is stopped or the turn is lost.
pub(super) async fn run(messengers: Messengers, stopping: CancellationToken, mut lost: watch::Receiver<bool>) {
    let mut followed = Followed::new();
    let begin = |key, _: &Option<Id>, stop| tokio::spawn(follow(messengers.clone(), key, stop));
    loop {
        match wanted(&messengers).await {
            Ok(wanted) => followed.follow(wanted, begin).await,
            Err(error) => tracing::debug!(%error, "cannot see which messengers there are"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopping.cancelled() => break,
            _ = lost.changed() => break,
        }
    }
    followed.end().await;
}

/// The channels that are looked after, with their tokens.
async fn wanted(messengers: &Messengers) -> Result<BTreeMap<(Id, Id), Option<Id>>, String> {
    let shared = &messengers.0;
    let known: Vec<(String, String)> = sqlx::query_as(
        "select tenant_id, id from read_channels
         where kind = 'telegram' and enabled and credentials_rotated_at is not null",
    )
    .fetch_all(shared.commands.log().pool())
    .await
    .map_err(|error| error.to_string())?;
    let mut wanted = BTreeMap::new();
    for (tenant, id) in known {
        let (Ok(tenant), Ok(id)) = (tenant.parse::<Id>(), id.parse::<Id>()) else { continue };
        let whose = messengers.whose(tenant, id).await.map_err(|refused| refused.to_string())?;
        if is_followed(&whose.channel) {
            wanted.insert((tenant, id), whose.channel.credential);
        }
    }
    Ok(wanted)
}

fn is_followed(channel: &Channel) -> bool {
    channel.kind == Some(Kind::Telegram) && channel.enabled && channel.is_carried()
}

/// Looks after a bot until it is stopped, and begins anew whenever something goes wrong.
async fn follow(messengers: Messengers, key: (Id, Id), stop: CancellationToken) {
    let pool = messengers.0.commands.log().pool().clone();
    let mut failures = 0;
    loop {
        let ended = tokio::select! {
            ended = look_after(&messengers, key, &mut failures) => ended,
            () = stop.cancelled() => break,
        };
        failures += 1;
        if let Err(trouble) = ended {
            tracing::info!(channel = %key.1, trouble, "a bot of Telegram cannot be looked after");
            if let Err(error) = store::troubled(&pool, key, Some(&trouble), failures).await {
                tracing::debug!(%error, "cannot say how a messenger fares");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE)) => {}
            () = stop.cancelled() => break,
        }
    }
}

async fn look_after(messengers: &Messengers, key: (Id, Id), failures: &mut i32) -> Result<(), String> {
    let broken = |error: sqlx::Error| error.to_string();
    let pool = messengers.0.commands.log().pool();
    let whose = messengers.whose(key.0, key.1).await.map_err(|refused| refused.to_string())?;
    let told = |fault: telegram::Fault| fault.words();
    let me: Me = messengers.telegram(&whose, "getMe", Told::Json(json!({})), None).await.map_err(told)?;
    let called = me.username.map(|name| format!("@{name}")).unwrap_or_default();
    let (next, hook) = store::reached(pool, key).await.map_err(broken)?;
    match messengers.address(whose.id) {
        Some(address) => hooked(messengers, &whose, &address, &called, hook, failures).await,
        None => {
            // As long as there is a webhook nobody is told anything who asks.
            let body = json!({ "drop_pending_updates": false });
            let _: bool = messengers.telegram(&whose, "deleteWebhook", Told::Json(body), None).await.map_err(told)?;
            store::connected(pool, key, &called, None).await.map_err(broken)?;
            *failures = 0;
            ask(messengers, &whose, next).await
        }
    }
}

/// Tells Telegram where to bring what comes, and looks once in a while whether it still knows.
async fn hooked(
    messengers: &Messengers,
    whose: &Whose,
    address: &str,
    called: &str,
    known: Option<String>,
    failures: &mut i32,
) -> Result<(), String> {
    let pool = messengers.0.commands.log().pool();
    let told = |fault: telegram::Fault| fault.words();
    let secret = messengers.hook_secret(whose)?;
    let digest = HEXLOWER.encode(&Sha256::digest(format!("{address} {secret}")));
    let mut known = known;
    loop {
        let hook: Hook =
            messengers.telegram(whose, "getWebhookInfo", Told::Json(json!({})), None).await.map_err(told)?;
        if hook.url != address || known.as_deref() != Some(&*digest) {
            // One at a time: what belongs to a chat is brought in its order.
            let body = json!({
                "url": address, "secret_token": secret, "allowed_updates": UPDATES, "max_connections": 1,
                "drop_pending_updates": false,
            });
            let _: bool = messengers.telegram(whose, "setWebhook", Told::Json(body), None).await.map_err(told)?;
            known = Some(digest.clone());
        }
        store::connected(pool, (whose.tenant, whose.id), called, Some(&digest)).await.map_err(|e| e.to_string())?;
        if let Some(error) = hook.last_error_message.filter(|_| hook.url == address) {
            tracing::info!(channel = %whose.id, error, "Telegram could not bring something");
        }
        *failures = 0;
        tokio::time::sleep(LOOKED_AFTER).await;
    }
}

/// Asks what has come, for ever. What is told is written down before it is asked for what comes after.
async fn ask(messengers: &Messengers, whose: &Whose, mut next: i64) -> Result<(), String> {
    let shared = &messengers.0;
    let pool = shared.commands.log().pool();
    loop {
        let mut body = json!({ "timeout": WAITS.as_secs(), "limit": MOST, "allowed_updates": UPDATES });
        if next > 0 {
            body["offset"] = json!(next);
        }
        let patience = Some(WAITS + shared.patience);
        let updates = messengers.telegram::<Vec<Value>>(whose, "getUpdates", Told::Json(body), patience).await;
        let updates = updates.map_err(|fault| fault.words())?;
        let mut brought = Vec::with_capacity(updates.len());
        for update in updates {
            match telegram::reading::kept(update) {
                Ok(one) => {
                    next = next.max(one.ordinal + 1);
                    brought.push(one);
                }
                // Without a number it cannot be said to have come.
                Err(why) => return Err(why),
            }
        }
        let now = (shared.clock)();
        store::bring_up_to(pool, whose, &brought, next, now).await.map_err(|error| error.to_string())?;
        if !brought.is_empty() {
            messengers.nudge();
        }
    }
}
