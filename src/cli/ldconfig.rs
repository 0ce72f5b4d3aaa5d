//! `ldconfig -p`: lists the shared libraries in an image, which has neither ldconfig nor the cache that it prints.
//!
//! Python's `ctypes.util.find_library` runs it, as others do who look for a library by name. Only called by that name.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where the loader looks, and a prefix of one's own; in the first, names of machines may be in between.
const FOLDERS: [&str; 5] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib"];

/// Whether the program was called by this name.
pub fn called_so(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "ldconfig")
}

/// Prints the list, as the real one does for `-p`. There is no cache to make, so all else is done already.
#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
pub fn run(args: &[std::ffi::OsString]) -> ExitCode {
    if !args.iter().skip(1).any(|arg| arg == "-p" || arg == "--print-cache") {
        return ExitCode::SUCCESS;
    }
    let libraries = libraries(&FOLDERS.map(PathBuf::from));
    println!("{} libs found", libraries.len());
    for (name, path) in libraries {
        println!("\t{name} ({}) => {}", kind(), path.display());
    }
    ExitCode::SUCCESS
}

/// The libraries in `folders` and in those directly below them that are named after a machine, the first of a name.
fn libraries(folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = folders.to_vec();
    let below: Vec<_> =
        folders.iter().flat_map(|folder| entries(folder)).filter(|path| is_of_a_machine(path)).collect();
    folders.extend(below);
    for path in folders.iter().flat_map(|folder| entries(folder)) {
        if let Some(name) = path.file_name().and_then(OsStr::to_str)
            && name.contains(".so")
            && (name.starts_with("lib") || name.starts_with("ld-"))
        {
            found.entry(name.to_owned()).or_insert(path);
        }
    }
    found
}

fn is_of_a_machine(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
}

/// What the real one calls this machine's libraries.
fn kind() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "libc6,x86-64",
        "aarch64" => "libc6,AArch64",
        "powerpc64" | "s390x" => "libc6,64bit",
        _ => "libc6",
    }
}

#[cfg(test)]
mod tests {
    use super::{called_so, libraries};

    #[test]
    fn libraries_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let machine = folder.path().join("x86_64-linux-gnu");
        fs_err::create_dir_all(folder.path().join("other")).unwrap();
        fs_err::create_dir(&machine).unwrap();
        for file in ["liba.so.1", "x86_64-linux-gnu/libb.so", "x86_64-linux-gnu/b.txt", "other/libc.so.1", "a.so"] {
            fs_err::write(folder.path().join(file), "").unwrap();
        }
        let found = libraries(&[folder.path().to_owned(), folder.path().join("nowhere")]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["liba.so.1", "libb.so"]);
        assert_eq!(found["libb.so"], machine.join("libb.so"));
        assert!(called_so("/sbin/ldconfig".as_ref()) && !called_so("rwsgi".as_ref()));
    }
}
