//! The functions of a configuration file that the server calls.

use crate::settings::setting::{Kind, Setting};

const fn hook(name: &'static str, arity: u8, help: &'static str) -> Setting {
    Setting::new(name, Kind::Hook(arity, arity), help)
}

pub const HOOKS: &[Setting] = &[
    hook("on_starting", 1, "Called with the server before there is a worker. It listens already."),
    hook("on_reload", 1, "Called with the server on SIGHUP."),
    hook("when_ready", 1, "Called with the server once it listens."),
    hook("pre_fork", 2, "Called with the server and a worker before the worker is made."),
    hook("post_fork", 2, "Called with the server and a worker, in the worker, once it is made."),
    hook("post_worker_init", 1, "Called with a worker once it has loaded the app."),
    hook("worker_int", 1, "Called with a worker that got SIGINT or SIGQUIT, or is replaced because of --reload."),
    hook("worker_abort", 1, "Called with a worker that got SIGABRT, which is how one ends that takes too long."),
    hook("pre_exec", 1, "Called with the server before SIGUSR2 starts a new one."),
    hook("pre_request", 2, "Called with a worker and a request before the app handles it."),
    Setting::new(
        "post_request",
        Kind::Hook(2, 4),
        "Called with a worker, a request, its environ and the response once the app has handled it.",
    ),
    hook("child_exit", 2, "Called with the server and a worker after the worker has ended."),
    hook("worker_exit", 2, "Called with the server and a worker, in the worker, before it ends."),
    hook("nworkers_changed", 3, "Called with the server, the number of workers and the number before it changed."),
    hook("on_exit", 1, "Called with the server before it ends."),
    hook("ssl_context", 2, "Called with the configuration and a function that makes gunicorn's own SSLContext.")
        .nothing("Without TLS it is not called. With --certfile it is refused: there is no SSLContext of Python's to change."),
];
