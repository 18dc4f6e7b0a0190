//! Commands by name: a kind, a command and a JSON body, as rules say them.

use std::{collections::HashMap, sync::LazyLock};

use domain::{Aggregate, Rejection, catalogue, named::Named};
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::{Accepted, Commands, Order, Refused};

const UNKNOWN: Rejection = Rejection::invalid("command_unknown", "There is no such command.");
const UNDECODABLE: Rejection = Rejection::invalid("body_invalid", "The body does not fit the command.");

type Issued<'a> = BoxFuture<'a, Result<Accepted, Refused>>;
type Issue = for<'a> fn(&'a Commands, &'a Order, &'a str, Value) -> Issued<'a>;

fn issue<'a, A: Aggregate>(commands: &'a Commands, order: &'a Order, name: &'a str, body: Value) -> Issued<'a> {
    async move {
        let command = A::Command::from_value(name, body)
            .map_err(|error| UNDECODABLE.because(error.detail.clone()).at(error.pointer))?;
        commands.dispatch::<A>(order, command).await
    }
    .boxed()
}

static ISSUES: LazyLock<HashMap<&'static str, Issue>> = LazyLock::new(|| {
    struct Issues(HashMap<&'static str, Issue>);
    impl catalogue::Visitor for Issues {
        fn visit<A: Aggregate>(&mut self) {
            self.0.insert(A::KIND, issue::<A>);
        }
    }
    let mut issues = Issues(HashMap::new());
    catalogue::visit_all(&mut issues);
    issues.0
});

impl Commands {
    /// Carries out the command that is called `name` of a kind of record. Those that only Deskfold issues are none.
    ///
    /// # Errors
    /// As [`Commands::dispatch`], and when there is no such command or its body does not fit.
    pub async fn issue(&self, order: &Order, kind: &str, name: &str, body: Value) -> Result<Accepted, Refused> {
        let known = catalogue::kind(kind).is_some_and(|kind| kind.commands.contains(name));
        let Some(issue) = ISSUES.get(kind).filter(|_| known) else {
            return Err(UNKNOWN.because(format!("There is no command {name} of a {kind}.")).into());
        };
        issue(self, order, name, body).await
    }
}
