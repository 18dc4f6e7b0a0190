//! `deskfold import`: sends a file to a running server and follows it to its end.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Response, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::{Failure, print};
use crate::config::{Import, ImportFile};

/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a server that does not answer is asked again.
const PATIENCE: u32 = 50;
/// So many bytes of a file of records are shown to the server when it is to suggest a mapping.
const SUGGESTED_BY: u64 = 1 << 20;

pub(super) async fn run(import: Import) -> Result<(), Failure> {
    let (kind, file) = match import {
        Import::History(file) => ("history", file),
        Import::Entitlements(file) => ("entitlements", file),
        Import::Records(file) => ("records", file),
    };
    crate::install_crypto_provider();
    let server = Server {
        http: reqwest::Client::new(),
        base: file.server.trim_end_matches('/').to_owned(),
        key: file.key.clone(),
    };
    // A wrong key or a missing permission is better known before the file has been sent.
    let me: Me = server.get("/v1/me").await?;
    if !me.permissions.iter().any(|permission| permission == "import.run") {
        return Err("this key may not import: its role lacks the permission import.run".into());
    }
    let started: Started = server.upload(kind, &file).await?;
    say(&format!("import {}", started.id));
    let ended = server.follow(&started).await?;
    let Counts { rows, applied, unchanged, rejected, events } = ended.counts;
    let would = if ended.dry_run { "would be " } else { "" };
    print(&format!("{rows} rows: {applied} {would}applied, {unchanged} unchanged, {rejected} rejected"))?;
    print(&format!("{events} events, {:.0} rows a second", ended.rows_per_second))?;
    if rejected > 0 {
        let report = file.report.unwrap_or_else(|| beside(&file.file));
        server.save(&started.links.report, &report).await?;
        print(&format!("rejected rows, each with its reason: {}", report.display()))?;
    }
    match ended.status.as_str() {
        "completed" => Ok(()),
        status => {
            let reason = ended.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Err(format!("the import {} is {status}{reason}", started.id).into())
        }
    }
}

/// `cases.csv` has its report in `cases.rejected.csv`.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("rejected.csv")
}

/// One line for a person; standard output is for results.
fn say(line: &str) {
    eprintln!("{line}");
}

#[derive(Deserialize)]
struct Me {
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct Started {
    id: String,
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    progress: String,
    report: String,
}

#[derive(Deserialize)]
struct Progress {
    status: String,
    #[serde(default)]
    reason: Option<String>,
    dry_run: bool,
    rows_total: Option<u64>,
    counts: Counts,
    rows_per_second: f64,
}

#[derive(Clone, Copy, Deserialize)]
struct Counts {
    rows: u64,
    applied: u64,
    unchanged: u64,
    rejected: u64,
    events: u64,
}

struct Server {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Server {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key).send().await;
        read(response.map_err(|error| self.unreachable(&error))?).await
    }

    fn unreachable(&self, error: &reqwest::Error) -> String {
        let mut why = error as &dyn std::error::Error;
        while let Some(source) = why.source() {
            why = source;
        }
        format!("{} does not answer: {why}", self.base)
    }

