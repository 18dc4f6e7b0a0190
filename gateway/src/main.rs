//! The program `deskfold`.

use std::process::ExitCode;

use clap::Parser;
use gateway::{cli::Exit, config::Cli};

#[tokio::main]
async fn main() -> ExitCode {
    match gateway::cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deskfold: {error}");
            error.downcast_ref::<Exit>().map_or(ExitCode::FAILURE, |exit| ExitCode::from(exit.code))
        }
    }
}
