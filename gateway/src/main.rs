//! The program `deskfold`.

use std::process::ExitCode;

use clap::Parser;
use gateway::config::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match gateway::cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deskfold: {error}");
            ExitCode::FAILURE
        }
    }
}
