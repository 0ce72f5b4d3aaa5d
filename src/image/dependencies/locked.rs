//! A lock of uv's: the versions that a project's developers have settled, and the digests of their files.

use std::{path::Path, process::Command};

use crate::{
    exit::Fatal,
    image::{
        choices::Said,
        interpreter::Facts,
        job::{child, progress::Cancel},
    },
};

pub const FILE: &str = "uv.lock";

/// What an app in `folder` needs with these `extras`, as a list for installers. Nothing where no uv reads the lock.
///
/// # Errors
/// The lock is not what the project asks for any more, or uv cannot read it; or the build was told to stop.
pub fn export(folder: &Path, extras: &[Said<String>], facts: &Facts, cancel: &Cancel) -> Result<Option<String>, Fatal> {
    let export = |more: &[&str]| {
        let mut command = Command::new("uv");
        command.current_dir(folder).args(["export", "--locked", "--no-dev", "--no-emit-project", "--no-header"]);
        command.args(["--no-editable", "--no-annotate", "--quiet", "--color", "never"]).args(more);
        command.args(extras.iter().flat_map(|extra| ["--extra", extra.as_str()]));
        command.arg("--python").arg(&facts.executable).env_remove("UV_FROZEN").env_remove("UV_LOCKED");
        child::run(&mut command, "uv", Vec::new(), cancel, |_| {})
    };
    let Ok(output) = export(&[]) else { return cancel.check().map(|()| None) };
    if !output.status.success() {
        let said = output.stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it says no more");
        return Err(Fatal::new(if said.contains("needs to be updated") {
            format!("{FILE} is not of the project as it is now. Bring it up to date: uv lock")
        } else {
            format!("uv cannot read {FILE}: {}. Make it anew: uv lock", said.trim_end_matches('.'))
        }));
    }
    // Where one line has a digest all must, for pip; a repository has none.
    if output.stdout.lines().any(|line| !line.starts_with([' ', '#']) && !line.trim_end().ends_with('\\')) {
        return Ok(Some(export(&["--no-hashes"])?.stdout));
    }
    Ok(Some(output.stdout))
}
