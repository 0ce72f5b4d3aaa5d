//! What of an app's folder stays out of an image: by `.dockerignore`, and although nothing says so.

pub mod ignore;
pub mod images;
pub mod screen;
pub mod secrets;
pub mod text;

/// How the name of a half-written image ends, which may lie in the app's folder.
pub const PART: &str = ".rwsgi-part";
