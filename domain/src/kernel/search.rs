//! What is searched for, and the words of texts by which it is found: the same for what is kept, what is asked and what is
//! shown to match. Pure, so that an index can be folded from the log again, and tells the same.

pub mod marked;
pub mod query;
pub mod stems;
pub mod words;

pub use marked::{Piece, marked};
pub use query::{Excluded, Field, Query, Term, Unfit, Wanted};
pub use words::{Index, Weight};
