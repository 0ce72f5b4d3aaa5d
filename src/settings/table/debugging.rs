//! What helps while an app or its configuration is being made.

use crate::settings::setting::{Kind, Setting};

pub const DEBUGGING: &[Setting] = &[
    Setting::new(
        "check_config",
        Kind::Flag,
        "Load the configuration and the app, say what is wrong with them, and end.",
    )
    .flags(&["--check-config"], ""),
    Setting::new("print_config", Kind::Flag, "Print every setting with its value, then do what --check-config does.")
        .flags(&["--print-config"], ""),
    Setting::new(
        "reload",
        Kind::Flag,
        "Replace the workers when the code of the app changes. Code that cannot be loaded leaves them as they are, and is \
         tried again.",
    )
    .flags(&["--reload"], ""),
    Setting::new(
        "reload_engine",
        Kind::Choice(&["auto", "poll", "inotify"]),
        "How --reload notices that a file has changed: poll looks every second, inotify, which is auto, notices at once.",
    )
    .flags(&["--reload-engine"], "ENGINE")
    .default("auto"),
    Setting::new("reload_extra_files", Kind::List, "Further files that --reload watches, or patterns of them. May be repeated.")
        .flags(&["--reload-extra-file"], "FILES"),
    Setting::new("spew", Kind::Flag, "Print every line of Python that runs.").flags(&["--spew"], "").refused(
        "It would trace every line through Python and say nothing about rwsgi, which is not made of Python.",
        "Call sys.settrace in the hook post_worker_init.",
    ),
];
