//! A shell and its tools for an image to look into: `BusyBox`, one program of many names.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    exit::Fatal,
    image::{
        interpreter::PREFIX,
        job::{child, progress::Cancel},
        layer::Contents,
    },
};

/// Adds this machine's `BusyBox` under all its names, and returns its file, which may need libraries.
pub fn add(contents: &mut Contents, cancel: &Cancel) -> Result<PathBuf, Fatal> {
    let program = on_path(env::var_os("PATH").as_deref()).ok_or_else(|| {
        Fatal::new(
            "--debug puts BusyBox into the image, and this machine has none. Install it (Debian: busybox-static; Alpine and \
             Fedora: busybox), or leave out --debug.",
        )
    })?;
    contents.depends_on(&program);
    let output = child::run(Command::new(&program).arg("--list"), "BusyBox", Vec::new(), cancel, |_| {})?;
    let bin = Path::new(PREFIX).join("bin");
    for name in output.stdout.lines().filter(|name| !name.is_empty() && !name.contains('/')) {
        // What is Python's or rwsgi's own is not BusyBox's to answer.
        if !contents.contains(bin.join(name)) {
            contents.symlink(bin.join(name), "busybox");
        }
    }
    contents.file(bin.join("busybox"), &program, true);
    // Where scripts, and what starts a command by a line of text, look for it.
    contents.symlink("bin/sh", Path::new("/").join(bin).join("busybox"));
    Ok(program)
}

fn on_path(path: Option<&OsStr>) -> Option<PathBuf> {
    let found = env::split_paths(path?).map(|folder| folder.join("busybox")).find(|file| file.is_file())?;
    fs_err::canonicalize(found).ok()
}
