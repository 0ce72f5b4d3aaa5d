//! The table of settings. Names, flags and defaults are gunicorn's where gunicorn has the setting.

/// What values a setting takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text, and the option may be repeated.
    List,
    /// A whole number from 0.
    Number,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in a configuration file.
    pub name: &'static str,
    /// The option's single letter.
    pub short: Option<char>,
    /// The option's long name.
    pub long: &'static str,
    /// What stands for the value in `--help`.
    pub value_name: &'static str,
    /// The environment variable that changes its default.
    pub variable: Option<&'static str>,
    /// The value when nothing is given, as it would be written on the command line; empty where there is none.
    pub default: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it does: the first sentence is `-h`, the whole is `--help`.
    pub help: &'static str,
}

/// Every setting, in the order of `--help`.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "bind",
        short: Some('b'),
        long: "bind",
        value_name: "ADDRESS",
        variable: Some("PORT"),
        default: "127.0.0.1:8000",
        kind: Kind::List,
        help: "Where to listen: HOST[:PORT], [IPV6]:PORT, unix:PATH or unix:@NAME. May be repeated. The variable PORT \
               makes the default 0.0.0.0:$PORT.",
    },
    Setting {
        name: "backlog",
        short: None,
        long: "backlog",
        value_name: "N",
        variable: None,
        default: "2048",
        kind: Kind::Number,
        help: "How many connections may wait to be accepted, at least 1. The kernel's own limit \
               (net.core.somaxconn) holds as well.",
    },
    Setting {
        name: "workers",
        short: Some('w'),
        long: "workers",
        value_name: "N",
        variable: Some("WEB_CONCURRENCY"),
        default: "1",
        kind: Kind::Number,
        help: "How many worker processes serve, at least 1. The variable WEB_CONCURRENCY changes the default.",
    },
    Setting {
        name: "threads",
        short: None,
        long: "threads",
        value_name: "N",
        variable: None,
        default: "1",
        kind: Kind::Number,
        help: "How many requests the app handles at a time, at least 1. With 1 the app is called on the main thread. \
               Waiting clients and idle connections take no thread.",
    },
    Setting {
        name: "max_requests",
        short: None,
        long: "max-requests",
        value_name: "N",
        variable: None,
        default: "0",
        kind: Kind::Number,
        help: "A worker that has answered this many requests is replaced, its successor ready first; 0 is never.",
    },
    Setting {
        name: "max_requests_jitter",
        short: None,
        long: "max-requests-jitter",
        value_name: "N",
        variable: None,
        default: "0",
        kind: Kind::Number,
        help: "Up to this many requests are added to max_requests, drawn for each worker, so that they do not retire together.",
    },
    Setting {
        name: "timeout",
        short: Some('t'),
        long: "timeout",
        value_name: "SECONDS",
        variable: None,
        default: "30",
        kind: Kind::Number,
        help: "A worker that is silent for this many seconds is ended and replaced; 0 is never.",
    },
    Setting {
        name: "graceful_timeout",
        short: None,
        long: "graceful-timeout",
        value_name: "SECONDS",
        variable: None,
        default: "30",
        kind: Kind::Number,
        help: "How long requests that run may take to finish after SIGTERM or SIGINT, in seconds. A second signal \
               cuts them short.",
    },
    Setting {
        name: "chdir",
        short: None,
        long: "chdir",
        value_name: "DIR",
        variable: None,
        default: "",
        kind: Kind::Text,
        help: "Change to this directory before the app is loaded. It is the first place that modules are looked for.",
    },
    Setting {
        name: "venv",
        short: None,
        long: "venv",
        value_name: "DIR",
        variable: Some("VIRTUAL_ENV"),
        default: "",
        kind: Kind::Text,
        help: "The virtual environment whose packages the app sees. Without it: VIRTUAL_ENV, then the environment \
               that rwsgi is installed in.",
    },
    Setting {
        name: "accesslog",
        short: None,
        long: "access-logfile",
        value_name: "FILE",
        variable: None,
        default: "",
        kind: Kind::Text,
        help: "Write a line for each request to this file, - for standard output. Without it there is no access log.",
    },
    Setting {
        name: "loglevel",
        short: None,
        long: "log-level",
        value_name: "LEVEL",
        variable: None,
        default: "info",
        kind: Kind::Text,
        help: "How much the error log says: debug, info, warning, error or critical.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::TABLE;

    #[test]
    fn no_name_or_flag_is_used_twice() {
        let mut seen = HashSet::new();
        for setting in TABLE {
            assert!(seen.insert(setting.long.to_owned()), "--{} stands twice", setting.long);
            assert!(seen.insert(format!("name {}", setting.name)), "{} stands twice", setting.name);
            if let Some(short) = setting.short {
                assert!(seen.insert(format!("-{short}")), "-{short} stands twice");
            }
        }
    }

    #[test]
    fn every_help_text_is_made_of_sentences() {
        for setting in TABLE {
            assert!(
                setting.help.ends_with('.') && !setting.help.contains("  "),
                "{}: {:?}",
                setting.name,
                setting.help
            );
        }
    }
}
