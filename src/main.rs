//! The `rwsgi` program. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    rwsgi::cli::run(std::env::args_os().collect())
}
