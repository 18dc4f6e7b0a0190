//! Quick replies. Table: `read_quick_replies`.

use domain::{
    Aggregate, Id,
    catalogue::listed,
    chat::quick_reply::{Fields, QuickReply},
    desk::ticket::Attachment,
    kernel::{color::Color, named::Either},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::record::{self, Common, created},
};

/// The quick replies.
#[derive(Clone, Copy, Debug)]
pub struct QuickReplies;

/// The attributes of a quick reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The short word that is typed to get it.
    pub name: String,
    /// What is sent.
    pub text: String,
    /// The label that a conversation gets once it is sent.
    pub label_id: Option<Id>,
    /// Files that are sent with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// The user who alone has it; everybody when absent.
    pub user_id: Option<Id>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["label", "user"];
}

impl From<Fields> for Attributes {
    fn from(fields: Fields) -> Attributes {
        let Fields { name, text, label, attachments, user } = fields;
        Attributes { name, text, label_id: label, attachments, user_id: user }
    }
}

/// A text that is often sent, behind a short word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
}

/// A quick reply with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The quick reply itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// Name of the label.
    pub label_name: Option<String>,
    /// Colour of the label.
    pub label_color: Option<Color>,
    /// Name of the user who alone has it.
    pub user_name: Option<String>,
}

impl ReadModel for QuickReplies {
    const NAME: &'static str = "quick_replies";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[QuickReply::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let Either::Common(happened) = decode::<QuickReply>(event)? else { return Ok(row) };
        let Some(mut row) = row else {
            return Ok(created(happened, event).map(|(attributes, common)| Row { attributes, common }));
        };
        row.common.touch(event);
        row.common.happened(&mut row.attributes, happened);
        Ok(Some(row))
    }
}

impl Listed for QuickReplies {
    const PATH: &'static str = QuickReply::PLURAL;
    const READ: &'static str = QuickReply::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("text"),
        Column::id("label_id").nullable(),
        Column::id("user_id").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::LABEL),
        Column::called(&listed::OWNER),
        Column::called(&listed::USER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(QuickReply::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.text, t.label_id, label.name as label_name, \
        label.color as label_color, t.attachments, t.user_id, holder.name as user_name, t.owner_id, \
        owner.name as owner_name, t.tags, t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_labels label on label.tenant_id = t.tenant_id and label.id = t.label_id \
        left join read_users holder on holder.tenant_id = t.tenant_id and holder.id = t.user_id \
        left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_quick_reply_gets_another_text_and_label() {
        let file = json!([{ "upload_id": id(9), "name": "prices.pdf" }]);
        let hello = json!({ "name": "hello", "text": "Good day", "label": id(1), "attachments": file });
        let created = event::<QuickReply>("created", hello);
        refuses_strangers::<QuickReplies, QuickReply>(&created);
        let changes = json!({ "changes": {
            "label": { "from": id(1), "to": null }, "user": { "from": null, "to": id(2) },
            "attachments": { "from": file, "to": null }, "text": { "from": "Good day", "to": "Hello" },
        } });
        let row =
            folded::<QuickReplies, QuickReply>([created, event::<QuickReply>("details_changed", changes)]).unwrap();
        let expected = Attributes {
            name: "hello".into(),
            text: "Hello".into(),
            label_id: None,
            attachments: vec![],
            user_id: Some(id(2)),
        };
        assert_eq!(row.attributes, expected);
    }
}
