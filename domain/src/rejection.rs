//! Refusals: why a command was not carried out, with a code that never changes.

use std::borrow::Cow;

use serde::Serialize;

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
        Self { class, code: Cow::Borrowed(code), detail: Cow::Borrowed(detail), errors: Vec::new() }
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

    /// The same refusal pointing at a field (`/title`); repeat it for several.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), code: self.code.clone(), detail: self.detail.to_string() };
        self.errors.push(error);
        self
    }
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
