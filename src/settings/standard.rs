//! Modules of the standard library that an app's files of the same names do not hide.

use std::path::Path;

/// Those that gunicorn 27 has loaded before it looks for the app's.
const LOADED_BY_GUNICORN: &str = "\
    argparse array ast atexit base64 binascii bisect bz2 calendar collections concurrent contextlib copy \
    copyreg csv datetime dis email enum errno fcntl fnmatch functools gettext glob grp heapq html \
    importlib inspect ipaddress json keyword linecache locale logging lzma math ntpath opcode operator \
    pathlib pickle platform pwd queue quopri random re reprlib select selectors shlex shutil signal \
    socket socketserver ssl string struct tempfile textwrap threading token tokenize traceback types \
    typing urllib warnings weakref zipfile zlib";

/// Their names.
pub fn modules() -> impl Iterator<Item = &'static str> {
    LOADED_BY_GUNICORN.split(' ')
}

/// Why the app that `spec` names in `folder` cannot be served, if it is in a file or folder that these hide: a sentence.
pub fn hides(spec: &str, folder: &Path) -> Option<String> {
    let module = spec.split([':', '.']).next().filter(|module| modules().any(|name| name == *module))?;
    let hidden = [format!("{module}.py"), module.to_owned()].into_iter().find(|name| folder.join(name).exists())?;
    Some(format!("{hidden} is hidden by the standard library's {module}. Give it another name."))
}

#[cfg(test)]
mod tests {
    use super::hides;

    #[test]
    fn what_is_hidden_is_named() {
        let folder = tempfile::tempdir().expect("a directory");
        for file in ["queue.py", "email/app.py", "shop.py"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let hidden = |spec| hides(spec, folder.path());
        let said = |name: &str, module: &str| {
            Some(format!("{name} is hidden by the standard library's {module}. Give it another name."))
        };
        assert_eq!((hidden("queue:app"), hidden("queue")), (said("queue.py", "queue"), said("queue.py", "queue")));
        assert_eq!(hidden("email.app:app"), said("email", "email"));
        assert_eq!((hidden("shop:app"), hidden("calendar:app"), hidden("shop.queue:app")), (None, None, None));
    }
}
