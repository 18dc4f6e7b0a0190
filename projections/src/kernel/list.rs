//! Lists: filter, sort and pages of any read model, each page a range scan of an index; and single records.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use domain::{
    Country, FieldError, Id,
    catalogue::listed,
    kernel::{
        custom::{self, Definitions},
        filter::{FieldKind, Fields, Filter, Scalar},
        listing::Name,
    },
};
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, value::RawValue};
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};

use crate::{
    AsOf, Error, ReadModel,
    kernel::{
        collation::ROOT,
        cursor::Cursor,
        earlier::Tables,
        model::{Model, models, registered},
        redirects::{self, Refers},
        registry,
        sight::{IS_FEW, Seen, Sight, Stands},
        sql::{self, Sql},
        then::{instead, names_any},
        times,
        told::{Told, veil},
    },
};

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, the same in the table and in the API; `total.amount` is a member of the column `total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: FieldKind,
    /// Whether it may be without a value.
    pub nullable: bool,
    /// Whether a list can be sorted by it.
    pub sortable: bool,
    /// Whether records for which it is true are left out unless the filter asks about it.
    pub hides: bool,
    /// The further table that has its index, where the list itself has none.
    pub beside: Option<&'static str>,
    /// The records that it refers to, if they may be merged: filters and answers follow those that go on for them.
    pub refers: Option<Refers>,
    /// What it tells is what other records are called: the table does not have it, and filters alone ask about it.
    pub names: Option<&'static Name>,
}

impl Column {
    /// A column of this kind.
    pub(crate) const fn new(name: &'static str, kind: FieldKind) -> Column {
        Column { name, kind, nullable: false, sortable: true, hides: false, beside: None, refers: None, names: None }
    }

    /// A column of text that people type: names, cities, titles.
    pub const fn text(name: &'static str) -> Column {
        Column::new(name, FieldKind::Text)
    }

    /// A column of words or codes that programs choose: statuses, kinds, currencies.
    pub const fn word(name: &'static str) -> Column {
        Column::new(name, FieldKind::Word)
    }

    /// A column of e-mail addresses.
    pub const fn email(name: &'static str) -> Column {
        Column::new(name, FieldKind::Email)
    }

    /// A column of phone numbers as they were typed.
    pub const fn phone(name: &'static str) -> Column {
        Column::new(name, FieldKind::Phone)
    }

    /// A column of whole numbers.
    pub const fn integer(name: &'static str) -> Column {
        Column::new(name, FieldKind::Integer)
    }

    /// A column of exact decimals, which the table has as text.
    pub const fn decimal(name: &'static str) -> Column {
        Column::new(name, FieldKind::Decimal)
    }

    /// A column of calendar days.
    pub const fn date(name: &'static str) -> Column {
        Column::new(name, FieldKind::Date)
    }

    /// A column of instants.
    pub const fn time(name: &'static str) -> Column {
        Column::new(name, FieldKind::Time)
    }

    /// A column that is true or false.
    pub const fn bool(name: &'static str) -> Column {
        Column::new(name, FieldKind::Bool)
    }

    /// A column of ids.
    pub const fn id(name: &'static str) -> Column {
        Column::new(name, FieldKind::Id)
    }

    /// A column of sets of words or ids; a list cannot be sorted by it.
    pub const fn set(name: &'static str) -> Column {
        Column { sortable: false, ..Column::new(name, FieldKind::Set) }
    }

    /// A column of sets of texts that people type.
    pub const fn tags(name: &'static str) -> Column {
        Column { sortable: false, ..Column::new(name, FieldKind::Tags) }
    }

    /// A column of ids of records that may be merged.
    pub const fn reference(name: &'static str, refers: Refers) -> Column {
        Column::id(name).of(refers)
    }

    /// What the records are called that another column refers to, for filters.
    pub const fn called(name: &'static Name) -> Column {
        Column { sortable: false, nullable: true, names: Some(name), ..Column::new(name.field, name.kind) }
    }

    /// The same, of ids of records that may be merged. [`Listed::SELECT`] and [`Listed::JOINS`] take it from `r`, which has
    /// those that go on for merged ones.
    #[must_use]
    pub const fn of(self, refers: Refers) -> Column {
        Column { refers: Some(refers), ..self }
    }

    /// The same, but records for which it is true, or which have a value, are left out unless the filter asks about it.
    #[must_use]
    pub const fn hiding(self) -> Column {
        Column { hides: true, ..self }
    }

    /// The same, but filtered and sorted by the further table `read_<table>`, which has it under the same ids, with an
    /// index. For what changes with nearly every event: an index of the list on it would make each change a change of all
    /// the list's indexes, ten times as dear.
    #[must_use]
    pub const fn beside(self, table: &'static str) -> Column {
        Column { beside: Some(table), ..self }
    }

    /// The column in SQL, where rows are looked for, now or in the past: what is beside the list has no rows of then.
    pub(crate) fn expression(&self, past: bool) -> String {
        match self.beside.filter(|_| !past) {
            Some(table) => format!("read_{table}.{}", self.name),
            None => sql::column(self.name, self.kind),
        }
    }

    /// The same, but it may be without a value.
    #[must_use]
    pub const fn nullable(self) -> Column {
        Column { nullable: true, ..self }
    }
}

/// One step of a sort order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column.
    pub column: &'static str,
    /// Greatest first. Without a value counts as greater than any value.
    pub descending: bool,
}

impl Sort {
    /// Smallest first.
    pub const fn ascending(column: &'static str) -> Sort {
        Sort { column, descending: false }
    }

    /// Greatest first.
    pub const fn descending(column: &'static str) -> Sort {
        Sort { column, descending: true }
    }
}

/// A read model that is listed, filtered, sorted and read one by one.
pub trait Listed: ReadModel {
    /// The name of its collection in paths: `tickets`.
    const PATH: &'static str;
    /// Whether it is a list; false where another read model lists the same records.
    const LISTED: bool = true;
    /// Whether its records are read one by one; false where another read model shows more of them.
    const SINGLE: bool = true;
    /// The kind of record whose `<kind>.read` permission is needed.
    const READ: &'static str;
    /// What a record looks like in the API. Documents [`Listed::SELECT`]; a test holds the two together.
    type View: JsonSchema;
    /// The id that a path segment means, where it is not the id itself.
    fn id_of(_tenant: Id, segment: &str) -> Option<Id> {
        segment.parse().ok()
    }
    /// The record whose stream tells of the one with this id, where it is not its own.
    fn stream_of(_tenant: Id, id: Id) -> Id {
        id
    }
    /// The columns by which it is filtered and sorted; `id` is among them.
    const COLUMNS: &'static [Column];
    /// The kind whose custom fields its `custom` column holds.
    const CUSTOM: Option<&'static str> = None;
    /// What of a row is the record that somebody must see to see the row.
    const STANDS: Stands = Stands::Itself;
    /// What a record must fulfil to be in the list at all: SQL on `t`, and the same in words.
    const ONLY: Option<(&'static str, &'static str)> = None;
    /// What a record must fulfil to be shown to others than colleagues.
    fn outside() -> Option<Filter> {
        None
    }
    /// Other read models whose records name this one, though it does not name them: all of theirs count.
    const NAMED_BY: &'static [&'static str] = &[];
    /// Other read models whose records, joined to a row, name further ones that are joined too.
    const THROUGH: &'static [&'static str] = &[];
    /// The column that names a kind of record: what tells of one whose feature is off is in no list.
    const ABOUT: Option<&'static str> = None;
    /// Other read models that decide what is in the list: whoever waits for a position waits for them too.
    const FOLLOWS: &'static [&'static str] = &[];
    /// Conditions that show hidden merged records too, besides one on `merged_into`: a field that is asked for one of
    /// several values, and which value if not any.
    const SHOWS_MERGED: &'static [(&'static str, Option<&'static str>)] = &[("id", None)];
    /// The order unless another is asked for; `id` follows.
    const DEFAULT_SORT: &'static [Sort];
    /// The output columns of a row `t`, joined rows included.
    const SELECT: &'static str;
    /// Left joins that add to the rows of one page, by primary keys.
    const JOINS: &'static str = "";
    /// What [`Listed::SELECT`] tells of other records, besides the names that the columns say: nothing of that is told to whoever
    /// does not see those.
    const TELLS: &'static [Told] = &[];
}

/// What a [`Listed`] read model says of its list, so that what carries lists is compiled once.
#[derive(Debug)]
pub struct List {
    /// [`ReadModel::NAME`].
    pub name: &'static str,
    /// [`Listed::PATH`].
    pub path: &'static str,
    /// [`Listed::LISTED`].
    pub listed: bool,
    /// [`Listed::SINGLE`].
    pub single: bool,
    /// [`Listed::READ`].
    pub read: &'static str,
    /// The schema of [`Listed::View`], whose definition it leaves in the generator.
    pub view: fn(&'static List, &mut SchemaGenerator) -> Schema,
    /// [`Listed::id_of`].
    pub id_of: fn(Id, &str) -> Option<Id>,
    /// [`Listed::stream_of`].
    pub stream_of: fn(Id, Id) -> Id,
    /// [`Listed::COLUMNS`].
    pub columns: &'static [Column],
    /// [`Listed::CUSTOM`].
    pub custom: Option<&'static str>,
    /// [`Listed::STANDS`].
    pub stands: Stands,
    /// [`Listed::ONLY`].
    pub only: Option<(&'static str, &'static str)>,
    /// [`Listed::outside`].
    pub outside: fn() -> Option<Filter>,
    /// [`Listed::NAMED_BY`].
    pub named_by: &'static [&'static str],
    /// [`Listed::THROUGH`].
    pub through: &'static [&'static str],
    /// [`Listed::ABOUT`].
    pub about: Option<&'static str>,
    /// [`Listed::FOLLOWS`].
    pub follows: &'static [&'static str],
    /// [`Listed::SHOWS_MERGED`].
    pub shows_merged: &'static [(&'static str, Option<&'static str>)],
    /// [`Listed::DEFAULT_SORT`].
    pub default_sort: &'static [Sort],
    /// [`Listed::SELECT`].
    pub select: &'static str,
    /// [`Listed::JOINS`].
    pub joins: &'static str,
    /// [`Listed::TELLS`].
    pub tells: &'static [Told],
    /// Its rows.
    pub model: &'static Model,
}

impl List {
    /// That of a type.
    pub const fn of<M: Listed>() -> &'static List {
        const {
            &List {
                name: M::NAME,
                path: M::PATH,
                listed: M::LISTED,
                single: M::SINGLE,
                read: M::READ,
                view: |_, generator| generator.subschema_for::<M::View>(),
                id_of: M::id_of,
                stream_of: M::stream_of,
                columns: M::COLUMNS,
                custom: M::CUSTOM,
                stands: M::STANDS,
                only: M::ONLY,
                outside: M::outside,
                named_by: M::NAMED_BY,
                through: M::THROUGH,
                about: M::ABOUT,
                follows: M::FOLLOWS,
                shows_merged: M::SHOWS_MERGED,
                default_sort: M::DEFAULT_SORT,
                select: M::SELECT,
                joins: M::JOINS,
                tells: M::TELLS,
                model: Model::of::<M>(),
            }
        }
    }

    /// The schema of its records as they are told.
    pub fn view_schema(&'static self) -> Value {
        let mut generator = SchemaGenerator::default();
        let schema = (self.view)(self, &mut generator);
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        name.and_then(|name| generator.definitions().get(name)).cloned().unwrap_or_else(|| schema.to_value())
    }

    /// The column that says what a record is called.
    pub fn title(&self) -> Option<&'static str> {
        let known = |name: &str| self.columns.iter().any(|column| column.name == name);
        ["name", "title"].into_iter().find(|name| known(name))
    }

    /// Whether it is the list of this kind of records.
    pub fn lists(&self, kind: &str) -> bool {
        let plural = domain::catalogue::kind(kind).map(|kind| kind.plural);
        self.listed && self.read == kind && plural == Some(self.path)
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static List> {
        lists().find(|list| list.name == name)
    }
}

/// Every list, in the order of the catalogue.
pub fn lists() -> impl Iterator<Item = &'static List> {
    registered().iter().filter_map(|(_, list)| *list)
}

/// The read models whose tables the SQL of a list looks into, its own among them: it cannot be read while one of them cannot.
pub fn needs(list: &'static List) -> Arc<[&'static str]> {
    type Known = HashMap<&'static str, Arc<[&'static str]>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let known = KNOWN.lock().get(list.name).cloned();
    known.unwrap_or_else(|| {
        let needs: Arc<[&'static str]> = mentioned(list).into();
        KNOWN.lock().insert(list.name, Arc::clone(&needs));
        needs
    })
}

fn mentioned(list: &'static List) -> Vec<&'static str> {
    let only = list.only.map_or("", |(sql, _)| sql);
    let sql = format!("{} {} {} {only}", registry::view(list.name), list.select, list.joins);
    let is_mentioned = |model: &&Model| model.names().map(registry::view).any(|view| mentions(&sql, &view));
    let models = models().filter(is_mentioned);
    // What names records of any kind reads the lists of all of them.
    let listings = registry::listings().filter(|_| names_any(list));
    let mut found: Vec<_> = models.chain(listings).map(|model| model.name).chain(redirects::follows(list)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a name stands in SQL as a whole word.
pub(crate) fn mentions(sql: &str, name: &str) -> bool {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    sql.match_indices(name).any(|(at, _)| !sql[..at].ends_with(word) && !sql[at + name.len()..].starts_with(word))
}

/// Whether, and how well, the whole list is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Not at all.
    #[default]
    None,
    /// Exactly: costs a scan of all that match.
    Exact,
    /// As the planner of the database guesses.
    Estimate,
}

/// Most rows on a page.
pub const MAX_LIMIT: u32 = 200;
/// Rows on a page unless told otherwise.
pub const DEFAULT_LIMIT: u32 = 50;

/// What is asked of a list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// What matches.
    pub filter: Filter,
    /// In what order; empty for the usual one.
    pub sort: Vec<Sort>,
    /// Rows on a page, at most [`MAX_LIMIT`].
    pub limit: u32,
    /// The page after this cursor.
    pub after: Option<String>,
    /// Whether to count.
    pub count: Count,
    /// In whose order names are sorted: a collation of the database, as [`crate::kernel::collation::of`] finds it.
    pub collation: Cow<'static, str>,
    /// What whoever asks sees.
    pub sight: Sight,
    /// As of when, where the list is asked about as it was: see [`crate::Earlier`].
    pub as_of: Option<AsOf>,
}

impl Default for ListRequest {
    fn default() -> Self {
        let limit = DEFAULT_LIMIT;
        ListRequest {
            filter: Filter::EVERYTHING,
            sort: Vec::new(),
            limit,
            after: None,
            count: Count::None,
            collation: Cow::Borrowed(ROOT),
            sight: Sight::Everything,
            as_of: None,
        }
    }
}

impl ListRequest {
    /// Reads the parts as they stand in an address or a body. `sort` is `-priority,opened_at`; a limit of 0 or above
    /// [`MAX_LIMIT`] becomes the nearest that is allowed.
    ///
    /// # Errors
    /// Every fault with its place: `/filter/...`, `/sort`.
    pub fn parse(
        list: &'static List,
        filter: Option<&Value>,
        sort: Option<&str>,
        custom: &Definitions,
        country: Option<Country>,
    ) -> Result<ListRequest, Vec<FieldError>> {
        ListRequest::asked(list, (filter, sort), custom, country, None)
    }

    /// The same as somebody asks it, who is `@me`.
    ///
    /// # Errors
    /// As [`ListRequest::parse`].
    pub fn asked(
        list: &'static List,
        (filter, sort): (Option<&Value>, Option<&str>),
        custom: &Definitions,
        country: Option<Country>,
        me: Option<Id>,
    ) -> Result<ListRequest, Vec<FieldError>> {
        let mut errors = Vec::new();
        let filter = match filter {
            Some(filter) => Filter::parse(filter, &ListFields { me, ..fields_of(list, custom, country) })
                .unwrap_or_else(|faults| {
                    errors.extend(faults.into_iter().map(|fault| {
                        let pointer = format!("/filter{}", fault.pointer);
                        FieldError { pointer, ..fault }
                    }));
                    Filter::EVERYTHING
                }),
            None => Filter::EVERYTHING,
        };
        let sort = sort_of(list, sort.unwrap_or_default()).unwrap_or_else(|fault| {
            errors.push(fault);
            Vec::new()
        });
        if errors.is_empty() { Ok(ListRequest { filter, sort, ..ListRequest::default() }) } else { Err(errors) }
    }

    /// Refuses a cursor that is none of this list, filter and order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_after(&self, list: &'static List) -> Result<(), FieldError> {
        cursor(list, self, &steps(list, self)).map(drop)
    }
}

fn sort_of(list: &'static List, text: &str) -> Result<Vec<Sort>, FieldError> {
    let mut sort: Vec<Sort> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let name = part.strip_prefix('-').unwrap_or(part);
        let Some(column) = list.columns.iter().find(|column| column.sortable && column.name == name) else {
            let names: Vec<_> =
                list.columns.iter().filter(|column| column.sortable).map(|column| column.name).collect();
            return Err(FieldError {
                pointer: "/sort".into(),
                code: "sort_field_unknown".into(),
                detail: format!("There is no field {name} to sort by; there are {}.", names.join(", ")),
            });
        };
        if sort.iter().all(|earlier| earlier.column != column.name) {
            sort.push(Sort { column: column.name, descending: part.starts_with('-') });
        }
    }
    Ok(sort)
}

/// The fields by which a list is filtered: its columns, and its kind's custom fields. Phone numbers of `country` are
/// written without its code.
pub fn columns_of<'a>(list: &'static List, custom: &'a Definitions, country: Option<Country>) -> impl Fields + use<'a> {
    fields_of(list, custom, country)
}

fn fields_of<'a>(list: &'static List, custom: &'a Definitions, country: Option<Country>) -> ListFields<'a> {
    let custom = list.custom.map(|_| custom);
    ListFields { of: list.read, columns: list.columns, custom, country, me: None }
}

struct ListFields<'a> {
    /// The kind of its records.
    of: &'static str,
    columns: &'static [Column],
    custom: Option<&'a Definitions>,
    country: Option<Country>,
    me: Option<Id>,
}

impl Fields for ListFields<'_> {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        match field.strip_prefix("custom.") {
            Some(path) => {
                let custom = self.custom?;
                custom::filtered(path, |key| custom.get(key).map(|field| field.field_type))
            }
            None => self.columns.iter().find(|column| column.name == field).map(|column| column.kind),
        }
    }

    fn names(&self) -> Vec<String> {
        let custom = self.custom.iter().flat_map(|custom| custom.iter());
        let custom = custom.flat_map(|(key, field)| custom::filter_names(key, field.field_type));
        let custom = custom.map(|path| format!("custom.{path}"));
        self.columns.iter().map(|column| column.name.to_owned()).chain(custom).collect()
    }

    /// As rules call it: with the kind before it, or under its former name.
    fn called(&self, field: &str) -> Option<String> {
        let own = field.strip_prefix(self.of).and_then(|rest| rest.strip_prefix('.')).unwrap_or(field);
        let is_column = |name: &str| self.columns.iter().any(|column| column.name == name);
        let present = if is_column(own) { own } else { listed::present(self.of, own).unwrap_or(own) };
        (present != field && (is_column(present) || present.starts_with("custom."))).then(|| present.to_owned())
    }

    fn country(&self) -> Option<Country> {
        self.country
    }

    fn me(&self) -> Option<Id> {
        self.me
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The records, each the JSON that goes out.
    pub data: Vec<Box<RawValue>>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
    /// How many match in all, if it was asked.
    pub total: Option<i64>,
}

/// One record.
#[derive(Debug)]
pub struct Record {
    /// The JSON that goes out.
    pub data: Box<RawValue>,
    /// Version of its stream: what its `ETag` says.
    pub version: i64,
    /// Position of its last event.
    pub position: i64,
}

/// Why a list or a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is none, or belongs to another filter or order.
    #[error("{}", .0.detail)]
    Cursor(FieldError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// What the list was cannot be told.
    #[error(transparent)]
    Past(#[from] Error),
}

/// A step of the order with what the cursor says of it.
pub(crate) struct Step {
    column: &'static Column,
    /// The column in SQL.
    expression: String,
    descending: bool,
}

impl Step {
    fn new(column: &'static Column, descending: bool, request: &ListRequest) -> Step {
        let plain = column.expression(request.as_of.is_some());
        let expression = match column.kind {
            FieldKind::Text => format!("({plain}) collate \"{}\"", request.collation),
            _ => plain,
        };
        Step { column, expression, descending }
    }

    /// As it stands behind `order by`.
    pub(crate) fn order(&self) -> String {
        format!("{}{}", self.expression, if self.descending { " desc" } else { "" })
    }
}

/// The order asked for, with `id` as its last step.
pub(crate) fn steps(list: &'static List, request: &ListRequest) -> Vec<Step> {
    let sort = if request.sort.is_empty() { list.default_sort } else { &request.sort };
    let mut steps: Vec<Step> = sort
        .iter()
        .filter_map(|sort| {
            let column = list.columns.iter().find(|column| column.name == sort.column && column.sortable)?;
            Some(Step::new(column, sort.descending, request))
        })
        .collect();
    if steps.iter().all(|step| step.column.name != "id") {
        const ID: &Column = &Column::id("id");
        steps.push(Step::new(ID, false, request));
    }
    steps
}

/// The order as text: part of what a cursor is bound to.
fn named(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{}{}", if step.descending { "-" } else { "+" }, step.column.name)).collect()
}

/// Where rows come from, the filter, what is seen, and what a list leaves out unless it is asked for.
pub(crate) fn condition(list: &'static List, sql: &mut Sql, filter: &Filter, seen: &Seen, steps: &[Step]) {
    // By what is not seen nothing is found.
    sql.sight = seen.sight().clone();
    sql.push(" from read_").push(list.name).push(" t");
    for column in list.columns {
        let Some(table) = column.beside.filter(|_| sql.past.is_none()) else { continue };
        if filter.mentions(column.name) || steps.iter().any(|step| step.column.name == column.name) {
            sql.push(&format!(" join read_{table} on read_{table}.tenant_id = t.tenant_id and read_{table}.id = t.id"));
        }
    }
    sql.push(" where t.tenant_id = ").again(0);
    if *filter != Filter::EVERYTHING {
        sql.push(" and (").filter(filter).push(")");
    }
    for column in list.columns.iter().filter(|column| column.hides && !filter.mentions(column.name)) {
        match column.kind {
            FieldKind::Bool => sql.push(" and not t.").push(column.name),
            _ if list.shows_merged.iter().any(|(field, value)| filter.asks_for(field, *value)) => continue,
            _ => sql.push(" and t.").push(column.name).push(" is null"),
        };
    }
    if let Some((only, _)) = list.only {
        sql.push(" and ").push(only);
    }
    seen.condition(list, sql);
}

/// One page of a tenant's list: its rows are found by an index, then told with the names of what they refer to. A row that
/// changes in between is told as it is then.
///
/// # Errors
/// [`ListError::Cursor`] when the cursor does not fit, else when the database fails.
pub async fn list(list: &'static List, pool: &PgPool, tenant: Id, request: &ListRequest) -> Result<Page, ListError> {
    // No transaction: whoever hangs up while one begins would leave it open on a connection that others use next.
    let mut db = pool.acquire().await?;
    let Found { ids, next, total, is_planned } = found(list, &mut db, tenant, request, None).await?;
    if !is_planned {
        plan_once(&mut db).await?;
    }
    let mut data = told(list, &mut db, tenant, ids).await?;
    veil(list, &mut db, tenant, &request.sight, &mut data).await?;
    // After a failure it stays as it is until the next page: that costs a poorer plan and nothing else.
    db.execute("set plan_cache_mode = auto").await?;
    Ok(Page { data, next, total })
}

/// What is on a page of a list.
pub(crate) struct Found {
    pub(crate) ids: Vec<String>,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
    /// How many match in all, if it was asked.
    pub(crate) total: Option<i64>,
    /// Whether statements are planned once already.
    is_planned: bool,
}

/// Finds the rows of a page, of the list as it is or as it was.
///
/// # Errors
/// As [`list`].
pub(crate) async fn found(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    request: &ListRequest,
    past: Option<&Arc<Tables>>,
) -> Result<Found, ListError> {
    let filter = redirects::followed(list, &mut *db, tenant, &request.filter, past).await?;
    let limit = request.limit.clamp(1, MAX_LIMIT);
    let seen = match sought(list, db, tenant, request, &filter, past).await? {
        Some((Some(found), cursor)) => {
            let (ids, next) = cut(found, limit, &cursor);
            return Ok(Found { ids, next, total: None, is_planned: true });
        }
        Some((None, _)) => Seen::Many(request.sight.clone()),
        None => request.sight.over(list, db, tenant).await?,
    };
    let (sql, cursor) = statement(list, tenant, request, (&filter, &seen), past)?;
    let is_planned = seen.is_by_ids() && past.is_none();
    if is_planned {
        plan_once(db).await?;
    }
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let found: Vec<(String, String)> = Sql::supply(sql.values, query).fetch_all(&mut *db).await?;
    let (ids, next) = cut(found, limit, &cursor);
    let total = match request.count {
        Count::None => None,
        Count::Exact => Some(count(list, db, tenant, (&filter, &seen), past).await?),
        Count::Estimate => Some(estimate(list, db, tenant, (&filter, &seen), past).await?),
    };
    Ok(Found { ids, next, total, is_planned })
}

/// The ids of a page, and the cursor of the next: one row more was found if there is one.
fn cut(mut found: Vec<(String, String)>, limit: u32, cursor: &Cursor) -> (Vec<String>, Option<String>) {
    let more = found.len() > limit as usize;
    if more {
        found.pop();
    }
    let next = match found.last() {
        Some((_, keys)) if more => Some(cursor.write(keys)),
        _ => None,
    };
    (found.into_iter().map(|(id, _)| id).collect(), next)
}

/// Ids with their sort keys.
type Keyed = Vec<(String, String)>;

/// The rows of a page of whoever sees few records, by one statement that seeks for those too; no rows where they turn out to be
/// many, and nothing at all where that must be asked first.
async fn sought(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    request: &ListRequest,
    filter: &Filter,
    past: Option<&Arc<Tables>>,
) -> Result<Option<(Option<Keyed>, Cursor)>, ListError> {
    if request.count != Count::None || past.is_some() {
        return Ok(None);
    }
    let mut sql = Sql::over(list, tenant, None);
    let Some(seen) = request.sight.sought(list, &mut sql) else { return Ok(None) };
    let steps = steps(list, request);
    let (cursor, after) = cursor(list, request, &steps).map_err(ListError::Cursor)?;
    let rows = i64::from(request.limit.clamp(1, MAX_LIMIT)) + 1;
    let mut sql = page(sql, list, (filter, &seen), &steps, after.as_deref(), rows);
    // One row at least, which says whether they are few.
    sql.text = format!("select f.is_few, p.id, p.keys from {IS_FEW} f left join ({}) p on true", sql.text);
    plan_once(db).await?;
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let found: Vec<(bool, Option<String>, Option<String>)> = Sql::supply(sql.values, query).fetch_all(&mut *db).await?;
    if found.first().is_some_and(|(is_few, ..)| *is_few) {
        let rows = found.into_iter().filter_map(|(_, id, keys)| id.zip(keys)).collect();
        return Ok(Some((Some(rows), cursor)));
    }
    // What is found otherwise is planned for what is asked.
    db.execute("set plan_cache_mode = auto").await?;
    Ok(Some((None, cursor)))
}

/// The ids of the records of a list that match, one more than `most` where there are more.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ids(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    request: &ListRequest,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let filter = redirects::followed(list, &mut *db, tenant, &request.filter, None).await?;
    let seen = request.sight.over(list, db, tenant).await?;
    let sql = Sql::over(list, tenant, None);
    let sql = page(sql, list, (&filter, &seen), &steps(list, request), None, most + 1);
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let found: Vec<(String, String)> = Sql::supply(sql.values, query).fetch_all(db).await?;
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

/// From here on each statement of the connection is planned for any values: where records are looked for by their ids the way
/// is the same for all of them, and takes longer to plan than to go.
pub(crate) async fn plan_once(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    db.execute("set plan_cache_mode = force_generic_plan").await.map(drop)
}

/// The rows of these records, in the same order.
pub(crate) async fn told(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    ids: Vec<String>,
) -> Result<Vec<Box<RawValue>>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let source = format!(
        "(select t.*, found.ordinal from unnest($2::text[]) with ordinality found (id, ordinal) \
         join read_{} t on t.tenant_id = $1 and t.id = found.id)",
        list.name
    );
    let statement = format!(
        "select (select row_to_json(v) from (select {}) v)::text from {} order by t.ordinal",
        list.select,
        redirects::shown(list, &source, None)
    );
    let query = sqlx::query_scalar(AssertSqlSafe(statement)).bind(tenant.to_string()).bind(ids);
    raws(list, query.fetch_all(db).await?)
}

/// The statement of a page, one row more than asked for, and what writes the cursor of the next. `filter` is what was
/// asked for, with merged records followed; a cursor is bound to what was asked for.
fn statement(
    list: &'static List,
    tenant: Id,
    request: &ListRequest,
    asked: (&Filter, &Seen),
    past: Option<&Arc<Tables>>,
) -> Result<(Sql, Cursor), ListError> {
    let steps = steps(list, request);
    let (cursor, after) = cursor(list, request, &steps).map_err(ListError::Cursor)?;
    let rows = i64::from(request.limit.clamp(1, MAX_LIMIT)) + 1;
    Ok((page(Sql::over(list, tenant, past), list, asked, &steps, after.as_deref(), rows), cursor))
}

/// The sort keys of the row after which a page begins; `None` for those without a value.
type Keys = Vec<Option<Scalar>>;

/// What writes the cursors of a list, and where the page that is asked for begins.
fn cursor(list: &'static List, request: &ListRequest, steps: &[Step]) -> Result<(Cursor, Option<Keys>), FieldError> {
    // In another language another row comes next.
    let mut order = format!("{} {}", named(steps), request.collation);
    if let Some(as_of) = request.as_of {
        order.push_str(&format!(" {as_of:?}"));
    }
    let cursor = Cursor::new(list.name, &order, &request.filter);
    let kinds: Vec<_> = steps.iter().map(|step| (step.column.kind, step.column.nullable)).collect();
    let after = request.after.as_deref().map(|after| cursor.read(after, &kinds)).transpose()?;
    Ok((cursor, after))
}

/// Rows of a list as they are told.
pub(crate) fn raws(
    list: &'static List,
    rows: impl IntoIterator<Item = String>,
) -> Result<Vec<Box<RawValue>>, sqlx::Error> {
    let names = times::names(list);
    let raw = |json| RawValue::from_string(json).map_err(|error| sqlx::Error::Decode(Box::new(error)));
    rows.into_iter().map(|row| raw(times::told(row, &names))).collect()
}

fn raw(list: &'static List, row: String) -> Result<Box<RawValue>, sqlx::Error> {
    raws(list, [row])?.pop().ok_or(sqlx::Error::RowNotFound)
}

/// The statement of one page: the ids of its rows, by index alone, and their sort keys.
fn page(
    mut sql: Sql,
    list: &'static List,
    (filter, seen): (&Filter, &Seen),
    steps: &[Step],
    after: Option<&[Option<Scalar>]>,
    rows: i64,
) -> Sql {
    // The condition is the same in every branch, and so are its placeholders.
    condition(list, &mut sql, filter, seen, steps);
    let condition = std::mem::take(&mut sql.text);
    if !seen.is_by_ids() {
        let beyond = after.map_or_else(|| vec![Vec::new()], |keys| branches(steps, keys));
        let each = beyond.into_iter().map(|range| vec![range]).collect();
        ranges(&mut sql, &condition, steps, each, rows);
        return sql;
    }
    // Few records are looked for by their ids and then put in order, however tempting the planner finds it to look through
    // all records in order until it has met enough of them.
    sql.push("few as materialized (select t.id");
    let sorted = steps.iter().enumerate().map(|(index, step)| {
        sql.push(&format!(", {} as k{index}", step.expression));
        Step { expression: format!("k{index}"), ..*step }
    });
    let steps: Vec<Step> = sorted.collect();
    sql.push(&condition).push(")").common();
    let all = vec![after.map(|keys| branches(&steps, keys)).unwrap_or_default()];
    ranges(&mut sql, " from few t where true", &steps, all, rows);
    sql
}

/// Adds the branches of a page, each the rows of some ranges, nearest first.
fn ranges(sql: &mut Sql, from: &str, steps: &[Step], branches: Vec<Vec<Vec<Part<'_>>>>, rows: i64) {
    // As a literal: with a placeholder the planner would take the general plan for dear and plan anew every time.
    let limit = format!(" limit {rows}");
    let several = branches.len() > 1;
    for (index, branch) in branches.into_iter().enumerate() {
        sql.push(match (several, index) {
            (false, _) => "",
            (true, 0) => "(",
            (true, _) => " union all (",
        });
        sql.push("select t.id, jsonb_build_array(");
        for (index, step) in steps.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " }).push(&step.expression);
            // As text no reader rounds it.
            sql.push(if step.column.kind == FieldKind::Decimal { "::text" } else { "" });
        }
        sql.push(")::text as keys").push(from);
        let ranges = branch.iter().filter(|range| !range.is_empty());
        for (index, range) in ranges.enumerate() {
            sql.push(if index == 0 { " and (" } else { " or " });
            for (index, part) in range.iter().enumerate() {
                sql.push(if index == 0 { "" } else { " and " }).push(part.column).push(part.op);
                if let Some(value) = part.value {
                    sql.bind(value.clone());
                }
            }
        }
        sql.push(if branch.iter().all(Vec::is_empty) { "" } else { ")" });
        sql.push(" order by ");
        for (index, step) in steps.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " }).push(&step.expression);
            sql.push(if step.descending { " desc" } else { "" });
        }
        sql.push(&limit).push(if several { ")" } else { "" });
    }
    if several {
        sql.push(&limit);
    }
}

/// One condition of a branch.
struct Part<'a> {
    column: &'a str,
    op: &'static str,
    value: Option<&'a Scalar>,
}

/// What lies beyond a row in a mixed order, as ranges of an index, nearest first: all steps but the last equal and the
/// last beyond, then all but the last two equal and the next one beyond, and so on. Without a value counts as greatest.
fn branches<'a>(steps: &'a [Step], keys: &'a [Option<Scalar>]) -> Vec<Vec<Part<'a>>> {
    let mut branches = Vec::new();
    let pairs: Vec<_> = steps.iter().zip(keys).collect();
    for turn in (0..pairs.len()).rev() {
        let Some((equal, [(step, key), ..])) = pairs.split_at_checked(turn) else { continue };
        let with = |beyond: Part<'a>| {
            let equal = equal.iter().map(|(step, key)| match key {
                Some(value) => Part { column: &step.expression, op: " = ", value: Some(value) },
                None => Part { column: &step.expression, op: " is null", value: None },
            });
            equal.chain([beyond]).collect::<Vec<_>>()
        };
        let column = step.expression.as_str();
        match (key, step.descending) {
            (Some(value), false) => {
                branches.push(with(Part { column, op: " > ", value: Some(value) }));
                if step.column.nullable {
                    branches.push(with(Part { column, op: " is null", value: None }));
                }
            }
            (Some(value), true) => branches.push(with(Part { column, op: " < ", value: Some(value) })),
            (None, false) => {}
            (None, true) => branches.push(with(Part { column, op: " is not null", value: None })),
        }
    }
    branches
}

async fn count(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    (filter, seen): (&Filter, &Seen),
    past: Option<&Arc<Tables>>,
) -> Result<i64, sqlx::Error> {
    let mut sql = Sql::over(list, tenant, past);
    sql.push("select count(*)");
    condition(list, &mut sql, filter, seen, &[]);
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let (count,): (i64,) = Sql::supply(sql.values, query).fetch_one(db).await?;
    Ok(count)
}

async fn estimate(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    (filter, seen): (&Filter, &Seen),
    past: Option<&Arc<Tables>>,
) -> Result<i64, sqlx::Error> {
    let mut sql = Sql::over(list, tenant, past);
    sql.push("select 1");
    condition(list, &mut sql, filter, seen, &[]);
    let statement = format!("explain (format json) {}", sql.statement());
    let query = sqlx::query_as(AssertSqlSafe(statement));
    let (plan,): (Value,) = Sql::supply(sql.values, query).fetch_one(db).await?;
    Ok(plan[0]["Plan"]["Plan Rows"].as_f64().map_or(0, |rows| rows as i64))
}

/// How the database would find one page of a list, in its own words: for tests and for operators.
///
/// # Errors
/// As [`list`].
pub async fn explain(
    list: &'static List,
    pool: &PgPool,
    tenant: Id,
    request: &ListRequest,
) -> Result<String, ListError> {
    let filter = redirects::followed(list, pool, tenant, &request.filter, None).await?;
    let seen = request.sight.over(list, &mut *pool.acquire().await?, tenant).await?;
    let sql = statement(list, tenant, request, (&filter, &seen), None)?.0;
    let statement = format!("explain {}", sql.statement());
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let lines: Vec<(String,)> = Sql::supply(sql.values, query).fetch_all(pool).await?;
    Ok(lines.into_iter().map(|(line,)| line + "\n").collect())
}

/// One record of a tenant.
///
/// # Errors
/// When the database fails.
pub async fn get(list: &'static List, pool: &PgPool, tenant: Id, id: Id) -> Result<Option<Record>, sqlx::Error> {
    let statement = format!(
        "select (select row_to_json(v) from (select {}) v)::text, t.version, t.position
         from {} where t.tenant_id = $1 and t.id = $2",
        list.select,
        redirects::shown(list, &format!("read_{}", list.name), None)
    );
    let found: Option<(String, i64, i64)> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(pool)
        .await?;
    found.map(|(json, version, position)| Ok(Record { data: raw(list, json)?, version, position })).transpose()
}

/// A row that is not in the table, shown as one that is. `past` says who went on for whom then, `then` has the rows of other
/// records as they were.
pub(crate) async fn shown(
    list: &'static List,
    pool: &PgPool,
    row: &Value,
    past: &Value,
    then: &Value,
) -> Result<Box<RawValue>, sqlx::Error> {
    let source = format!("json_populate_record(null::read_{}, $1::text::json)", list.name);
    let statement = format!(
        "select (select row_to_json(v) from (select {}) v)::text from {} where $3::text is not null",
        list.select,
        redirects::shown(list, &source, Some("$2::text"))
    );
    let query = sqlx::query_scalar(AssertSqlSafe(instead(statement, then, "$3")))
        .bind(row.to_string())
        .bind(past.to_string())
        .bind(then.to_string());
    raw(list, query.fetch_one(pool).await?)
}
