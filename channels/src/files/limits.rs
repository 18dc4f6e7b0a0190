//! How large files may be and what, for whoever takes them in.

/// How large files may be and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes.
    pub largest: u64,
    /// Media types, such as `image/png`, `image/*`, `application/vnd.openxmlformats*`; all where there is none.
    pub types: Vec<String>,
}

impl Limits {
    /// What is within these and within others: a tenant's, and those of the channel through which a file comes or goes.
    #[must_use]
    pub fn within(&self, other: &Limits) -> Narrowed {
        Narrowed { largest: self.largest.min(other.largest), types: [self.types.clone(), other.types.clone()] }
    }

    /// Whether a file may be of this type.
    pub fn takes(&self, media_type: &str) -> bool {
        takes(&self.types, media_type)
    }
}

/// Limits that lie within two others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// The most bytes.
    pub largest: u64,
    types: [Vec<String>; 2],
}

impl Narrowed {
    /// The same, and no more than so many bytes.
    #[must_use]
    pub fn most(self, bytes: u64) -> Narrowed {
        Narrowed { largest: self.largest.min(bytes), ..self }
    }

    /// Whether a file may be of this type.
    pub fn takes(&self, media_type: &str) -> bool {
        self.types.iter().all(|types| takes(types, media_type))
    }
}

fn takes(types: &[String], media_type: &str) -> bool {
    let fits = |pattern: &String| {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_suffix('*') {
            Some(beginning) => media_type.starts_with(beginning),
            None => media_type == pattern,
        }
    };
    types.is_empty() || types.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(largest: u64, types: &[&str]) -> Limits {
        Limits { largest, types: types.iter().map(|pattern| (*pattern).to_owned()).collect() }
    }

    #[test]
    fn types_are_whole_or_begin_alike() {
        let some = limits(1, &["image/*", "application/PDF"]);
        assert!(some.takes("image/png") && some.takes("application/pdf"));
        assert!(!some.takes("text/html") && !some.takes("application/pdfx") && !some.takes("imagex/png"));
        assert!(limits(1, &[]).takes("text/html"));
    }

    #[test]
    fn a_channel_narrows_what_the_tenant_takes() {
        let both = limits(10, &["image/*"]).within(&limits(5, &["image/png", "audio/*"]));
        assert_eq!(both.largest, 5);
        assert!(both.takes("image/png") && !both.takes("image/webp") && !both.takes("audio/mpeg"));
        assert!(limits(10, &[]).within(&limits(50, &[])).takes("text/html"));
    }
}
