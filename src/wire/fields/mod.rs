//! What the fields of a request and of an answer may hold, read one by one, each mistake with its place.

mod check;
mod error;
mod path;
mod place;
mod value;

pub use check::{Check, Field, check_fields};
pub use error::FieldError;
pub use path::Path;
pub use place::{Idiom, Place, snake};
pub use value::{MOST_TOKENS, arguments, sent_arguments, tokens, tokens_in};
