//! Another help desk's history: a row is one append to its case's ticket, and is never done twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use commands::{Envelope, Refused};
use domain::{
    Actor, Aggregate, Authority, Id, Party, Time, Via,
    crm::{company::Company, contact::Contact},
    desk::{entitlement::Entitlement, product::Product, product_category::ProductCategory, ticket::Ticket},
    kernel::{choice, custom::FieldType, named::Named},
    org::{
        field::{self, Field},
        team::Team,
        user::User,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Before, CONCURRENT, Failed, Run, Stop, Verdict, id_of,
    mapping::{Mapping, Refs},
    plan::{self, Kind, Said, Spoken},
    rows::{Fault, Header, Row},
    target::Target,
};

/// Brings a history in, window by window.
pub(crate) struct History {
    run: Run,
    mapping: Mapping,
    header: Header,
    target: Target,
    /// How many rows of each case have been seen, by a digest of its name.
    seen: HashMap<u64, u64>,
    /// Records that are there, or why they cannot be.
    records: HashMap<(Kind, String), Result<Id, Fault>>,
}

/// A row with what it says.
struct Entry {
    row: Row,
    nth: u64,
    said: Result<Said, Fault>,
}

/// A record to be created, and when and by which row it was first spoken of.
struct Missing {
    kind: Kind,
    spoken: Spoken,
    said: Said,
}

impl History {
    pub(crate) fn new(run: Run, mapping: Mapping, header: Header, target: Target) -> History {
        History { run, mapping, header, target, seen: HashMap::new(), records: HashMap::new() }
    }

    /// Passes rows over that have been dealt with.
    pub(crate) fn pass(&mut self, rows: &[Row]) {
        rows.iter().for_each(|row| drop(self.place(row)));
    }

    /// The name of a row's case, and which of its rows this is.
    fn place(&mut self, row: &Row) -> (String, u64) {
        let case = self.header.cells(&row.cells).get(&self.mapping.case).to_owned();
        let nth = self.seen.entry(digest(&case)).or_default();
        *nth += 1;
        (case, *nth)
    }

    /// Deals with rows: those of one case in order, different cases at once.
    /// `before` are rows that this import has carried out already, with their events.
    pub(crate) async fn window(&mut self, rows: Vec<Row>, before: &Before) -> Result<Vec<(Row, Verdict)>, Stop> {
        let now = Time::now();
        let mut cases: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        let mut order_of: HashMap<String, u64> = HashMap::new();
        for row in rows {
            let (case, nth) = self.place(&row);
            let said = plan::read(&self.mapping, &self.header, &row, now);
            let at = *order_of.entry(case).or_insert(row.number);
            cases.entry(at).or_default().push(Entry { row, nth, said });
        }
        let done = self.done_before(cases.values().flatten()).await?;
        let fresh: Vec<&Said> = cases
            .values()
            .flatten()
            .filter_map(|entry| Some((entry, entry.said.as_ref().ok()?)))
            .filter(|(entry, said)| !done.contains(&plan::mark(&said.case, entry.nth, &entry.row)))
            .map(|(_, said)| said)
            .collect();
        self.define_fields(&fresh).await?;
        let missing = self.missing(&fresh);
        self.create(missing).await?;

        let this = &*self;
        let done = &done;
        let verdicts: Vec<Vec<(Row, Verdict)>> = stream::iter(cases.into_values())
            .map(|entries| async move {
                let mut verdicts = Vec::with_capacity(entries.len());
                for entry in entries {
                    let verdict = this.entry(&entry, done, before).await?;
                    verdicts.push((entry.row, verdict));
                }
                Ok::<_, Stop>(verdicts)
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        Ok(verdicts.into_iter().flatten().collect())
    }

    fn scope(&self) -> String {
        format!("import.{}", self.run.source)
    }

    /// The marks of rows that were done before, by this import or another.
    async fn done_before<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Result<HashSet<String>, Stop> {
        let marks: Vec<String> = entries
            .filter_map(|entry| Some(plan::mark(&entry.said.as_ref().ok()?.case, entry.nth, &entry.row)))
            .collect();
        let tenant = self.run.tenant.to_string();
        Ok(self.target.log().claims_taken(&tenant, &self.scope(), &marks).await?)
    }

    /// Defines the mapping's custom fields, and makes new values of selects choices.
    async fn define_fields(&self, fresh: &[&Said]) -> Result<(), Stop> {
        let mut chosen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, values) in fresh.iter().flat_map(|said| plan::choices(&self.mapping, said)) {
            let known = chosen.entry(key).or_default();
            values.into_iter().for_each(|value| {
                if !known.contains(&value) {
                    known.push(value);
                }
            });
        }
        let (Some(first), false) = (fresh.first(), self.mapping.custom.is_empty()) else { return Ok(()) };
        let id = Field::id_for(self.run.tenant, Ticket::KIND);
        let fields = self.target.state::<Field>(self.run.tenant, id).await?;
        let mut commands = Vec::new();
        for (key, wanted) in &self.mapping.custom {
            let select = matches!(wanted.field_type, FieldType::Select | FieldType::MultiSelect);
            let values = chosen.get(key.as_str()).into_iter().flatten().map(|value| (*value).to_owned());
            match fields.definitions.get(key) {
                None => {
                    let options: Vec<String> =
                        if select && wanted.options.is_empty() { values.collect() } else { wanted.options.clone() };
                    // A select without a choice cannot be defined yet.
                    if select && options.is_empty() {
                        continue;
                    }
                    commands.push(field::Command::Define(field::New {
                        entity: Ticket::KIND.into(),
                        key: key.clone(),
                        label: wanted.label.clone(),
                        field_type: wanted.field_type,
                        options: options.iter().map(|option| option.as_str().into()).collect(),
                        target: None,
                        required: false,
                        personal: false,
                    }));
                }
                Some(field) if select && wanted.options.is_empty() && !field.retired => {
                    let known = |value: &String| field.options.iter().any(|option| option.value == *value);
                    let new: Vec<String> = values.filter(|value| !known(value)).collect();
                    if !new.is_empty() {
                        let new = new.iter().map(|value| value.as_str().into());
                        let options = choice::recorded(&field.options).into_iter().chain(new).collect();
                        let (key, label, required) = (key.clone(), None, None);
                        commands.push(field::Command::Change { key, label, options: Some(options), required });
                    }
                }
                Some(_) => {}
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        // What cannot be defined shows in the rows that need it.
        match self.target.carry_out::<Field>(&self.envelope(id, first), commands).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// The records that are spoken of and not known yet.
    fn missing(&self, fresh: &[&Said]) -> Vec<Missing> {
        let mut seen: BTreeSet<(Kind, &str)> = BTreeSet::new();
        let mut missing = Vec::new();
        for said in fresh {
            for (kind, spoken) in &said.records {
                let known = self.records.contains_key(&(*kind, spoken.key.clone()));
                if !known && seen.insert((*kind, &spoken.key)) {
                    missing.push(Missing { kind: *kind, spoken: spoken.clone(), said: (*said).clone() });
                }
            }
        }
        missing
    }

    /// Creates records, those first on which others depend.
    async fn create(&mut self, mut missing: Vec<Missing>) -> Result<(), Stop> {
        missing.sort_by_key(|missing| missing.kind);
        while let Some(kind) = missing.first().map(|missing| missing.kind) {
            let after = missing.split_off(missing.partition_point(|missing| missing.kind == kind));
            let this = &*self;
            let made: Vec<_> = stream::iter(std::mem::replace(&mut missing, after))
                .map(|missing| async move {
                    let made = match this.record(&missing).await {
                        Ok(id) => Ok(id),
                        Err(Refused::Rejected(rejection)) => {
                            let fault = Fault::from(rejection);
                            let reason = format!("{} {}: {}", kind.name(), missing.spoken.key, fault.reason);
                            Err(Fault { reason, ..fault })
                        }
                        Err(refused) => return Err(Stop::from(refused)),
                    };
                    Ok(((kind, missing.spoken.key), made))
                })
                .buffer_unordered(CONCURRENT)
                .try_collect()
                .await?;
            self.records.extend(made);
        }
        Ok(())
    }

    fn known(&self, said: &Said, kind: Kind) -> Result<Option<Id>, Fault> {
        let Some(spoken) = said.records.get(&kind) else { return Ok(None) };
        self.records.get(&(kind, spoken.key.clone())).cloned().transpose()
    }

    /// Finds a record by its external id, e-mail address or name, or creates it.
    async fn record(&self, missing: &Missing) -> Result<Id, Refused> {
        let Missing { kind, spoken, said } = missing;
        let (tenant, source, key) = (self.run.tenant, &self.run.source, &spoken.key);
        let text = |name: &str| spoken.body.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_lowercase();
        let held = |scope: &'static str, name: String| async move {
            if name.is_empty() { Ok(None) } else { self.target.claimed(tenant, scope, &name).await }
        };
        let external = format!("{source}/{key}");
        let found = match kind {
            Kind::User => held("user.email", text("email")).await?,
            Kind::Team => held("team.name", text("name")).await?,
            Kind::Company => held("company.external", external).await?,
            Kind::Contact => held("contact.external", external).await?,
            Kind::Product => held("product.external", external).await?,
            Kind::Entitlement => held("entitlement.external", external).await?,
            Kind::ProductCategory => None,
        };
        if let Some(id) = found {
            return Ok(id);
        }
        let id = id_of(tenant, source, kind.name(), key);
        let called = json!({ "source": source, "external_id": key });
        let body = || Value::Object(spoken.body.clone());
        let envelope = self.envelope(id, said);
        match kind {
            Kind::User => self.make::<User>(&envelope, vec![("invite", body())]).await,
            Kind::Team => self.make::<Team>(&envelope, vec![("create", body())]).await,
            Kind::ProductCategory => self.make::<ProductCategory>(&envelope, vec![("create", body())]).await,
            Kind::Company => {
                self.make::<Company>(&envelope, vec![("create", body()), ("add_external_id", called)]).await
            }
            Kind::Product => {
                let mut commands = vec![("create", body()), ("add_external_id", called)];
                if let Some(category) = self.relied(said, Kind::ProductCategory)? {
                    commands.push(("categorise", json!({ "category": category })));
                }
                self.make::<Product>(&envelope, commands).await
            }
            Kind::Contact => {
                let mut commands = vec![("create", body()), ("add_external_id", called)];
                if let Some(company) = self.relied(said, Kind::Company)? {
                    commands.push(("link_company", json!({ "company": company })));
                }
                self.make::<Contact>(&envelope, commands).await
            }
            Kind::Entitlement => {
                let holder = match said.held_by_company {
                    true => self.relied(said, Kind::Company)?.map(Party::company),
                    false => self.relied(said, Kind::Contact)?.map(Party::contact),
                };
                let mut grant = spoken.body.clone();
                grant.insert("product".into(), json!(self.relied(said, Kind::Product)?));
                grant.insert("holder".into(), json!(holder));
                grant.insert("source".into(), source.clone().into());
                grant.insert("external_id".into(), key.clone().into());
                self.make::<Entitlement>(&envelope, vec![("grant", Value::Object(grant))]).await
            }
        }
    }

    /// A record that another one needs; why it is not there is then why the other is not.
    fn relied(&self, said: &Said, kind: Kind) -> Result<Option<Id>, domain::Rejection> {
        self.known(said, kind).map_err(|fault| domain::Rejection {
            code: fault.code,
            ..domain::Rejection::invalid("record_unfit", "").because(fault.reason)
        })
    }

    async fn make<A: Aggregate>(&self, envelope: &Envelope, commands: Vec<(&str, Value)>) -> Result<Id, Refused> {
        let commands = commands.into_iter().map(|(name, data)| A::Command::from_value(name, data));
        let commands: Vec<A::Command> = commands.collect::<Result<_, _>>().map_err(|error| {
            domain::Rejection::invalid("value_invalid", "").because(format!("{}: {}", error.pointer, error.detail))
        })?;
        match self.target.carry_out::<A>(envelope, commands).await {
            // It is there, though with other attributes: those stay.
            Err(Refused::Rejected(refused)) if refused.code.strip_prefix(A::KIND) == Some("_exists") => Ok(envelope.id),
            outcome => outcome.map(|_| envelope.id),
        }
    }

    /// A command of the importing user for a record that a row speaks of.
    fn envelope(&self, id: Id, said: &Said) -> Envelope {
        let mut envelope = Envelope::new(self.run.tenant, id, self.run.actor.clone(), Via::Import, Time::now());
        // It tells what happened elsewhere: `import.run` is the right to do so.
        envelope.authority = Authority::full();
        envelope.correlation_id = Some(self.run.correlation());
        envelope.occurred_at = Some(said.time);
        envelope
    }

    async fn entry(&self, entry: &Entry, done: &HashSet<String>, before: &Before) -> Result<Verdict, Stop> {
        if let Some(events) = before.get(&entry.row.number) {
            return Ok(Verdict::events(*events));
        }
        let said = match &entry.said {
            Ok(said) => said,
            Err(fault) => return Ok(Verdict::Rejected(fault.clone())),
        };
        let mark = plan::mark(&said.case, entry.nth, &entry.row);
        if done.contains(&mark) {
            return Ok(Verdict::Unchanged);
        }
        let refs = match self.refs(said) {
            Ok(refs) => refs,
            Err(fault) => return Ok(Verdict::Rejected(fault)),
        };
        let mut envelope = self.envelope(id_of(self.run.tenant, &self.run.source, Ticket::KIND, &said.case), said);
        envelope.command_id = self.run.command_id(entry.row.number);
        envelope.remember = true;
        envelope.mark = Some((self.scope(), mark));
        if let Some(agent) = refs.actor {
            envelope.actor = Actor { on_behalf_of: Some(self.run.actor.principal()), ..Actor::user(agent) };
        }
        Verdict::of(self.row(entry, said, &refs, &envelope).await)
    }

    fn refs(&self, said: &Said) -> Result<Refs, Fault> {
        Ok(Refs {
            actor: self.known(said, Kind::User)?,
            requester: self.known(said, Kind::Contact)?.map(Party::contact),
            company: self.known(said, Kind::Company)?,
            team: self.known(said, Kind::Team)?,
            entitlement: self.known(said, Kind::Entitlement)?,
        })
    }

    async fn row(&self, entry: &Entry, said: &Said, refs: &Refs, envelope: &Envelope) -> Result<usize, Failed> {
        let ticket = self.target.state::<Ticket>(envelope.tenant, envelope.id).await?;
        let cells = self.header.cells(&entry.row.cells);
        let (tenant, nth) = (envelope.tenant.to_string(), entry.nth.to_string());
        let born = u64::try_from(said.time.as_millisecond()).unwrap_or_default();
        let message =
            |at: usize| Id::derived(born, &[&tenant, &self.run.source, "message", &said.case, &nth, &at.to_string()]);
        let asked = plan::ask(&self.mapping, said, &cells, refs, &ticket, message)?;
        let mut commands = asked.commands;
        if let Some(note) = asked.note {
            let count = async |commands: &[_]| match commands {
                [] => Ok(0),
                commands => self.target.probe::<Ticket>(envelope, commands.to_vec()).await,
            };
            let all = count(&commands).await?;
            // Attributes alone are not what the activity was about, unless it is about nothing else.
            let beyond = if asked.acts { all - count(&asked.changes).await? } else { all };
            if beyond == 0 {
                commands.push(note);
            }
        }
        if commands.is_empty() {
            return Ok(0);
        }
        Ok(self.target.carry_out::<Ticket>(envelope, commands).await?)
    }
}

fn digest(text: &str) -> u64 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).as_u64_pair().0
}
