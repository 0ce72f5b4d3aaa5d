//! TLS and HTTP/2.

use crate::settings::setting::{Kind, Setting};

pub const TLS: &[Setting] = &[
    Setting::new("certfile", Kind::Text, "The server's certificate and those that vouch for it, as PEM.")
        .flags(&["--certfile"], "FILE"),
    Setting::new(
        "keyfile",
        Kind::Text,
        "The private key of the certificate, as PEM. Without it the key is in the certificate's file.",
    )
    .flags(&["--keyfile"], "FILE"),
    Setting::new("cert_reqs", Kind::Number, "Whether clients need a certificate: 0 no, 1 only a valid one, 2 yes.")
        .flags(&["--cert-reqs"], "N")
        .default("0"),
    Setting::new("ca_certs", Kind::Text, "The certificates that vouch for those of clients, as PEM.")
        .flags(&["--ca-certs"], "FILE"),
    Setting::new("ciphers", Kind::Text, "The ciphers of TLS 1.2, as OpenSSL writes them.")
        .flags(&["--ciphers"], "CIPHERS")
        .refused(
            "TLS is done by rustls, which has no ciphers that are known to be weak.",
            "Leave it out: TLS 1.2 and 1.3 are spoken with the ciphers that are safe.",
        ),
    Setting::new("do_handshake_on_connect", Kind::Flag, "Do TLS's handshake when a connection is accepted.")
        .flags(&["--do-handshake-on-connect"], "")
        .nothing("A handshake holds up no other connection here, whenever it is done."),
    Setting::new("suppress_ragged_eofs", Kind::Flag, "Take a connection that TLS did not close for one that it did.")
        .flags(&["--suppress-ragged-eofs"], "")
        .default("True")
        .nothing("It is an option of Python's ssl module, which rwsgi does not use."),
    Setting::new("ssl_version", Kind::Any, "The version of TLS.")
        .flags(&["--ssl-version"], "VERSION")
        .default("2")
        .nothing("gunicorn itself ignores it since version 21."),
    Setting::new("http_protocols", Kind::Commas, "The versions of HTTP, between commas: h1, h2.")
        .flags(&["--http-protocols"], "VERSIONS")
        .default("h1"),
    Setting::new(
        "http2_cleartext",
        Kind::Choice(&["off", "prior-knowledge", "upgrade", "both"]),
        "How a proxy in forwarded_allow_ips begins HTTP/2 without TLS: off, or prior-knowledge.",
    )
    .flags(&["--http2-cleartext"], "WAY")
    .default("off"),
    Setting::new("http2_max_concurrent_streams", Kind::Number, "How many requests of HTTP/2 a connection may have.")
        .flags(&["--http2-max-concurrent-streams"], "N")
        .default("100"),
    Setting::new("http2_initial_window_size", Kind::Number, "How much a stream of HTTP/2 may send ahead, in bytes.")
        .flags(&["--http2-initial-window-size"], "N")
        .default("65535"),
    Setting::new("http2_max_frame_size", Kind::Number, "How large a frame of HTTP/2 may be, in bytes.")
        .flags(&["--http2-max-frame-size"], "N")
        .default("16384"),
    Setting::new("http2_max_header_list_size", Kind::Number, "How large the header of HTTP/2 may be, in bytes.")
        .flags(&["--http2-max-header-list-size"], "N")
        .default("65536"),
];
