//! Everything that needs the real program: one crate, so that it is linked once.

mod support;

mod dockerize;
mod layers;
mod readme;
mod serve;
