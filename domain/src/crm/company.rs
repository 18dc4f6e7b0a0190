//! A company outside: customer, supplier, the employer of contacts.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Claim, Ctx, Decision, Echo, Id, Need, Rejection, Time, all,
    kernel::{
        access::Relation,
        external::{EXTERNAL_ID_INVALID, ExternalId},
        merging,
        named::Either,
        phone::Dialled,
        record::{self, Happened, Record, Row},
        reference::Subject,
        valid,
    },
};

/// A company.
pub type Company = Record<Spec>;

/// What makes a record a company.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a company.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// The domain of its e-mail addresses, in small letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Line of business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<String>,
    /// Central e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "email"))]
    pub email: Option<String>,
    /// Central phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "phone"))]
    pub phone: Option<String>,
    /// The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_e164: Option<String>,
    /// The extension in `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_extension: Option<String>,
    /// Web site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Anything worth knowing at first sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a company that was merged into another shows there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Brought {
    /// Its tags.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What other systems call it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub external_ids: BTreeSet<ExternalId>,
}

/// What may be asked of a company, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Records what another system calls this company.
    AddExternalId(ExternalId),
    /// Forgets what another system calls it.
    RemoveExternalId(ExternalId),
    /// Merges this company into another, to which everything of it leads from then on.
    Merge {
        /// The company that remains.
        #[schemars(extend("x-reference" = "company"))]
        into: Id,
    },
    /// Takes a merge back.
    Unmerge,
}

/// What has happened to a company, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Another system's id was recorded.
    ExternalIdAdded(ExternalId),
    /// Another system's id was forgotten.
    ExternalIdRemoved(ExternalId),
    /// It was merged into another company.
    Merged {
        /// The company that remains.
        into: Id,
    },
    /// Its merge was taken back.
    Unmerged {
        /// The company that it had been merged into.
        from: Id,
    },
    /// Another company was merged into this one.
    Absorbed {
        /// The other company.
        company: Id,
        /// What it shows here, and what those show that were merged into it before.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parts: BTreeMap<Id, Brought>,
    },
    /// The merge of another company into this one, or into one that is merged into this one, was taken back.
    Released {
        /// The other company.
        company: Id,
        /// Those of which nothing shows here any more.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        parts: BTreeSet<Id>,
    },
}

/// What a company's own commands must remember.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The company it is merged into.
    pub merged_into: Option<Id>,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
    /// What shows here of the companies merged into it, or into those. Their tags are with the record's own.
    brought: BTreeMap<Id, Brought>,
}

impl Company {
    /// What it shows of itself and of those merged into it: what it brings to another.
    fn brings(&self, here: Id) -> BTreeMap<Id, Brought> {
        let mut parts = self.state.brought.clone();
        parts.insert(here, Brought { tags: BTreeSet::new(), external_ids: self.state.external_ids.clone() });
        for (company, tags) in self.brings_tags(here) {
            parts.entry(company).or_default().tags = tags;
        }
        parts
    }
}

const EXTERNAL_ID_TAKEN: Rejection =
    Rejection::conflict("company_external_id_taken", "Another company has this external id.");
const MERGED: Rejection = Rejection::conflict("company_merged", "The company is merged into another one.");
const MERGE_UNFIT: Rejection = Rejection::invalid(
    "company_merge_unfit",
    "A company merges into another one that exists and is not archived or merged itself.",
);

