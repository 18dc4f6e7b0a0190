//! A migrated database for each test, in a PostgreSQL of this process's own.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::cluster::Cluster;

/// A database of one test's own.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// How another process connects to it.
    pub(crate) options: PgConnectOptions,
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) async fn database() -> Database {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    static CLONING: Mutex<()> = Mutex::const_new(());
    let cluster = CLUSTER.get_or_init(|| Cluster::start("-c fsync=off -c max_connections=600"));
    let template = async || {
        cluster.execute("create database migrated").await;
        // Read when run rather than when compiled, so that a new migration needs no rebuild.
        let migrations = Migrator::new(root().join("migrations")).await.unwrap();
        let mut connection = PgConnection::connect_with(&cluster.options("migrated")).await.unwrap();
        migrations.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    TEMPLATE.get_or_init(template).await;
    let name = format!("test_{}", Uuid::now_v7().simple());
    {
        // A template can be copied by one at a time.
        let _cloning = CLONING.lock().await;
        cluster.execute(&format!("create database {name} template migrated")).await;
    }
    let options = cluster.options(&name);
    let pool = PgPoolOptions::new().max_connections(16).connect_with(options.clone()).await.unwrap();
    Database { pool, options }
}
