//! Facts about the project in an app's folder: what `pyproject.toml` and git say of it, and which app it holds.

pub mod app;
pub mod git;
pub mod pyproject;
