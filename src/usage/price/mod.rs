//! What calls cost: the price book, a model's price, and what a call is charged.

mod book;
mod charge;
mod entry;
mod model;
mod rates;

pub use book::{PriceBook, PriceOverride};
pub use model::{About, Price};
pub use rates::{Rates, UnitPrices};
