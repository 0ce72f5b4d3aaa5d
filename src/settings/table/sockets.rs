//! Where it is served.

use crate::settings::setting::{Kind, Setting};

pub const SOCKETS: &[Setting] = &[
    Setting::new(
        "bind",
        Kind::List,
        "Where to listen: HOST[:PORT], [IPV6]:PORT, unix:PATH, unix:@NAME or fd://N. May be repeated. The variable \
         PORT makes the default 0.0.0.0:$PORT.",
    )
    .flags(&["-b", "--bind"], "ADDRESS")
    .variable("PORT")
    .default("127.0.0.1:8000"),
    Setting::new(
        "backlog",
        Kind::Number,
        "How many connections may wait to be accepted, at least 1. The kernel's own limit (net.core.somaxconn) holds \
         as well.",
    )
    .flags(&["--backlog"], "N")
    .default("2048"),
    Setting::new("reuse_port", Kind::Flag, "Let other processes listen on the same port (SO_REUSEPORT).")
        .flags(&["--reuse-port"], ""),
];
