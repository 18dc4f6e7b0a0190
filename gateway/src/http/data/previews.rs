//! Looks at a file of records before it is imported, and writes nothing.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State},
    http::{Method, StatusCode},
    routing::post,
};
use domain::{
    Id,
    kernel::{custom::Definitions, external::ExternalId},
    org::field::Field,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::imports::{text_of, unreadable};
use crate::http::kernel::routes::Routes;
use crate::{
    app::App,
    auth::Caller,
    import::{Guess, Known, Layout, Shape, Sheet, Who, foresee, kinds, look, shape, shipped_or},
    problem::Problem,
};

/// So much of the file is looked at.
const HEAD: usize = 512 << 10;
/// Rows that are shown.
const SHOWN: usize = 5;
/// Rows that are rehearsed.
const REHEARSED: usize = 20;

/// `POST /imports/preview`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().route(Method::POST, "/imports/preview", post(preview).layer(DefaultBodyLimit::disable()))
}

/// A file as it looks, and what it may mean.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Preview {
    /// Its encoding, such as `windows-1251`.
    encoding: &'static str,
    /// What stands between two cells.
    delimiter: String,
    /// What stands around a cell that has such in it.
    quote: String,
    /// The names of its columns.
    header: Vec<String>,
    /// Its first rows.
    rows: Vec<Vec<String>>,
    /// Whose export it is, where that is known.
    recognised: Option<Recognised>,
    /// What its columns mean.
    mapping: Meaning,
    /// What its first rows would lead to, each after those before it; empty while the mapping lacks something.
    outcomes: Vec<Outcome>,
    /// The kinds of records that a file may hold.
    kinds: Vec<&'static str>,
}

/// Whose export a file is.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Recognised {
    /// The other system, such as `hubspot`.
    system: &'static str,
    /// The name of the mapping that Deskfold brings along for it.
    mapping: &'static str,
}

/// What the columns of a file mean.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Meaning {
    /// The kind of records.
    record: &'static str,
    /// As TOML: what `POST /v1/imports` takes.
    toml: String,
    /// The same as JSON.
    json: Value,
    /// Columns with the attributes that they say.
    columns: BTreeMap<String, Vec<String>>,
    /// Columns that are not taken.
    left: Vec<String>,
    /// Attributes that such a record needs and no column has: say them before it is imported.
    lacks: Vec<String>,
    /// All that columns can say of such a record, custom fields aside.
    attributes: Vec<Attribute>,
}

/// Something that a column can say.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Attribute {
    /// Its name.
    name: String,
    /// What it is.
    about: String,
    /// Whether a new record must have it.
    required: bool,
}

/// What a row would lead to.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Outcome {
    /// The row, 1 being the first after the header.
    row: u64,
    /// Its first line in the file.
    line: u64,
    /// `create`, `update`, `unchanged` or `reject`.
    outcome: &'static str,
    /// Why it is refused.
    code: Option<String>,
    /// The same for a person.
    reason: Option<String>,
    /// The record that is brought up to date, where the caller sees it.
    record: Option<Id>,
    /// The commands that it would give, with what they say.
    commands: Vec<Said>,
    /// How many other records may be the same as the row's.
    duplicates: usize,
}

/// A command that a row would give.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Said {
    /// Its name.
    command: String,
    /// Its body.
    body: Value,
}

/// A form as it was sent.
#[derive(Default)]
struct Form {
    record: Option<String>,
    source: Option<String>,
    mapping: Option<String>,
    name: String,
    head: Vec<u8>,
    bytes: usize,
    guess: Option<Guess>,
}

async fn read(app: &App, mut form: Multipart) -> Result<Form, Problem> {
    let mut read = Form::default();
    while let Some(mut part) = form.next_field().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_owned();
        let target = match name.as_str() {
            "file" if read.guess.is_none() => {
                let mut guess = Guess::new();
                read.name = part.file_name().unwrap_or_default().to_owned();
                while let Some(piece) = part.chunk().await.map_err(unreadable)? {
                    read.bytes += piece.len();
                    if read.bytes > app.config.upload_limit {
                        let limit = app.config.upload_limit;
                        let detail = format!("The file is larger than the {limit} bytes that this server takes.");
                        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
                    }
                    guess.push(&piece);
                    read.head.extend(piece.iter().take(HEAD - read.head.len().min(HEAD)));
                }
                read.guess = Some(guess);
                continue;
            }
            "record" => &mut read.record,
            "source" => &mut read.source,
            "mapping" => &mut read.mapping,
            "file" => return Err(Problem::invalid("file_twice", "A preview looks at one file.").at("/file")),
            other => {
                let detail = format!("There is no field {other}; there are record, source, mapping and file.");
                return Err(Problem::invalid("body_invalid", detail).at(format!("/{other}")));
            }
        };
        *target = text_of(&name, part).await?.map(|text| if name == "mapping" { text } else { text.trim().to_owned() });
    }
    Ok(read)
}

