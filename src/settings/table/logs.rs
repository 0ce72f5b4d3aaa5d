//! What is written about what happens, and where to.

use crate::settings::setting::{Kind, Setting};

pub const LOGS: &[Setting] = &[
    Setting::new(
        "accesslog",
        Kind::Text,
        "Write a line for each request to this file, - for standard output. Without it there is no access log.",
    )
    .flags(&["--access-logfile"], "FILE"),
    Setting::new(
        "access_log_format",
        Kind::Text,
        "What a line of the access log says, with gunicorn's atoms: %(h)s, %(r)s, %(s)s, %({name}i)s and so on.",
    )
    .flags(&["--access-logformat"], "FORMAT")
    .default(r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#),
    Setting::new("errorlog", Kind::Text, "Write the error log to this file, - for standard error.")
        .flags(&["--error-logfile", "--log-file"], "FILE")
        .default("-"),
    Setting::new("loglevel", Kind::Text, "How much the error log says: debug, info, warning, error or critical.")
        .flags(&["--log-level"], "LEVEL")
        .default("info"),
    Setting::new(
        "log_format",
        Kind::Choice(&["text", "json"]),
        "How both logs are written: text as gunicorn does, or json for one object a line.",
    )
    .flags(&["--log-format"], "FORMAT")
    .default("text")
    .own(),
    Setting::new(
        "capture_output",
        Kind::Flag,
        "Write what the app prints to standard output and error to the error log, where that is a file.",
    )
    .flags(&["--capture-output"], ""),
    Setting::new("syslog", Kind::Flag, "Send the logs to syslog too.").flags(&["--log-syslog"], ""),
    Setting::new(
        "syslog_addr",
        Kind::Text,
        "Where syslog listens: udp://HOST:PORT, tcp://HOST:PORT, unix://PATH, unix://PATH#dgram or unix://PATH#stream.",
    )
    .flags(&["--log-syslog-to"], "ADDRESS")
    .default("udp://localhost:514"),
    Setting::new("syslog_prefix", Kind::Text, "The program's name in syslog.").flags(&["--log-syslog-prefix"], "NAME"),
    Setting::new("syslog_facility", Kind::Text, "The facility of what is sent to syslog.")
        .flags(&["--log-syslog-facility"], "FACILITY")
        .default("user"),
    Setting::new("disable_redirect_access_to_syslog", Kind::Flag, "Keep the access log out of syslog.")
        .flags(&["--disable-redirect-access-to-syslog"], ""),
    Setting::new("logger_class", Kind::Class, "The Python class that gunicorn logs with.")
        .flags(&["--logger-class"], "CLASS")
        .default("gunicorn.glogging.Logger")
        .refused(
            "The logs are not written by Python, so a class of it would not be called.",
            "Use --access-logformat, --log-format json or --log-level, or configure Python's logging in the app.",
        ),
    Setting::new("logconfig", Kind::Text, "A file for Python's logging.config.fileConfig.")
        .flags(&["--log-config"], "FILE")
        .refused(
            "The logs are not written by Python's logging.",
            "Use --access-logformat, --log-format json or --log-level, or configure Python's logging in the app.",
        ),
    Setting::new("logconfig_dict", Kind::Map, "What is given to Python's logging.config.dictConfig.")
        .default("{}")
        .refused(
            "The logs are not written by Python's logging.",
            "Use --access-logformat, --log-format json or --log-level, or configure Python's logging in the app.",
        ),
    Setting::new("logconfig_json", Kind::Text, "A JSON file for Python's logging.config.dictConfig.")
        .flags(&["--log-config-json"], "FILE")
        .refused(
            "The logs are not written by Python's logging.",
            "Use --access-logformat, --log-format json or --log-level, or configure Python's logging in the app.",
        ),
];
