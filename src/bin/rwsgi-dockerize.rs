//! The `rwsgi-dockerize` program: what `rwsgi dockerize` runs.
//!
//! A program of its own, since an image holds `rwsgi` and has no use for what makes images.

fn main() -> std::process::ExitCode {
    rwsgi::cli::dockerize(std::env::args_os().collect())
}
