//! Commands by name: a kind, a command and a JSON body, as clients and rules say them.

use std::{collections::HashMap, sync::LazyLock};

use domain::{
    Aggregate, Rejection, catalogue,
    kernel::{
        any::AnyCommand,
        named::{Named, Undecodable, faults},
    },
};
use serde_json::Value;

use crate::{Accepted, Commands, Envelope, Refused};

const UNKNOWN: Rejection = Rejection::invalid("command_unknown", "There is no such command.");
const UNDECODABLE: Rejection = Rejection::invalid("body_invalid", "The body does not fit the command.");

/// The command that is called `name` of a kind of record. Those that only Deskfold issues are none.
///
/// # Errors
/// `unknown_name` when there is no such command; otherwise where the body does not fit, and why.
pub fn decode(kind: &str, name: &str, body: Value) -> Result<AnyCommand, Undecodable> {
    match catalogue::kind(kind).filter(|kind| kind.commands.contains(name)) {
        Some(kind) => kind.command(name, body),
        None => Err(Undecodable {
            pointer: String::new(),
            code: "unknown_name",
            detail: format!("There is no command {name} of a {kind}."),
        }),
    }
}

/// As [`decode`], but finds everything that is wrong with a body.
///
/// # Errors
/// Each fault, the first one first, and the command that the rest of the body is.
pub fn read(kind: &str, name: &str, body: &Value) -> Result<AnyCommand, Undecoded<AnyCommand>> {
    let decode = |body| decode(kind, name, body);
    decode(body.clone()).map_err(|first| match example(kind, name) {
        Some(like) => Undecoded::of(body, &like, decode),
        None => Undecoded { faults: vec![first], rest: None },
    })
}

/// Why a body is no command, and the command that it would be without that.
pub struct Undecoded<C> {
    /// Each fault; at least one.
    pub faults: Vec<Undecodable>,
    /// What the rest says, examples standing in for what is needed; absent when even so it says nothing.
    pub rest: Option<C>,
}

impl<C> Undecoded<C> {
    /// Of a body that does not decode as `like` does.
    pub fn of(body: &Value, like: &Value, decode: impl Fn(Value) -> Result<C, Undecodable>) -> Undecoded<C> {
        let (faults, rest) = faults(body, like, decode);
        Undecoded { faults, rest }
    }
}

/// The body of an example of a command.
pub fn example(kind: &str, name: &str) -> Option<Value> {
    type Examples = HashMap<(&'static str, String), Value>;
    struct Collect(Examples);
    impl catalogue::Visitor for Collect {
        fn visit<A: Aggregate>(&mut self) {
            for example in A::examples() {
                let (name, data) = example.encode();
                if let Ok(body) = serde_json::from_slice(&data) {
                    self.0.entry((A::KIND, name)).or_insert(body);
                }
            }
        }
    }
    static EXAMPLES: LazyLock<Examples> = LazyLock::new(|| {
        let mut examples = Collect(HashMap::new());
        catalogue::visit_all(&mut examples);
        examples.0
    });
    let kind = catalogue::kind(kind)?.name;
    EXAMPLES.get(&(kind, name.to_owned())).cloned()
}

impl Commands {
    /// Carries out the command that is called `name` of a kind of record.
    ///
    /// # Errors
    /// As [`Commands::dispatch`], and when there is no such command or its body does not fit.
    pub async fn issue(&self, envelope: &Envelope, kind: &str, name: &str, body: Value) -> Result<Accepted, Refused> {
        let command = decode(kind, name, body).map_err(|error| match error.code {
            "unknown_name" => UNKNOWN.because(error.detail),
            _ => UNDECODABLE.because(error.detail.clone()).at(error.pointer),
        })?;
        let kind = catalogue::kind(kind).ok_or(UNKNOWN)?;
        self.dispatch_any(envelope, kind, vec![command]).await
    }
}
