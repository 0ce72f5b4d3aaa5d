//! The two programs, which are installed beside each other: `rwsgi`, which serves and is what an image holds, and
//! `rwsgi-dockerize`, which makes images.

use std::{env, ffi::OsString, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use crate::exit::{Code, Fatal};

const SERVER: &str = "rwsgi";
const PACKAGER: &str = "rwsgi-dockerize";

/// Becomes the program that makes images, called with `args`. Returns why it cannot.
pub fn become_packager(args: impl Iterator<Item = OsString>) -> Fatal {
    let program = match beside(PACKAGER) {
        Ok(program) => program,
        Err(fatal) => return fatal,
    };
    let error = Command::new(&program).args(args).exec();
    let path = program.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        return Fatal::with_code(
            Code::Failed,
            format!(
                "There is no {path}, which makes images. A container has only what serves; elsewhere, install rwsgi again."
            ),
        );
    }
    Fatal::new(format!("{path}, which makes images, cannot be run: {error}. Install rwsgi again."))
}

/// The program that an image is to hold.
///
/// # Errors
/// It is not there.
pub fn server() -> Result<PathBuf, Fatal> {
    let program = beside(SERVER)?;
    if program.is_file() {
        return Ok(program);
    }
    Err(Fatal::new(format!("There is no {}, which an image is to hold. Install rwsgi again.", program.display())))
}

fn beside(name: &str) -> Result<PathBuf, Fatal> {
    env::current_exe()
        .map(|running| running.with_file_name(name))
        .map_err(|error| Fatal::new(format!("The running program cannot be found: {error}.")))
}