/// What its list shows of a company besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
    /// The company it was merged into.
    pub merged_into: Option<Id>,
    /// The companies that were merged into it.
    pub absorbed: BTreeSet<Id>,
    /// Whose tags and external ids show here, its own among them, while others are merged into it.
    #[schemars(skip)]
    pub parts: BTreeMap<Id, Brought>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "company";
    const PLURAL: &'static str = "companies";
    const ABOUT: &'static str = "A company.";
    const LIST: (&'static str, i32) = ("companies", 2);
    const PHONE: bool = true;
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, _: Time) {
        let shown = &mut row.shown;
        match event.clone() {
            Event::ExternalIdAdded(id) => drop(shown.external_ids.insert(id)),
            Event::ExternalIdRemoved(id) => drop(shown.external_ids.remove(&id)),
            Event::Merged { into } => shown.merged_into = Some(into),
            Event::Unmerged { .. } => shown.merged_into = None,
            Event::Absorbed { company, parts } => {
                shown.absorbed.insert(company);
                shown.parts.extend(parts);
            }
            Event::Released { company, parts } => {
                shown.absorbed.remove(&company);
                shown.parts.retain(|id, _| !parts.contains(id));
            }
        }
    }

    /// Its own tags and ids change behind those that others brought along.
    fn take(row: &mut Row<Spec>, id: Id, event: &record::Event<Spec>, at: Time) {
        if let Some(own) = row.shown.parts.remove(&id) {
            (row.common.tags, row.shown.external_ids) = (own.tags, own.external_ids);
        }
        match event {
            Either::Common(event) => {
                if let Happened::Untagged { tag } = event {
                    row.shown.parts.values_mut().for_each(|brought| brought.tags.retain(|known| known != tag));
                }
                row.happened(event);
            }
            Either::Own(event) => Self::shows(row, event, at),
        }
        if !row.shown.parts.is_empty() {
            let own = Brought { tags: row.common.tags.clone(), external_ids: row.shown.external_ids.clone() };
            for brought in row.shown.parts.values() {
                row.common.tags.extend(brought.tags.iter().cloned());
                row.shown.external_ids.extend(brought.external_ids.iter().cloned());
            }
            row.shown.parts.insert(id, own);
        }
    }

    fn phone(fields: &Fields) -> Option<&str> {
        fields.phone.as_deref()
    }

    fn dial(fields: &mut Fields, Dialled { e164, extension }: Dialled) {
        fields.phone_e164 = e164;
        fields.phone_extension = extension;
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            valid::domain(fields.domain.as_deref()),
            valid::email(fields.email.as_deref()),
            valid::website(fields.website.as_deref()),
            valid::country(fields.country.as_deref()),
        ])
    }

    fn merged_into(company: &Company) -> Option<Id> {
        company.state.merged_into
    }

    fn ended(company: &Company) -> Option<Rejection> {
        company.state.merged_into.map(|into| MERGED.because(format!("The company is merged into {into}.")))
    }

    fn undo(_: &Company, event: &Event) -> Option<Vec<record::Command<Self>>> {
        Some(vec![Either::Own(match event {
            Event::ExternalIdAdded(id) => Command::RemoveExternalId(id.clone()),
            Event::ExternalIdRemoved(id) => Command::AddExternalId(id.clone()),
            Event::Merged { .. } => Command::Unmerge,
            Event::Unmerged { from } => Command::Merge { into: *from },
            Event::Absorbed { .. } | Event::Released { .. } => return None,
        })])
    }

    fn decide(company: &Company, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let state = &company.state;
        let survivor = |id| merging::survivor::<Company>(id, ctx);
        match (command, company.ended(ctx)) {
            (Command::Unmerge, _) => Ok(state.merged_into.map(|from| Event::Unmerged { from }).into_iter().collect()),
            // Asked twice.
            (Command::Merge { into }, Some(_)) if state.merged_into.map(survivor) == Some(survivor(into)) => Ok(vec![]),
            (_, Some(ended)) => Err(ended),
            (Command::Merge { into }, None) => {
                let into = survivor(into);
                let fit = into != ctx.id && ctx.fact::<Company>(into).is_live();
                if fit { Ok(vec![Event::Merged { into }]) } else { Err(MERGE_UNFIT.at("/into")) }
            }
            (Command::AddExternalId(id), None) => {
                id.check()?;
                Ok(if state.external_ids.contains(&id) { vec![] } else { vec![Event::ExternalIdAdded(id)] })
            }
            (Command::RemoveExternalId(id), None) => {
                Ok(if state.external_ids.contains(&id) { vec![Event::ExternalIdRemoved(id)] } else { vec![] })
            }
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        // Whoever sees the one that goes on sees what it was made of.
        match event {
            Event::Merged { into, .. } => vec![Relation::About("merged_into", vec![Subject::new("company", *into)])],
            Event::Unmerged { .. } => vec![Relation::About("merged_into", Vec::new())],
            _ => Vec::new(),
        }
    }

    fn evolve(company: &mut Company, event: &Event) {
        let state = &mut company.state;
        match event {
            Event::ExternalIdAdded(id) => drop(state.external_ids.insert(id.clone())),
            Event::ExternalIdRemoved(id) => drop(state.external_ids.remove(id)),
            Event::Merged { into } => state.merged_into = Some(*into),
            Event::Unmerged { .. } => state.merged_into = None,
            Event::Absorbed { parts, .. } => {
                state.brought.extend(parts.clone());
                company.take_tags(parts.iter().map(|(id, brought)| (*id, brought.tags.clone())));
            }
            Event::Released { parts, .. } => {
                state.brought.retain(|id, _| !parts.contains(id));
                company.give_tags_back(parts);
            }
        }
    }

    fn needs(_: &Company, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Either::Own(Command::Merge { into }) => merging::needs::<Company>(*into, ctx),
            _ => vec![],
        }
    }

    fn claims(_: &Company, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        match event {
            Either::Own(Event::ExternalIdAdded(id)) => {
                vec![Claim::take("company.external", id.key(), EXTERNAL_ID_TAKEN.at("/external_id"))]
            }
            Either::Own(Event::ExternalIdRemoved(id)) => vec![Claim::release("company.external", id.key())],
            _ => vec![],
        }
    }

    fn echoes(company: &Company, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        match event {
            Event::Merged { into } => {
                let absorbed = Event::Absorbed { company: ctx.id, parts: company.brings(ctx.id) };
                vec![Echo::to::<Company>(*into, &Either::Own(absorbed))]
            }
            // Every one that goes on for it gives back what it and those merged into it brought.
            Event::Unmerged { from } => {
                let parts = company.brings(ctx.id).into_keys().collect();
                let released = Either::Own(Event::Released { company: ctx.id, parts });
                let holders = merging::chain::<Company>(*from, ctx).into_iter();
                holders.map(|holder| Echo::to::<Company>(holder, &released)).collect()
            }
            _ => vec![],
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend([EXTERNAL_ID_INVALID, EXTERNAL_ID_TAKEN, MERGED, MERGE_UNFIT]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let debtor = ExternalId { source: "accounting".into(), external_id: "10042".into() };
        let fields = Fields {
            name: "Rossi Forniture S.r.l.".into(),
            domain: Some("rossi.example.com".into()),
            industry: Some("wholesale".into()),
            email: Some("office@rossi.example.com".into()),
            phone: Some("+39 06 555 0100".into()),
            phone_e164: Some("+39065550100".into()),
            phone_extension: None,
            website: Some("https://rossi.example.com".into()),
            address: Some("Via Roma 1".into()),
            city: Some("Roma".into()),
            country: Some("IT".into()),
            description: Some("Pays within ten days.".into()),
        };
        let commands = vec![
            Command::AddExternalId(debtor.clone()),
            Command::RemoveExternalId(debtor),
            Command::Merge { into: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C) },
            Command::Unmerge,
        ];
        (fields, commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        given::{Given, SUBJECT, given},
        record::{Common, Happened, New, Spec as _},
    };

    const OTHER: Id = Id::from_bits(0xC);

    fn new(fields: Fields) -> New<Fields> {
        New { fields, custom: Default::default(), owner: None, stage: None, tags: [].into(), copied_from: None }
    }

    fn created() -> record::Event<Spec> {
        Either::Common(Happened::Created(new(Spec::examples().0)))
    }

    fn rossi(events: impl IntoIterator<Item = Event>) -> Given<Company> {
        given([created()].into_iter().chain(events.into_iter().map(Either::Own)))
    }

    #[test]
    fn attributes_that_make_no_sense_are_refused() {
        let fields = || Spec::examples().0;
        let refused =
            |fields, why| given::<Company>([]).when(Either::Common(Common::Create(new(fields)))).rejected(why);
        refused(Fields { name: String::new(), ..fields() }, valid::NAME_INVALID);
        refused(Fields { domain: Some("rossi".into()), ..fields() }, valid::DOMAIN_INVALID);
        refused(Fields { email: Some("office".into()), ..fields() }, valid::EMAIL_INVALID);
        refused(Fields { phone: Some("none".into()), ..fields() }, valid::PHONE_INVALID);
        refused(Fields { website: Some("rossi.example.com".into()), ..fields() }, valid::URL_INVALID);
        refused(Fields { country: Some("XX".into()), ..fields() }, valid::COUNTRY_INVALID);
    }

    #[test]
    fn other_systems_call_it_what_they_like() {
        let id = || ExternalId { source: "accounting".into(), external_id: "10042".into() };
        let (add, added) = (|| Either::Own(Command::AddExternalId(id())), || Event::ExternalIdAdded(id()));
        let (remove, removed) = (|| Either::Own(Command::RemoveExternalId(id())), || Event::ExternalIdRemoved(id()));
        rossi([]).when(add()).then([Either::Own(added())]);
        rossi([added()]).when(add()).nothing();
        rossi([added()]).when(remove()).then([Either::Own(removed())]);
        rossi([]).when(remove()).nothing();
        assert_eq!(rossi([]).claims(&Either::Own(added())), ["+company.external accounting/10042"]);
        assert_eq!(rossi([added()]).claims(&Either::Own(removed())), ["-company.external accounting/10042"]);
        let blank = ExternalId { source: " ".into(), ..id() };
        rossi([]).when(Either::Own(Command::AddExternalId(blank))).rejected(EXTERNAL_ID_INVALID);
    }

    #[test]
    fn a_merged_company_leads_to_the_other_until_that_is_taken_back() {
        let merge = |into| Either::Own(Command::Merge { into });
        let merged = || Event::Merged { into: OTHER };
        rossi([]).with::<Company>(OTHER, [created()]).when(merge(OTHER)).then([Either::Own(merged())]);
        rossi([merged()]).when(merge(OTHER)).nothing();
        rossi([merged()]).when(merge(SUBJECT)).rejected(MERGED);
        rossi([]).when(merge(OTHER)).rejected(MERGE_UNFIT);
        rossi([]).when(merge(SUBJECT)).rejected(MERGE_UNFIT);
        let chained = [created(), Either::Own(Event::Merged { into: SUBJECT })];
        rossi([]).with::<Company>(OTHER, chained).when(merge(OTHER)).rejected(MERGE_UNFIT);
        rossi([merged()]).when(Either::Common(Common::Tag { tag: "vip".into() })).rejected(MERGED);
        assert!(!rossi([merged()]).state.is_live());
        let unmerged = || Event::Unmerged { from: OTHER };
        rossi([merged()]).when(Either::Own(Command::Unmerge)).then([Either::Own(unmerged())]);
        rossi([merged(), unmerged()]).when(Either::Own(Command::Unmerge)).nothing();
        let echoes = |event| rossi([]).echoes(&Either::Own(event));
        let shop = || ExternalId { source: "shop".into(), external_id: "1".into() };
        let brought = Brought { tags: ["vip".to_owned()].into(), external_ids: [shop()].into() };
        let absorbed = |company, parts: &[Id]| {
            let parts = parts.iter().map(|id| (*id, if *id == OTHER { brought.clone() } else { Brought::default() }));
            Event::Absorbed { company, parts: parts.collect() }
        };
        assert_eq!(echoes(merged()), [(OTHER, Either::Own(absorbed(SUBJECT, &[SUBJECT])))]);
        let released = |company, parts: &[Id]| Event::Released { company, parts: parts.iter().copied().collect() };
        assert_eq!(echoes(unmerged()), [(OTHER, Either::Own(released(SUBJECT, &[SUBJECT])))]);
        assert!(echoes(absorbed(OTHER, &[OTHER])).is_empty());
        // It shows what the other had, and gives it back.
        let tags = |events: Vec<Event>| rossi(events).state.tags();
        assert_eq!(tags(vec![absorbed(OTHER, &[OTHER])]), ["vip".to_owned()].into());
        assert!(tags(vec![absorbed(OTHER, &[OTHER]), released(OTHER, &[OTHER])]).is_empty());
        let onward = rossi([absorbed(OTHER, &[OTHER])]).echoes(&Either::Own(Event::Merged { into: Id::from_bits(9) }));
        assert_eq!(onward, [(Id::from_bits(9), Either::Own(absorbed(SUBJECT, &[SUBJECT, OTHER])))]);
    }
}
