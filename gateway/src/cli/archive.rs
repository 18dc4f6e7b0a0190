//! `deskfold archive`: a whole tenant into a file, and out of it into another Deskfold.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use channels::files::Files;
use domain::Time;
use futures::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Failure, key::Bench, print};
use crate::{
    archive::{Archive, Manifest, restore, verify},
    config,
    database::Connected,
};

pub(super) async fn run(command: config::Archive) -> Result<(), Failure> {
    match command {
        config::Archive::Export { database, files, tenant, file } => {
            let files = files.open(&database.data_dir)?;
            let bench = Bench::open(&database).await?;
            let written = export(&bench, &files, tenant.as_deref(), &file).await;
            bench.close().await;
            written
        }
        config::Archive::Verify { file } => {
            let (manifest, sha256) = verified(&file).await?;
            tell(&manifest, &sha256)
        }
        config::Archive::Import { database, files, file } => {
            let file = open(&file)?;
            let files = files.open(&database.data_dir)?;
            let connected = Connected::to(&database).await?;
            let pool = connected.pool(4).await?;
            let done = async {
                eventstore::MIGRATOR.run(&pool).await?;
                Ok::<_, Failure>(restore(&pool, &files, file).await?)
            };
            let done = done.await;
            pool.close().await;
            connected.stop().await;
            let restored = done?;
            tell(&restored.manifest, &restored.sha256)?;
            eprintln!(
                "All of it is here, and its API keys work. Run `deskfold serve`. Passwords and second factors were left where they \
                 were: `deskfold admin link --user ADDRESS` prints a link at which somebody sets a password, and `deskfold admin \
                 restore --user ADDRESS` a key that may do everything."
            );
            Ok(())
        }
    }
}

fn open(file: &Path) -> Result<File, Failure> {
    Ok(File::open(file).map_err(|error| format!("{}: {error}", file.display()))?)
}

async fn verified(file: &Path) -> Result<(Manifest, String), Failure> {
    let file = open(file)?;
    Ok(tokio::task::spawn_blocking(move || verify(&file)).await??)
}

/// Writes the file under another name first: what has the name is whole.
async fn export(bench: &Bench, files: &Files, tenant: Option<&str>, file: &Path) -> Result<(), Failure> {
    let tenant = bench.tenant(tenant).await?;
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let cannot = |error: std::io::Error| format!("{}: {error}", part.display());
    // Nobody else reads it, whoever wrote there before.
    if part.exists() {
        fs::remove_file(&part).map_err(cannot)?;
    }
    let mut into = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(cannot)?;
    let archive = Archive::begin(&bench.log, files, tenant, Time::now()).await?;
    let mut bytes = std::pin::pin!(archive.file(CancellationToken::new(), Box::new(())));
    while let Some(bytes) = bytes.next().await {
        into.write_all(&bytes?).map_err(cannot)?;
    }
    into.sync_all().map_err(cannot)?;
    let (manifest, sha256) = verified(&part).await?;
    fs::rename(&part, file).map_err(cannot)?;
    tell(&manifest, &sha256)
}

/// What an archive holds, as one JSON object.
fn tell(manifest: &Manifest, sha256: &str) -> Result<(), Failure> {
    print(&serde_json::to_string(&json!({
        "tenant": manifest.tenant,
        "events": manifest.events,
        "position": manifest.position,
        "made_at": manifest.made_at,
        "program": manifest.program,
        "parts": manifest.parts.len(),
        "manifest_sha256": sha256,
    }))?)
}
