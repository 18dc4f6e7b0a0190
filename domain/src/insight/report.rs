//! A report: what is to be counted, measured or listed, version by version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::{
    Ctx, Need, Rejection, Time,
    insight::definition::{self, Definition, Values},
    kernel::{
        custom::{self, Changes},
        named::{Either, Never},
        record::{self, Common, Record, Row},
        valid,
    },
    org::field::Field,
};

/// A report.
pub type Report = Record<Spec>;

/// What makes a record a report.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it says. Another one is another version of the report.
    pub definition: Definition,
}

/// What has happened to a report, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It says something else from now on. What it said when it was created was version 1.
    VersionPublished {
        /// What it says.
        definition: Definition,
    },
}

/// What its list shows of a report besides its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// How many versions it has had.
    pub report_version: u32,
}

impl Default for Shown {
    fn default() -> Self {
        Shown { report_version: 1 }
    }
}

impl record::Spec for Spec {
    const KIND: &'static str = "report";
    const PLURAL: &'static str = "reports";
    const ABOUT: &'static str = "What is counted, measured or listed, by what, and when.";
    type Fields = Fields;
    type Command = Never;
    type Event = Event;
    type Shown = Shown;
    type State = ();

    fn shows(row: &mut Row<Spec>, event: &Event, _: Time) {
        let Event::VersionPublished { definition } = event;
        row.fields.definition = definition.clone();
        row.shown.report_version += 1;
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        valid::name(&fields.name, "/name")
    }

    fn fits(fields: &Fields, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let definition = &fields.definition;
        let known = &ctx.fact::<Field>(Field::id_for(ctx.tenant, &definition.of)).definitions;
        definition.compile(known, None).map(drop).map_err(|mut refused| {
            refused.errors.iter_mut().for_each(|error| error.pointer.insert_str(0, "/definition"));
            refused
        })
    }

    fn needs(report: &Report, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        let of = match command {
            Either::Common(Common::Create(new)) => Some(new.fields.definition.of.clone()),
            Either::Common(Common::Edit(patch)) => {
                let named = patch.get("definition").and_then(|definition| definition.get("of")?.as_str());
                let known = report.fields.as_ref().map(|fields| fields.definition.of.clone());
                named.map(ToOwned::to_owned).or(known)
            }
            _ => None,
        };
        of.map(|of| custom::needs(&of, ctx)).into_iter().collect()
    }

    fn named(_: &Fields, after: &Fields, changes: &mut Changes) -> Vec<Event> {
        let published = |_| Event::VersionPublished { definition: after.definition.clone() };
        changes.remove("definition").map(published).into_iter().collect()
    }

    fn evolve(report: &mut Report, event: &Event) {
        let Event::VersionPublished { definition } = event;
        if let Some(fields) = &mut report.fields {
            fields.definition = definition.clone();
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = definition::refusals();
        refusals.push(valid::NAME_INVALID);
        refusals
    }

    fn examples() -> (Fields, Vec<Never>) {
        let definition = Definition {
            of: "ticket".into(),
            measures: vec!["opened".into(), "resolution".into()],
            dimensions: vec!["product_id".into(), "month".into()],
            columns: Vec::new(),
            sort: None,
            filter: Map::from_iter([
                ("field".to_owned(), "priority".into()),
                ("op".to_owned(), "gte".into()),
                ("value".to_owned(), 2.into()),
            ]),
            values: Values::Then,
            time_zone: Some("Europe/Rome".into()),
            calendar: None,
        };
        let description = Some("Which products make work.".into());
        (Fields { name: "Most problematic products".into(), description, definition }, vec![])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kernel::{
        given::{created, given, new},
        record::Spec as _,
    };

    fn edit(patch: Value) -> record::Command<Spec> {
        let Value::Object(patch) = patch else { unreachable!() };
        Either::Common(Common::Edit(patch))
    }

    #[test]
    fn another_definition_is_another_version_and_the_same_is_none() {
        let fields = Spec::examples().0;
        let definition = Definition { measures: vec!["closed".into()], ..fields.definition.clone() };
        let published = Either::Own(Event::VersionPublished { definition: definition.clone() });
        let publish = || edit(json!({ "definition": { "measures": ["closed"] } }));
        given::<Report>(created::<Spec>()).when(publish()).then([published.clone()]);
        let [begun] = created::<Spec>();
        given::<Report>([begun, published]).when(publish()).nothing();
        let same = edit(json!({ "definition": fields.definition }));
        given::<Report>(created::<Spec>()).when(same).nothing();
    }

    #[test]
    fn a_definition_that_makes_no_sense_is_refused_and_pointed_at() {
        let mut unknown = new::<Spec>();
        unknown.fields.definition.measures.push("sold".into());
        given::<Report>([]).when(Either::Common(Common::Create(unknown))).rejected(definition::MEASURE_UNKNOWN);
        let by = edit(json!({ "definition": { "dimensions": ["city"] } }));
        given::<Report>(created::<Spec>()).when(by).rejected(definition::DIMENSION_UNKNOWN);
        // What was published once may be renamed, whatever has become of the fields that it names.
        let renamed = edit(json!({ "name": "Products" }));
        assert_eq!(given::<Report>(created::<Spec>()).when(renamed).events().len(), 1);
    }
}
