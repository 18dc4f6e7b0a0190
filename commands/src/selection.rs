//! Which events conditions select: each is held against the event and the records that it concerns, as they were after it, so that whoever
//! asks again gets the same answer.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Id,
    org::{field::Field, tenant::Tenant},
    work::{
        automation::{Compiled, CustomTypes, Scene},
        rule,
        webhook::Settings,
    },
};
use eventstore::Recorded;

use crate::{
    Commands, Refused,
    scene::{self, World},
};

/// Records that are kept in mind while one event is looked at.
const RECORDS: usize = 64;

/// Conditions that are asked again and again.
pub struct Selection {
    commands: Commands,
    tenant: Id,
    settings: Settings,
    /// The kinds of record whose custom fields they may ask about.
    kinds: Vec<&'static str>,
    /// The versions of the custom fields by which the conditions were made ready.
    fields: Vec<i64>,
    /// By type of event, as far as somebody has asked.
    ready: HashMap<Arc<str>, Option<Arc<Compiled>>>,
    world: World,
}

impl Selection {
    /// The conditions of these settings.
    pub fn new(commands: &Commands, tenant: Id, settings: Settings) -> Selection {
        let (commands, world) = (commands.clone(), World::new(commands, RECORDS));
        let kinds = settings.kinds_with_custom_fields();
        Selection { commands, tenant, settings, kinds, fields: Vec::new(), ready: HashMap::new(), world }
    }

    /// Whether they select an event; none of a type of which they make no sense.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn selects(&mut self, event: &Recorded) -> Result<bool, Refused> {
        if self.settings.filter.is_empty() {
            return Ok(true);
        }
        let Some(condition) = self.condition(&event.kind).await? else { return Ok(false) };
        // What other programs wrote into the log concerns no record.
        let Some(metadata) = scene::metadata(event) else { return Ok(false) };
        let Some(trigger) = scene::trigger(event, &metadata) else { return Ok(false) };
        if !condition.asks_records() {
            return Ok(condition.matches(&Scene::new(&trigger, [])));
        }
        self.world.clear();
        let mut eyes = self.world.at(&event.tenant, event.position);
        match scene::scene(&mut eyes, &trigger, &[&*condition]).await {
            Ok(scene) => Ok(condition.matches(&scene)),
            // A record that cannot be read stands in nobody's way.
            Err(Refused::Broken(reason)) => {
                tracing::warn!(
                    position = event.position,
                    reason,
                    "an event is told though its conditions cannot be asked"
                );
                Ok(true)
            }
            Err(refused) => Err(refused),
        }
    }

    async fn condition(&mut self, event_type: &Arc<str>) -> Result<Option<Arc<Compiled>>, Refused> {
        let (mut types, mut versions) = (Vec::new(), Vec::new());
        for kind in self.kinds.iter().copied() {
            let (field, version) = self.commands.load::<Field>(self.tenant, Field::id_for(self.tenant, kind)).await?;
            versions.push(version);
            types.push((kind, field));
        }
        let (tenant, version) = self.commands.load::<Tenant>(self.tenant, self.tenant).await?;
        versions.push(version);
        if versions != self.fields {
            (self.fields, self.ready) = (versions, HashMap::new());
        }
        if let Some(ready) = self.ready.get(event_type) {
            return Ok(ready.clone());
        }
        let mut custom = CustomTypes::of(tenant.default_country());
        for (kind, field) in &types {
            // What was retired since still means what it meant.
            custom.extend(rule::custom_types_of(kind, field, true));
        }
        let ready = self.settings.condition(event_type, &custom).ok().map(Arc::new);
        self.ready.insert(Arc::clone(event_type), ready.clone());
        Ok(ready)
    }
}
