//! A text that is often sent, behind a short word.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Claim, Ctx, Id, Rejection, all,
    desk::ticket::{Attachment, uploads},
    kernel::{
        listing::Nothing,
        named::Never,
        record::{self, Record},
        valid,
    },
    must,
};

/// A quick reply.
pub type QuickReply = Record<Spec>;

/// What makes a record a quick reply.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a quick reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The short word that is typed to get it.
    pub name: String,
    /// What is sent.
    pub text: String,
    /// The label that a conversation gets once it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "label"))]
    pub label: Option<Id>,
    /// Files that are sent with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The user who alone has it; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "user"))]
    pub user: Option<Id>,
}

const NAME_TAKEN: Rejection = Rejection::conflict("quick_reply_name_taken", "Another quick reply has this short word.");
const TEXT_INVALID: Rejection =
    Rejection::invalid("quick_reply_text_invalid", "A quick reply has a text or an attachment.");

impl record::Spec for Spec {
    const KIND: &'static str = "quick_reply";
    const PLURAL: &'static str = "quick_replies";
    const ABOUT: &'static str = "A text that is often sent, behind a short word.";
    const OWN: &'static [&'static str] = &["edit", "read"];
    const PRIVATE: Option<&'static str> = Some("user");
    const FILES: bool = true;
    type Fields = Fields;
    type Command = Never;
    type Event = Never;
    type Shown = Nothing;
    type State = ();

    fn check(fields: &Fields) -> Result<(), Rejection> {
        let empty = fields.text.trim().is_empty() && fields.attachments.is_empty();
        all([valid::name(&fields.name, "/name"), must(!empty, TEXT_INVALID, "/text")])
    }

    fn uploads(reply: &QuickReply) -> BTreeSet<Id> {
        reply.fields.iter().flat_map(|fields| uploads(&fields.attachments)).collect()
    }

    /// An archived one gives its word back.
    fn claims(reply: &QuickReply, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        let mut after = reply.clone();
        after.evolve(event);
        Claim::moved("quick_reply.name", &word(reply), &word(&after), &NAME_TAKEN.at("/name"))
    }

    fn refusals() -> Vec<Rejection> {
        vec![NAME_TAKEN, TEXT_INVALID, valid::NAME_INVALID]
    }

    fn examples() -> (Fields, Vec<Never>) {
        let id = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let price_list = Attachment { upload_id: id, name: "prices.pdf".into(), media_type: None, size: None };
        let text = "Good day! How can we help?".into();
        let fields =
            Fields { name: "hello".into(), text, label: Some(id), attachments: vec![price_list], user: Some(id) };
        (fields, vec![])
    }
}

fn word(reply: &QuickReply) -> BTreeSet<String> {
    let user = |fields: &Fields| fields.user.map(|user| user.to_string()).unwrap_or_default();
    let live = reply.fields.iter().filter(|_| !reply.archived);
    live.map(|fields| format!("{}/{}", user(fields), fields.name.trim().to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        access::{EVERYBODY, Relation},
        given::{created, given, new},
        named::Either,
        record::{Common, Happened, Spec as _},
    };

    #[test]
    fn a_short_word_is_given_once_to_the_same_people() {
        let user = Spec::examples().0.user.unwrap();
        let taken = [format!("+quick_reply.name {user}/hello")];
        assert_eq!(given::<QuickReply>([]).claims(&created::<Spec>()[0]), taken);
        let archived = Either::Common(Happened::Archived { reason: None });
        assert_eq!(
            given::<QuickReply>(created::<Spec>()).claims(&archived),
            [format!("-quick_reply.name {user}/hello")]
        );
    }

    #[test]
    fn it_is_everybody_s_to_see_unless_one_user_has_it() {
        let user = Spec::examples().0.user;
        let relations = |event: &record::Event<Spec>| QuickReply::relates(event);
        let [Either::Common(Happened::Created(mine))] = &created::<Spec>()[..] else { unreachable!() };
        let theirs = record::New { fields: Fields { user: None, ..mine.fields.clone() }, ..mine.clone() };
        let everybodys = || vec![Relation::Assignee(None), Relation::Shared(EVERYBODY, record::Level::Read)];
        assert_eq!(relations(&Either::Common(Happened::Created(theirs))), everybodys());
        let alone = vec![Relation::Assignee(user), Relation::Unshared(EVERYBODY)];
        assert_eq!(relations(&created::<Spec>()[0]), alone);
        let given = given::<QuickReply>(created::<Spec>());
        let patch = serde_json::json!({ "user": null }).as_object().unwrap().clone();
        let events = given.by(user.unwrap()).when(Either::Common(Common::Edit(patch))).events();
        assert_eq!(relations(&events[0]), everybodys());
    }

    #[test]
    fn it_says_something() {
        let mut empty = new::<Spec>();
        empty.fields = Fields { text: " ".into(), attachments: vec![], ..empty.fields };
        given::<QuickReply>([]).when(Either::Common(Common::Create(empty))).rejected(TEXT_INVALID);
    }
}
