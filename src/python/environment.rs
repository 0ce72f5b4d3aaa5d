//! Which interpreter the embedded one stands for: the virtual environment that a user means, or the base installation.
//!
//! Looks at files and variables only; nothing is started here.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{exit::Fatal, python::VERSION};

/// Finds the `python` whose `sys.prefix` and packages the embedded interpreter takes over.
///
/// `--venv`, then `VIRTUAL_ENV`, then a `python` beside the running program (the environment or image that rwsgi is
/// installed in), then the one that rwsgi was built against.
///
/// # Errors
/// An environment that is not one, or that belongs to another version of Python.
pub fn interpreter(venv: Option<&Path>) -> Result<PathBuf, Fatal> {
    if let Some(directory) = venv {
        return from_venv(directory, "--venv");
    }
    if let Some(directory) = env::var_os("VIRTUAL_ENV").filter(|value| !value.is_empty()) {
        return from_venv(Path::new(&directory), "VIRTUAL_ENV");
    }
    let name = format!("python{VERSION}");
    if let Some(sibling) =
        env::current_exe().ok().and_then(|program| Some(program.parent()?.join(&name))).filter(|path| path.exists())
    {
        return Ok(sibling);
    }
    let built_against = Path::new(env!("BUILD_PYTHON"));
    if built_against.exists() {
        return Ok(built_against.to_owned());
    }
    on_path(env::var_os("PATH").as_deref(), &name).ok_or_else(|| {
        Fatal::new(format!(
            "Python {VERSION}, which this rwsgi embeds, is not installed here. Install it, or name a virtual \
             environment that has it with --venv DIR."
        ))
    })
}

fn on_path(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    env::split_paths(path?).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

fn from_venv(directory: &Path, origin: &str) -> Result<PathBuf, Fatal> {
    let shown = directory.display();
    let directory = std::path::absolute(directory)
        .map_err(|error| Fatal::new(format!("Cannot resolve {shown} (from {origin}): {error}.")))?;
    let Ok(configuration) = fs_err::read_to_string(directory.join("pyvenv.cfg")) else {
        return Err(Fatal::new(format!(
            "{shown} (from {origin}) is not a virtual environment: it has no pyvenv.cfg. \
             Create one with python{VERSION} -m venv {shown}, or name another."
        )));
    };
    if let Some(version) = venv_version(&configuration)
        && version != VERSION
    {
        return Err(Fatal::new(format!(
            "The virtual environment {shown} (from {origin}) is for Python {version}, but this rwsgi embeds Python \
             {VERSION}: install rwsgi into that environment, or name one for Python {VERSION} with --venv DIR."
        )));
    }
    let python = directory.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    Err(Fatal::new(format!(
        "The virtual environment {shown} (from {origin}) has no working bin/python. Create it again with \
         python{VERSION} -m venv --clear {shown}."
    )))
}

/// The `major.minor` that a `pyvenv.cfg` names: `version` (venv), or `version_info` (virtualenv, uv).
fn venv_version(configuration: &str) -> Option<String> {
    let value = configuration.lines().filter_map(|line| line.split_once('=')).find_map(|(key, value)| {
        matches!(key.trim().to_ascii_lowercase().as_str(), "version" | "version_info").then(|| value.trim())
    })?;
    let mut parts = value.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::venv_version;

    #[test]
    fn the_version_of_an_environment_is_read_from_either_key() {
        assert_eq!(venv_version("home = /x\nversion = 3.12.1\n").as_deref(), Some("3.12"));
        assert_eq!(venv_version("home = /x\nversion_info = 3.13.0rc2\n").as_deref(), Some("3.13"));
        assert_eq!(venv_version("home = /x\n"), None);
    }
}
