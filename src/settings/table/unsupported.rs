//! What gunicorn has and rwsgi has not: a second arbiter, ASGI, uWSGI's protocol, Paste, a control socket.

use crate::settings::setting::{Kind, Setting};

const NO_DIRTY: &str = "rwsgi has no dirty arbiters.";
const NO_DIRTY_INSTEAD: &str = "Use a task queue such as Celery, or a process of its own, for long work.";
const NO_ASGI: &str = "rwsgi serves WSGI apps, and this is a setting for ASGI.";
const NO_ASGI_INSTEAD: &str = "Serve an ASGI app with uvicorn or gunicorn, or leave the setting out.";
const NO_PASTE: &str = "rwsgi does not read the files of PasteDeploy.";
const NO_PASTE_INSTEAD: &str =
    "Write a module with app = paste.deploy.loadapp('config:/path/to/file.ini') and serve MODULE:app.";
const NO_CONTROL: &str = "There is no control socket. Signals do what it does.";

pub const UNSUPPORTED: &[Setting] = &[
    Setting::new("control_socket", Kind::Text, "Where gunicornc reaches the server.")
        .flags(&["--control-socket"], "PATH")
        .nothing(NO_CONTROL),
    Setting::new("control_socket_mode", Kind::Mode, "The permissions of the control socket.")
        .flags(&["--control-socket-mode"], "MODE")
        .default("0o600")
        .nothing(NO_CONTROL),
    Setting::new("control_socket_disable", Kind::Flag, "Do without the control socket.")
        .flags(&["--no-control-socket"], "")
        .nothing(NO_CONTROL),
    Setting::new("protocol", Kind::Text, "What is spoken with clients: http or uwsgi.")
        .flags(&["--protocol"], "PROTOCOL")
        .default("http")
        .refused(
            "rwsgi does not speak uWSGI's protocol.",
            "Use http, with proxy_pass in place of uwsgi_pass in nginx.",
        ),
    Setting::new("uwsgi_allow_ips", Kind::Networks, "Who may speak uWSGI's protocol.")
        .flags(&["--uwsgi-allow-from"], "ADDRESSES")
        .default("127.0.0.1,::1")
        .nothing("Only --protocol uwsgi reads it."),
    Setting::new("paste", Kind::Text, "A file of PasteDeploy that has the app.")
        .flags(&["--paste", "--paster"], "FILE")
        .refused(NO_PASTE, NO_PASTE_INSTEAD),
    Setting::new("raw_paste_global_conf", Kind::List, "A variable for the file of PasteDeploy. May be repeated.")
        .flags(&["--paste-global"], "NAME=VALUE")
        .refused(NO_PASTE, NO_PASTE_INSTEAD),
    Setting::new("root_path", Kind::Text, "The path that an ASGI app is at.")
        .flags(&["--root-path"], "PATH")
        .default("")
        .refused(NO_ASGI, "Set the environment variable SCRIPT_NAME for a WSGI app."),
    Setting::new("asgi_loop", Kind::Choice(&["auto", "asyncio", "uvloop"]), "The event loop of ASGI workers.")
        .flags(&["--asgi-loop"], "LOOP")
        .default("auto")
        .refused(NO_ASGI, NO_ASGI_INSTEAD),
    Setting::new(
        "asgi_lifespan",
        Kind::Choice(&["auto", "on", "off"]),
        "Whether ASGI workers speak of their lifespan.",
    )
    .flags(&["--asgi-lifespan"], "WAY")
    .default("auto")
    .refused(NO_ASGI, NO_ASGI_INSTEAD),
    Setting::new("asgi_disconnect_grace_period", Kind::Number, "How long an ASGI app may run without its client.")
        .flags(&["--asgi-disconnect-grace-period"], "SECONDS")
        .default("3")
        .refused(NO_ASGI, NO_ASGI_INSTEAD),
    Setting::new("websocket_max_message_size", Kind::Number, "How large a message of a websocket may be.")
        .flags(&["--websocket-max-message-size"], "BYTES")
        .default("16777216")
        .refused(NO_ASGI, NO_ASGI_INSTEAD),
    Setting::new("dirty_apps", Kind::List, "An app for a dirty arbiter. May be repeated.")
        .flags(&["--dirty-app"], "APP")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
    Setting::new("dirty_workers", Kind::Number, "How many workers a dirty arbiter has.")
        .flags(&["--dirty-workers"], "N")
        .default("0")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
    Setting::new("dirty_timeout", Kind::Number, "How long a dirty task may take.")
        .flags(&["--dirty-timeout"], "SECONDS")
        .default("300")
        .nothing("Only dirty arbiters read it, which --dirty-app would ask for."),
    Setting::new("dirty_threads", Kind::Number, "How many threads a dirty worker has.")
        .flags(&["--dirty-threads"], "N")
        .default("1")
        .nothing("Only dirty arbiters read it, which --dirty-app would ask for."),
    Setting::new("dirty_graceful_timeout", Kind::Number, "How long dirty workers may take to end.")
        .flags(&["--dirty-graceful-timeout"], "SECONDS")
        .default("30")
        .nothing("Only dirty arbiters read it, which --dirty-app would ask for."),
    Setting::new("on_dirty_starting", Kind::Hook(1, 1), "Called when a dirty arbiter starts.")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
    Setting::new("dirty_post_fork", Kind::Hook(2, 2), "Called in a dirty worker once it is made.")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
    Setting::new("dirty_worker_init", Kind::Hook(1, 1), "Called in a dirty worker once it has its apps.")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
    Setting::new("dirty_worker_exit", Kind::Hook(2, 2), "Called in a dirty worker before it ends.")
        .refused(NO_DIRTY, NO_DIRTY_INSTEAD),
];
