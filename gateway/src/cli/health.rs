//! `deskfold health`: whether a running server lives, or can work.

use std::time::Duration;

use super::{Failure, print};
use crate::config::Health;

/// How long the answer may take: `/readyz` itself gives up within a second.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(health: Health) -> Result<(), Failure> {
    crate::install_crypto_provider();
    let path = if health.ready { "readyz" } else { "healthz" };
    let url = format!("{}/{path}", health.server.trim_end_matches('/'));
    let asked = async {
        let response = reqwest::Client::builder().no_proxy().build()?.get(&url).send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.text().await?))
    };
    let (status, text) = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| format!("{url} gives no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("{url} cannot be reached: {}", error.without_url()))?;
    if !status.is_success() {
        return Err(format!("{url} answers {status}: {text}").into());
    }
    print(&text)
}
