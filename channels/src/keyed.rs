//! What follows from a key that is read, or made, when it is first needed: a process that needs none keeps none.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// Makes it; else why the key cannot be read.
type Make<T> = Arc<dyn Fn() -> Result<T, String> + Send + Sync>;

/// Something that follows from a key. Cheap to clone; all clones share it.
pub struct Keyed<T> {
    make: Make<T>,
    made: Arc<OnceLock<T>>,
}

impl<T> Keyed<T> {
    /// What is made so when it is first needed.
    pub fn new(make: impl Fn() -> Result<T, String> + Send + Sync + 'static) -> Keyed<T> {
        Keyed { make: Arc::new(make), made: Arc::default() }
    }

    /// It.
    ///
    /// # Errors
    /// Why the key cannot be read.
    pub fn get(&self) -> Result<&T, String> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = (self.make)()?;
        Ok(self.made.get_or_init(|| made))
    }
}

impl<T> Clone for Keyed<T> {
    fn clone(&self) -> Keyed<T> {
        Keyed { make: Arc::clone(&self.make), made: Arc::clone(&self.made) }
    }
}

impl<T> fmt::Debug for Keyed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(keyed)")
    }
}
