//! What is wrong with a body, all of it: what does not decode, and what would be refused of the rest.

use commands::{Envelope, Refused, Undecoded};
use domain::{Class, FieldError, Id, Via, catalogue::Kind, kernel::any::AnyCommand};

use crate::http::kernel::write::Write;
use crate::{app::App, problem::Problem};

/// The problem of a body that is no command for the record `id`. Whatever of it does decode is rehearsed, so that its
/// faults are told too.
pub(in crate::http) async fn of_command(
    app: &App,
    write: &Write,
    kind: &'static Kind,
    id: Id,
    undecoded: Undecoded<AnyCommand>,
) -> Problem {
    let Undecoded { faults, rest } = undecoded;
    let refused = match rest {
        Some(command) => {
            let caller = &write.caller;
            let id = command.id_for_new(caller.tenant).unwrap_or(id);
            let envelope = Envelope::new(caller.tenant, id, caller.actor.clone(), Via::Api, app.now());
            let envelope = Envelope { authority: caller.authority.clone(), dry_run: true, ..envelope };
            app.commands.dispatch_any(&envelope, kind, vec![command]).await.err()
        }
        None => None,
    };
    let more = match refused {
        Some(Refused::Rejected(refused)) if refused.class == Class::Invalid => refused.errors,
        _ => Vec::new(),
    };
    // What stood in for a part that is told already speaks for nobody.
    let member = |pointer: &str| pointer.split('/').nth(1).map(ToOwned::to_owned);
    let told: Vec<_> = faults.iter().map(|fault| member(&fault.pointer)).collect();
    let more = more.into_iter().filter(|error| {
        let member = member(&error.pointer);
        member.is_some() && !told.contains(&member)
    });
    let more: Vec<FieldError> = more.collect();
    Problem::undecodable(faults).and(more)
}
