//! Whom to believe what they say of where requests come from.

use crate::settings::setting::{Kind, Setting};

pub const PROXIES: &[Setting] = &[
    Setting::new(
        "forwarded_allow_ips",
        Kind::Networks,
        "The proxies that may say that a client came by https (secure_scheme_headers) and set forwarder_headers: \
         addresses and networks between commas, or * for all. REMOTE_ADDR stays the proxy's, as with gunicorn: the \
         client's is for the app to take (werkzeug's ProxyFix), or for --proxy-protocol to tell. The variable \
         FORWARDED_ALLOW_IPS changes the default.",
    )
    .flags(&["--forwarded-allow-ips"], "ADDRESSES")
    .variable("FORWARDED_ALLOW_IPS")
    .default("127.0.0.1,::1"),
    Setting::new(
        "secure_scheme_headers",
        Kind::Map,
        "The header fields, and their values, by which a proxy says that a client came by https.",
    )
    .default(r#"{"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}"#),
    Setting::new(
        "forwarder_headers",
        Kind::Commas,
        "The names of variables in the environ that a proxy may set by a header field.",
    )
    .flags(&["--forwarder-headers"], "NAMES")
    .default("SCRIPT_NAME,PATH_INFO"),
    Setting::new(
        "proxy_protocol",
        Kind::Choice(&["off", "v1", "v2", "auto"]),
        "Which version of the PROXY protocol connections begin with: none (off), v1, v2, or either (auto).",
    )
    .flags(&["--proxy-protocol"], "VERSION")
    .default("off")
    .bare("auto"),
    Setting::new("proxy_allow_ips", Kind::Networks, "The proxies whose PROXY protocol is believed.")
        .flags(&["--proxy-allow-from"], "ADDRESSES")
        .default("127.0.0.1,::1"),
];
