//! Refusals: why a command was not carried out, with a code that never changes.

use std::borrow::Cow;

use serde::Serialize;

use crate::kernel::reference::Subject;

/// What kind of refusal it is; the gateway alone turns it into an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The command itself makes no sense.
    Invalid,
    /// It speaks of something that does not exist.
    Missing,
    /// The actor may not do it.
    Forbidden,
    /// It makes sense, but not in the present state.
    Conflict,
}

/// What is wrong with one field of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the command's body.
    pub pointer: String,
    /// Stable code.
    pub code: Cow<'static, str>,
    /// For a person.
    pub detail: String,
}

/// A refusal. Two refusals are equal when class and code are: the detail is for people.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Its kind.
    pub class: Class,
    /// Stable code that clients switch on, such as `ticket_closed`.
    pub code: Cow<'static, str>,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
    /// The fields at fault, when it is about fields.
    pub errors: Vec<FieldError>,
    /// The record that stands in the way, when it is another one: the contact that has the address already.
    pub record: Option<Box<Subject>>,
}

impl Rejection {
    /// The command makes no sense.
    pub const fn invalid(code: &'static str, detail: &'static str) -> Self {
        Self::new(Class::Invalid, code, detail)
    }

    /// What it speaks of does not exist.
    pub const fn missing(code: &'static str, detail: &'static str) -> Self {
        Self::new(Class::Missing, code, detail)
    }

    /// The actor may not.
    pub const fn forbidden(code: &'static str, detail: &'static str) -> Self {
        Self::new(Class::Forbidden, code, detail)
    }

    /// Not in the present state.
    pub const fn conflict(code: &'static str, detail: &'static str) -> Self {
        Self::new(Class::Conflict, code, detail)
    }

    const fn new(class: Class, code: &'static str, detail: &'static str) -> Self {
        Self { class, code: Cow::Borrowed(code), detail: Cow::Borrowed(detail), errors: Vec::new(), record: None }
    }

    /// The refusal of a kind that shares its code with others: `unknown` becomes `contact_unknown`.
    #[must_use]
    pub fn of(mut self, kind: &str) -> Self {
        self.code = Cow::Owned(format!("{kind}_{}", self.code));
        self
    }

    /// The same refusal with a sentence that names what was found.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Cow::Owned(detail.into());
        self
    }

    /// The same refusal naming the record that stands in the way.
    #[must_use]
    pub fn with(mut self, record: Subject) -> Self {
        self.record = Some(Box::new(record));
        self
    }

    /// The same refusal pointing at a field (`/title`); repeat it for several.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), code: self.code.clone(), detail: self.detail.to_string() };
        self.errors.push(error);
        self
    }

    /// As one of several faults, when it points at no field.
    fn whole(&self) -> FieldError {
        FieldError { pointer: String::new(), code: self.code.clone(), detail: self.detail.to_string() }
    }
}

/// Collects everything that is wrong with a command, so that whoever sent it learns of all of it at once. The first fault
/// decides class and code.
#[derive(Debug, Default)]
pub struct Faults(Option<Rejection>);

impl Faults {
    /// Takes the outcome of a check in; its value, if it passed.
    pub fn check<T>(&mut self, outcome: Result<T, Rejection>) -> Option<T> {
        outcome.map_err(|fault| self.add(fault)).ok()
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Rejection) {
        match &mut self.0 {
            None => self.0 = Some(fault),
            Some(first) => {
                if first.errors.is_empty() {
                    first.errors.push(first.whole());
                }
                let errors = if fault.errors.is_empty() { vec![fault.whole()] } else { fault.errors };
                for error in errors {
                    if !first.errors.contains(&error) {
                        first.errors.push(error);
                    }
                }
            }
        }
    }

    /// Refuses if anything was found.
    ///
    /// # Errors
    /// The first fault, with the places of all of them.
    pub fn done(self) -> Result<(), Rejection> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Refuses a field for which something does not hold. `pointer` is its place in the body.
///
/// # Errors
/// The refusal, pointing there.
pub fn must(holds: bool, refusal: Rejection, pointer: impl Into<String>) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(refusal.at(pointer)) }
}

/// Refuses with everything that any of these checks found.
///
/// # Errors
/// As [`Faults::done`].
pub fn all(outcomes: impl IntoIterator<Item = Result<(), Rejection>>) -> Result<(), Rejection> {
    let mut faults = Faults::default();
    for outcome in outcomes {
        faults.check(outcome);
    }
    faults.done()
}

impl PartialEq for Rejection {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class && self.code == other.code
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    const BLANK: Rejection = Rejection::invalid("blank", "It is blank.");
    const TAKEN: Rejection = Rejection::conflict("taken", "It is taken.");

    #[test]
    fn all_faults_are_told_and_the_first_decides_class_and_code() {
        let refused =
            all([Ok(()), Err(BLANK.at("/name")), Err(TAKEN), Err(BLANK.at("/name")), Err(BLANK.at("/title"))]);
        let refused = refused.unwrap_err();
        assert_eq!(refused, BLANK);
        let places: Vec<_> = refused.errors.iter().map(|error| (error.pointer.as_str(), error.code.as_ref())).collect();
        assert_eq!(places, [("/name", "blank"), ("", "taken"), ("/title", "blank")]);
        assert_eq!(all([Ok(()), Ok(())]), Ok(()));
    }
}