    /// The mapping that the server suggests for a file of records.
    async fn suggested(&self, import: &ImportFile) -> Result<String, Failure> {
        let place = |error: std::io::Error| format!("{}: {error}", import.file.display());
        let mut head = Vec::new();
        File::open(&import.file)
            .await
            .map_err(place)?
            .take(SUGGESTED_BY)
            .read_to_end(&mut head)
            .await
            .map_err(place)?;
        let name = import.file.file_name().map(|name| name.to_string_lossy().replace(['"', '\r', '\n'], "_"));
        let boundary = format!("deskfold-{}", Uuid::now_v7().simple());
        let source = import.source.as_deref().map(|source| {
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"source\"\r\n\r\n{source}\r\n")
        });
        let mut body = source.unwrap_or_default().into_bytes();
        let name = name.unwrap_or_else(|| "upload.csv".into());
        body.extend(
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                .bytes(),
        );
        body.extend(head);
        body.extend(format!("\r\n--{boundary}--\r\n").bytes());
        let sent = self
            .http
            .post(format!("{}/v1/imports/preview", self.base))
            .bearer_auth(&self.key)
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(body)
            .send()
            .await;
        let found: Value = read(sent.map_err(|error| self.unreachable(&error))?).await?;
        let mapping = &found["mapping"];
        let all = |list: &Value| {
            let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join(", ")
        };
        let record = mapping["record"].as_str().unwrap_or_default();
        let lacks = all(&mapping["lacks"]);
        if !lacks.is_empty() {
            return Err(format!(
                "no column is known to say what a {record} needs: {lacks}; write a mapping (--mapping)"
            )
            .into());
        }
        say(&format!(
            "the file is taken for records of the kind {record}; columns that are not taken: {}",
            all(&mapping["left"])
        ));
        Ok(mapping["toml"].as_str().unwrap_or_default().to_owned())
    }

    async fn upload(&self, kind: &str, import: &ImportFile) -> Result<Started, Failure> {
        let place = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let mapping = match &import.mapping {
            // The name of a mapping that the server brings along.
            Some(name) if kind == "records" && !name.exists() && name.extension().is_none() => {
                Some(name.to_string_lossy().into_owned())
            }
            Some(path) => Some(tokio::fs::read_to_string(path).await.map_err(|error| place(path, error))?),
            None if kind == "records" => Some(self.suggested(import).await?),
            None => None,
        };
        let file = File::open(&import.file).await.map_err(|error| place(&import.file, error))?;
        let size = file.metadata().await?.len();
        let name = import.file.file_name().map(|name| name.to_string_lossy().replace(['"', '\r', '\n'], "_"));
        let boundary = format!("deskfold-{}", Uuid::now_v7().simple());
        let mut head = String::new();
        let dry_run = import.dry_run.to_string();
        let source = import.source.as_deref();
        for (field, value) in
            [("kind", Some(kind)), ("dry_run", Some(&dry_run)), ("source", source), ("mapping", mapping.as_deref())]
        {
            if let Some(value) = value {
                let part =
                    format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
                head.push_str(&part);
            }
        }
        head.push_str(&format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             content-type: text/csv\r\n\r\n",
            name.unwrap_or_else(|| "upload.csv".into())
        ));
        let tail = format!("\r\n--{boundary}--\r\n");

        let bar = bar(size, "sending  {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
        let counted = bar.clone();
        let file = ReaderStream::with_capacity(file, 64 << 10).inspect(move |piece| {
            counted.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        });
        let once = |text: String| stream::once(async move { Ok::<_, std::io::Error>(text.into()) });
        let body = once(head).chain(file).chain(once(tail));
        let sent = self
            .http
            .post(format!("{}/v1/imports", self.base))
            .bearer_auth(&self.key)
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(Body::wrap_stream(body))
            .send()
            .await;
        bar.finish_and_clear();
        read(sent.map_err(|error| self.unreachable(&error))?).await
    }

    /// Shows how far the import is until it has ended.
    async fn follow(&self, started: &Started) -> Result<Progress, Failure> {
        let bar = bar(0, "importing {wide_bar} {pos}/{len} rows {per_sec} {eta}");
        let mut silent = 0;
        let mut told = 0;
        loop {
            let progress: Progress = match self.get(&started.links.progress).await {
                Ok(progress) => progress,
                // The server may be starting again: the import goes on when it has.
                Err(error) if silent >= PATIENCE => return Err(error),
                Err(_) => {
                    silent += 1;
                    tokio::time::sleep(LOOK_EVERY * 5).await;
                    continue;
                }
            };
            silent = 0;
            if let Some(total) = progress.rows_total {
                bar.set_length(total);
                let tenths = (progress.counts.rows * 10).checked_div(total).unwrap_or_default();
                if bar.is_hidden() && tenths > told {
                    told = tenths;
                    say(&format!("{} of {total} rows", progress.counts.rows));
                }
            }
            bar.set_position(progress.counts.rows);
            if progress.status != "running" {
                bar.finish_and_clear();
                return Ok(progress);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn save(&self, path: &str, to: &Path) -> Result<(), Failure> {
        let response = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let mut file = File::create(to).await.map_err(|error| format!("{}: {error}", to.display()))?;
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?).await?;
        }
        file.flush().await?;
        Ok(())
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(length: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    if response.status().is_success() { Ok(response.json().await?) } else { Err(refusal(response).await) }
}

/// What a problem document says, fault by fault.
async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let problem: Value = response.json().await.unwrap_or_default();
    let faults = problem["errors"].as_array().into_iter().flatten();
    let faults: Vec<&str> = faults.filter_map(|fault| fault["detail"].as_str()).collect();
    match (faults.as_slice(), problem["detail"].as_str()) {
        ([_, _, ..], _) => format!("the server refuses ({status}):\n  {}", faults.join("\n  ")).into(),
        (_, Some(detail)) => format!("the server refuses ({status}): {detail}").into(),
        _ => format!("the server answers {status}").into(),
    }
}
