//! Runs the program itself: `deskfold` as a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use deskfold_tests::Client;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The program, without what this environment would tell it.
pub(crate) fn deskfold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskfold-tested"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("DESKFOLD_") || ["DATABASE_URL", "NATS_URL", "NATS_CREDENTIALS"].contains(&name)
        }) {
            command.env_remove(name);
        }
    }
    // What says nothing of a data directory leaves nothing among the sources.
    command.env("DESKFOLD_DATA_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/desk"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a subcommand that must end well; what it printed.
pub(crate) async fn output(arguments: &[&str]) -> String {
    let output = ended(arguments).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a subcommand that must end badly; what it said.
pub(crate) async fn failure(arguments: &[&str]) -> String {
    let output = ended(arguments).await;
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

async fn ended(arguments: &[&str]) -> Output {
    let mut command = deskfold(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// A running `deskfold serve`; it is killed, should a test fail.
pub(crate) struct Running {
    child: Child,
    /// Where it answers HTTP, if that is among its roles.
    address: Option<SocketAddr>,
    /// What it has printed so far.
    printed: PathBuf,
    log: mpsc::UnboundedReceiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) async fn start(home: &Path, arguments: &[&str]) -> Running {
        Running::start_in(home, arguments, &[]).await
    }

    /// The same with these variables in its environment.
    pub(crate) async fn start_in(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let data_dir = home.join("data");
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
        all.extend(arguments);
        let printed = home.join("printed");
        let stdout = fs::File::create(&printed).unwrap();
        let mut child =
            deskfold(&all).envs(variables.iter().copied()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let (said, mut log) = mpsc::unbounded_channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have stopped listening.
                let _ = said.send(line);
            }
        });
        let mut lines = Vec::new();
        let address = loop {
            let line = log.recv().await;
            let Some(line) = line else { panic!("it ended before it listened:\n{}", lines.join("\n")) };
            let address = line.split("listening on http://").nth(1).and_then(|rest| rest.split(';').next());
            if let Some(address) = address {
                break Some(address.parse().unwrap());
            }
            if line.contains("working without HTTP") {
                break None;
            }
            lines.push(line);
        };
        Running { child, address, printed, log }
    }

    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.printed).unwrap()
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(self.address.expect("it answers HTTP"), key)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it says something in its log; everything it said up to then.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let mut lines = Vec::new();
        while let Ok(Some(line)) = tokio::time::timeout(Duration::from_secs(60), self.log.recv()).await {
            let said = line.contains(text);
            lines.push(line);
            if said {
                return lines.join("\n");
            }
        }
        panic!("it does not say {text:?}:\n{}", lines.join("\n"));
    }

    /// Waits for its end; whether it ended well, and the rest of its log.
    pub(crate) async fn end(mut self) -> (bool, String) {
        let mut lines = Vec::new();
        // Its log ends with it.
        while let Some(line) = tokio::time::timeout(Duration::from_secs(60), self.log.recv()).await.expect("it ends") {
            lines.push(line);
        }
        (self.child.wait().unwrap().success(), lines.join("\n"))
    }
}

/// A directory that the user PostgreSQL runs as may enter.
pub(crate) fn home() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// The keys in a text.
pub(crate) fn keys(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| word.starts_with("dfk_"));
    words.map(ToOwned::to_owned).collect()
}
