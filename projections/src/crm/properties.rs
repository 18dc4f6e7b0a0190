//! Properties. Table: `read_properties`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Money,
    catalogue::listed,
    crm::property::{Event, Fields, Kind, Location, Media, Property, Purpose},
    kernel::named::Either,
};
use eventstore::Recorded;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::record::{self, Common, created},
};

/// The properties.
#[derive(Clone, Copy, Debug)]
pub struct Properties;

/// The attributes of a property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The title of its advertisement.
    pub name: String,
    /// What sort of property.
    #[serde(default)]
    pub kind: Kind,
    /// Whether it is sold or let.
    #[serde(default)]
    pub purpose: Purpose,
    /// What it costs.
    pub price: Option<Money>,
    /// Street and number.
    pub address: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Where it lies.
    pub location: Option<Location>,
    /// Area in square metres, as text.
    pub area: Option<Decimal>,
    /// Rooms.
    pub rooms: Option<u16>,
    /// Its floor.
    pub floor: Option<i16>,
    /// Floors of the building.
    pub floors: Option<u16>,
    /// What it has: `balcony`, `lift`, ...
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// The text of its advertisement.
    pub description: Option<String>,
}

impl record::Attributes for Attributes {}

impl From<Fields> for Attributes {
    fn from(fields: Fields) -> Attributes {
        let Fields { name, kind, purpose, price, address, city, country, location, .. } = fields;
        let Fields { area, rooms, floor, floors, features, description, .. } = fields;
        Attributes {
            name,
            kind,
            purpose,
            price,
            address,
            city,
            country,
            location,
            area,
            rooms,
            floor,
            floors,
            features,
            description,
        }
    }
}

/// A flat, house or plot that is for sale or to let.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Photos, videos, tours and plans, the first one first.
    pub media: Vec<Media>,
    /// The portals on which it is advertised.
    pub portals: BTreeSet<String>,
    /// The portals that have turned it down, with what they say.
    pub portal_errors: BTreeMap<String, String>,
}

/// A property with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The property itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
}

impl ReadModel for Properties {
    const NAME: &'static str = "properties";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Property::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Property>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            return Ok(created(happened, event).map(|(attributes, common)| Row {
                attributes,
                common,
                media: Vec::new(),
                portals: BTreeSet::new(),
                portal_errors: BTreeMap::new(),
            }));
        };
        row.common.touch(event);
        match happened {
            Either::Common(happened) => row.common.happened(&mut row.attributes, happened),
            Either::Own(happened) => row.own(happened),
        }
        Ok(Some(row))
    }
}

impl Row {
    fn own(&mut self, happened: Event) {
        match happened {
            Event::PriceChanged { to, .. } => self.attributes.price = to,
            Event::MediaAdded(media) => self.media.push(media),
            Event::MediaRemoved { media_id } => self.media.retain(|media| media.media_id != Some(media_id)),
            Event::MediaReordered { to, .. } => {
                self.media.sort_by_key(|media| to.iter().position(|id| media.media_id == Some(*id)));
            }
            Event::PublishedToPortal { portal } => {
                self.portal_errors.remove(&portal);
                self.portals.insert(portal);
            }
            Event::Unpublished { portal } => {
                self.portal_errors.remove(&portal);
                self.portals.remove(&portal);
            }
            Event::PortalRejected { portal, error } => {
                self.portals.remove(&portal);
                self.portal_errors.insert(portal, error);
            }
        }
    }
}

impl Listed for Properties {
    const PATH: &'static str = Property::PLURAL;
    const READ: &'static str = Property::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("kind"),
        Column::word("purpose"),
        Column::decimal("price.amount").nullable(),
        Column::word("price.currency").nullable(),
        Column::text("address").nullable(),
        Column::text("city").nullable(),
        Column::text("country").nullable(),
        Column::decimal("area").nullable(),
        Column::integer("rooms").nullable(),
        Column::integer("floor").nullable(),
        Column::integer("floors").nullable(),
        Column::tags("features"),
        Column::text("description").nullable(),
        Column::set("portals"),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::id("copied_from").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::OWNER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Property::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("created_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.kind, t.purpose, t.price, t.address, t.city, \
        t.country, t.location, t.area, t.rooms, t.floor, t.floors, t.features, t.description, t.media, t.portals, \
        t.portal_errors, t.owner_id, owner.name as owner_name, t.tags, t.shared, r.custom, t.archived, t.copied_from, \
        t.created_at, t.updated_at";
    const JOINS: &'static str = "left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    fn photo(number: u128) -> Event {
        let media_id = Some(id(number));
        Event::MediaAdded(Media { media_id, kind: Default::default(), upload_id: media_id, url: None, caption: None })
    }

    #[test]
    fn a_property_has_a_price_pictures_and_portals() {
        let flat = json!({ "name": "Three rooms", "area": "78.50", "features": ["lift"], "rooms": 3 });
        let created = event::<Property>("created", flat);
        refuses_strangers::<Properties, Property>(&created);
        let emptied = json!({ "changes": {
            "features": { "from": ["lift"], "to": null }, "kind": { "from": "apartment", "to": "house" },
            "rooms": { "from": 3, "to": null },
        } });
        let price = json!({ "from": null, "to": { "amount": "310000.00", "currency": "EUR" } });
        let own = [
            photo(1),
            photo(2),
            photo(3),
            Event::MediaReordered { from: vec![], to: vec![id(3), id(1), id(2)] },
            Event::MediaRemoved { media_id: id(1) },
            Event::PublishedToPortal { portal: "a".into() },
            Event::PublishedToPortal { portal: "b".into() },
            Event::PublishedToPortal { portal: "c".into() },
            Event::PortalRejected { portal: "b".into(), error: "No photos".into() },
            Event::Unpublished { portal: "c".into() },
        ];
        let events =
            [created, event::<Property>("details_changed", emptied), event::<Property>("price_changed", price)];
        let row = folded::<Properties, Property>(events.into_iter().chain(own.map(Either::Own))).unwrap();
        assert_eq!((row.attributes.kind, row.attributes.rooms), (Kind::House, None));
        assert_eq!(row.attributes.features, BTreeSet::new());
        assert_eq!(row.attributes.price.unwrap().amount.to_string(), "310000.00");
        assert_eq!(row.attributes.area.unwrap().to_string(), "78.50", "as exact as it was told");
        assert_eq!(row.media.iter().filter_map(|media| media.media_id).collect::<Vec<_>>(), [id(3), id(2)]);
        assert_eq!((row.portals, row.portal_errors.len()), (["a".to_owned()].into(), 1));
    }
}
