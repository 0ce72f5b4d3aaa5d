//! What is served.

use crate::settings::setting::{Kind, Setting};

pub const APP: &[Setting] = &[
    Setting::new(
        "config",
        Kind::Text,
        "The configuration file, in Python: PATH, file:PATH, or python:MODULE. The default is read where it exists, \
         any other must exist.",
    )
    .flags(&["-c", "--config"], "FILE")
    .default("./gunicorn.conf.py"),
    Setting::new(
        "wsgi_app",
        Kind::Text,
        "The app to serve when the command line names none: MODULE:NAME or MODULE:FACTORY(ARGUMENTS).",
    ),
    Setting::new(
        "chdir",
        Kind::Directory,
        "Change to this directory before the app is loaded. Modules are looked for there first, but for what pythonpath \
         names.",
    )
    .flags(&["--chdir"], "DIR"),
    Setting::new(
        "pythonpath",
        Kind::Text,
        "Further directories to look for modules in, between commas. They come before chdir, the last of them first.",
    )
    .flags(&["--pythonpath"], "DIRS"),
    Setting::new("raw_env", Kind::List, "Set an environment variable for the app, as NAME=VALUE. May be repeated.")
        .flags(&["-e", "--env"], "NAME=VALUE"),
    Setting::new(
        "venv",
        Kind::Text,
        "The virtual environment whose packages the app sees. Without it: VIRTUAL_ENV, then the environment that \
         rwsgi is installed in.",
    )
    .flags(&["--venv"], "DIR")
    .own(),
    Setting::new(
        "preload_app",
        Kind::Flag,
        "Load the app once, before the workers are made, so that they share its memory.",
    )
    .flags(&["--preload"], ""),
];