fn shown(shape: &'static Shape) -> impl Iterator<Item = Attribute> {
    shape.attributes.values().map(|attribute| Attribute {
        name: attribute.name.clone(),
        about: attribute.about.clone(),
        required: attribute.required,
    })
}

async fn preview(State(app): State<App>, caller: Caller, request: Request) -> Result<Json<Preview>, Problem> {
    caller.must("import.run")?;
    let form = Multipart::from_request(request, &app).await;
    let form = form.map_err(|error| Problem::bad_request("body_unreadable", error.body_text()))?;
    let Form { record, source, mapping, name, head, bytes, guess } = read(&app, form).await?;
    let guess = guess.ok_or_else(|| Problem::invalid("required", "file is missing.").at("/file"))?;
    if let Some(source) = &source {
        ExternalId { source: source.clone(), external_id: "-".into() }.check()?;
    }
    let (encoding, whole) = (guess.encoding(), bytes <= head.len());
    let mut seen = look(&head, whole, Layout::of(encoding, &head))?;
    let given = match &mapping {
        Some(text) => Some(shipped_or(text, || Ok(seen.header.clone()))?.into_owned()),
        None => None,
    };
    if let Some(text) = &given {
        let layout = Sheet::parse(text)?.layout(encoding, &head);
        if layout != seen.layout {
            seen = look(&head, whole, layout)?;
        }
    }
    let mut fields: BTreeMap<&'static str, Definitions> = BTreeMap::new();
    for kind in kinds() {
        let id = Field::id_for(caller.tenant, kind);
        fields.insert(kind, app.commands.load::<Field>(caller.tenant, id).await?.0.definitions.clone());
    }
    let of = |kind: &'static str| fields.get(kind).cloned().unwrap_or_default();
    let meant = seen.meant(given.as_deref(), record.as_deref(), &name, source.as_deref(), of)?;

    let mut outcomes = Vec::new();
    if let Some(sheet) = meant.sheet {
        let kind = sheet.shape.kind.name;
        let from = source.or_else(|| sheet.source.clone()).unwrap_or_else(|| "csv".into());
        let who = Who { id: app.new_id(), tenant: caller.tenant, actor: caller.actor.clone() };
        let foreseen = foresee(app.commands.clone(), who, &from, sheet, &seen, REHEARSED).await;
        let foreseen = foreseen
            .map_err(|why| Problem::unavailable("busy", format!("Its rows cannot be rehearsed now: {why}.")))?;
        for row in foreseen {
            let record = match row.record {
                Some(id) if app.shows(&caller, kind, id).await? => Some(id),
                _ => None,
            };
            let (code, reason) = row.refusal.unzip();
            let commands = row.commands.into_iter().map(|(command, body)| Said { command, body }).collect();
            let (duplicates, outcome) = (row.alike, row.outcome);
            outcomes.push(Outcome {
                row: row.row,
                line: row.line,
                outcome,
                code,
                reason,
                record,
                commands,
                duplicates,
            });
        }
    }
    let header = seen.header.names().to_vec();
    let left = if meant.lacks.is_empty() {
        header.iter().filter(|column| !meant.says.contains_key(*column)).cloned().collect()
    } else {
        header.clone()
    };
    let table: toml::Table = meant.text.parse().unwrap_or_default();
    let recognised = match meant.known {
        Known::Shipped(system, mapping) => Some(Recognised { system, mapping }),
        Known::Given | Known::Suggested => None,
    };
    Ok(Json(Preview {
        encoding: seen.layout.encoding.name(),
        delimiter: char::from(seen.layout.delimiter).to_string(),
        quote: char::from(seen.layout.quote).to_string(),
        rows: seen.rows.iter().take(SHOWN).map(|row| row.cells.clone()).collect(),
        header,
        recognised,
        mapping: Meaning {
            record: meant.kind,
            toml: meant.text,
            json: serde_json::to_value(table).map_err(|error| Problem::broken(&error))?,
            columns: meant.says,
            left,
            lacks: meant.lacks,
            attributes: shape(meant.kind).into_iter().flat_map(shown).collect(),
        },
        outcomes,
        kinds: kinds(),
    }))
}
