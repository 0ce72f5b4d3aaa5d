//! Bodies of requests and answers on their way: where they wait, how much of them does in memory, and how fast they come.

pub mod buffer;
pub mod coalesced;
pub mod high_water;
pub mod memory_budget;
pub mod pieces;
pub mod rate;
pub mod request;
pub mod spool;
pub mod whole;
