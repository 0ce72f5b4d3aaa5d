//! How the threads of a worker share requests, and what drives the connections.

mod in_place;
mod turns;
