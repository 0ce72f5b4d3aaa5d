//! Every setting of the server: one table, and the typed values that the rest of the program reads.
//!
//! The table says what can be set and what it means; `resolve` turns what was given into [`Settings`], or says what is
//! wrong with it. Reading the command line and telling the user are the `cli`'s.

mod resolve;
mod table;

pub use resolve::{Given, Level, Settings};
pub use table::{Kind, Setting, TABLE};
