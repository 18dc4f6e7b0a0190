//! Files that records refer to: what an event says of that is told in the stream of each upload, together with the event.
//!
//! So an upload knows by itself who refers to it: whoever sees one of those records sees the file, and it is deleted only when
//! none is left.

use std::collections::BTreeSet;

use crate::{
    Ctx, Echo, Id, Need,
    kernel::reference::Subject,
    org::upload::{Event, Upload},
};

/// What an event says of uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The record refers to these from now on.
    pub taken: BTreeSet<Id>,
    /// It refers to these no longer.
    pub let_go: BTreeSet<Id>,
}

impl Files {
    /// The record refers to these.
    pub fn taken(uploads: impl IntoIterator<Item = Id>) -> Files {
        Files { taken: uploads.into_iter().collect(), let_go: BTreeSet::new() }
    }

    /// The record refers to these no longer.
    pub fn let_go(uploads: impl IntoIterator<Item = Id>) -> Files {
        Files { taken: BTreeSet::new(), let_go: uploads.into_iter().collect() }
    }

    /// What a record refers to after a change, where it referred to those before.
    pub fn changed(before: &BTreeSet<Id>, after: &BTreeSet<Id>) -> Files {
        Files {
            taken: after.difference(before).copied().collect(),
            let_go: before.difference(after).copied().collect(),
        }
    }
}

/// What must be known of uploads that a record lets go of. Those that a command names are known as what it refers to.
pub fn needs(uploads: impl IntoIterator<Item = Id>) -> Vec<Need> {
    uploads.into_iter().map(Need::of::<Upload>).collect()
}

/// What an event of the record that `ctx` names, of this kind, means to uploads. Ids that were recorded before uploads were
/// checked name none, and lead to nothing.
pub(crate) fn echoes(kind: &str, files: Files, ctx: &Ctx<'_>) -> Vec<Echo> {
    let here = Subject::new(kind, ctx.id);
    let known = |id: &Id| ctx.facts.state::<Upload>("upload", *id).filter(|upload| upload.is_kept());
    let taken = files.taken.into_iter().filter(|id| known(id).is_some_and(|upload| !upload.is_referred_to_by(&here)));
    let attached = taken.map(|id| Echo::to::<Upload>(id, &Event::Attached { to: here.clone() })).collect::<Vec<_>>();
    let gone = files.let_go.into_iter().filter(|id| known(id).is_some_and(|upload| upload.is_referred_to_by(&here)));
    let detached = gone.map(|id| Echo::to::<Upload>(id, &Event::Detached { from: here.clone() }));
    attached.into_iter().chain(detached).collect()
}
