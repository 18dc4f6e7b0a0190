//! What it runs on: processes, databases, machines, deployment.

pub(crate) mod crash;
pub(crate) mod databases;
pub(crate) mod deploy;
pub(crate) mod nats;
pub(crate) mod newcomer;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod rooms;
pub(crate) mod snapshots;
