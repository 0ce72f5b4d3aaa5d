//! How many serve it, and for how long.

use crate::settings::setting::{Kind, Setting};

pub const WORKERS: &[Setting] = &[
    Setting::new(
        "workers",
        Kind::Count,
        "How many worker processes serve, at least 1, or auto. With auto there is one for each CPU that the container \
         may use, with 4 threads unless --threads says otherwise. The variable WEB_CONCURRENCY changes the default.",
    )
    .flags(&["-w", "--workers"], "N")
    .variable("WEB_CONCURRENCY")
    .default("1"),
    Setting::new(
        "worker_class",
        Kind::Class,
        "The kind of worker: sync, gthread or threads. They are all the same here: a worker handles as many requests \
         at a time as it has threads, and idle connections take none.",
    )
    .flags(&["-k", "--worker-class"], "CLASS")
    .default("sync"),
    Setting::new(
        "threads",
        Kind::Number,
        "How many requests the app handles at a time, in each worker, at least 1. With 1 the app is called on the main \
         thread. Waiting clients and idle connections take no thread.",
    )
    .flags(&["--threads"], "N")
    .default("1"),
    Setting::new(
        "worker_connections",
        Kind::Number,
        "How many connections a worker may have open, where it is given. More wait to be accepted, and those that end a \
         request are not kept. Without it there may be three quarters as many as open files (ulimit -n): a connection takes \
         no thread here.",
    )
    .flags(&["--worker-connections"], "N")
    .default("1000"),
    Setting::new(
        "backlog_timeout",
        Kind::Number,
        "How long a connection may wait while a worker has as many as --worker-connections lets it have, in seconds. \
         Then it is answered with 503; 0 lets it wait. Of open files (ulimit -n) three quarters are for those that have a \
         place or wait for one; who comes then waits to be accepted first.",
    )
    .flags(&["--backlog-timeout"], "SECONDS")
    .default("0")
    .own(),
    Setting::new(
        "max_requests",
        Kind::Number,
        "Replace a worker after this many requests; 0 is never. Its successor is ready before it goes.",
    )
    .flags(&["--max-requests"], "N")
    .default("0"),
    Setting::new(
        "max_requests_jitter",
        Kind::Number,
        "Up to this many requests are added to --max-requests, at random for each worker, so that they are not all \
         replaced at once.",
    )
    .flags(&["--max-requests-jitter"], "N")
    .default("0"),
    Setting::new(
        "timeout",
        Kind::Number,
        "A worker that is silent, loads the app, or works on a request for longer than this many seconds is ended and \
         replaced, once it has said where it is; 0 is never. Also one with threads, whose other requests have 5 seconds \
         to finish, and --graceful-timeout at most. The time that it waits for a client does not count.",
    )
    .flags(&["-t", "--timeout"], "SECONDS")
    .default("30"),
    Setting::new(
        "graceful_timeout",
        Kind::Number,
        "How long requests that run may take to finish after SIGTERM or SIGINT, in seconds. A further SIGINT or SIGQUIT \
         cuts them short.",
    )
    .flags(&["--graceful-timeout"], "SECONDS")
    .default("30"),
    Setting::new("keepalive", Kind::Number, "How long a connection may wait for its next request, in seconds.")
        .flags(&["--keep-alive"], "SECONDS")
        .default("2"),
    Setting::new(
        "gc_threshold",
        Kind::Number,
        "How many objects the app makes until Python's garbage collector looks for cycles among them, unless the app \
         says so itself (gc.set_threshold). What is loaded before the first request is not looked at (gc.freeze). 0 \
         leaves the collector as Python has it.",
    )
    .flags(&["--gc-threshold"], "N")
    .default("10000")
    .own(),
    Setting::new(
        "http_parser",
        Kind::Choice(&["auto", "fast", "python"]),
        "Which of gunicorn's parsers reads requests.",
    )
    .flags(&["--http-parser"], "PARSER")
    .default("auto")
    .nothing("There is one parser, and it is a fast one."),
];
