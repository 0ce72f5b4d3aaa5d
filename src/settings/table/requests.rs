//! What requests may look like.

use crate::settings::setting::{Kind, Setting};

pub const REQUESTS: &[Setting] = &[
    Setting::new("limit_request_line", Kind::Number, "How many bytes the first line of a request may have, up to 8190; 0 is as many as there are. A longer one is answered with 414.")
        .flags(&["--limit-request-line"], "N")
        .default("4094"),
    Setting::new("limit_request_fields", Kind::Number, "How many header fields a request may have, up to 32768, which is what 0 means. One with more is answered with 431.")
        .flags(&["--limit-request-fields"], "N")
        .default("100"),
    Setting::new("limit_request_field_size", Kind::Number, "How many bytes a header field may have; 0 means 8190. A longer one is answered with 431.")
        .flags(&["--limit-request-field_size"], "N")
        .default("8190"),
    Setting::new(
        "limit_request_body",
        Kind::Number,
        "How many bytes the body of a request may have; 0 is as many as there are. A longer one is answered with 413, \
         before the app is called where its length is known.",
    )
    .flags(&["--limit-request-body"], "BYTES")
    .default("0")
    .own(),
    Setting::new(
        "header_timeout",
        Kind::Number,
        "How long a client may take for the head of a request, in seconds; 0 is for ever. A slower one is answered \
         with 408.",
    )
    .flags(&["--header-timeout"], "SECONDS")
    .default("30")
    .own(),
    Setting::new(
        "body_min_rate",
        Kind::Number,
        "How many bytes a second a client must send of a request's body, on average and from 10 seconds on; 0 is any \
         rate. A slower one is answered with 408 where the app has not begun to answer, and is cut off.",
    )
    .flags(&["--body-min-rate"], "BYTES")
    .default("100")
    .own(),
    Setting::new(
        "write_timeout",
        Kind::Number,
        "How long a client may take nothing of an answer that waits for it, in seconds; 0 is for ever. Then it is cut \
         off; over HTTP/2 that answer alone.",
    )
    .flags(&["--write-timeout"], "SECONDS")
    .default("60")
    .own(),
    Setting::new(
        "request_timeout",
        Kind::Number,
        "How long the app may take for a request, in seconds; 0 is for ever. Then the client is answered with 503, or \
         cut off where the answer has begun; RequestTimeout is raised in the app's thread, whose stack is logged; and \
         the worker lives on, other than with --timeout.",
    )
    .flags(&["--request-timeout"], "SECONDS")
    .default("0")
    .own(),
    Setting::new(
        "buffering",
        Kind::Flag,
        "Bodies of requests and answers wait for slow clients, in memory and then in a file, while the app's thread does \
         something else. --no-buffering hands them on as they come.",
    )
    .flags(&["--no-buffering"], "")
    .default("True")
    .bare("False")
    .own(),
    Setting::new(
        "header_map",
        Kind::Choice(&["drop", "refuse", "dangerous"]),
        "What to do with header fields that look like others once they are in the environ, since their names have \
         underscores: drop them (drop), refuse the request (refuse), or let them through (dangerous).",
    )
    .flags(&["--header-map"], "WAY")
    .default("drop"),
    Setting::new("permit_obsolete_folding", Kind::Flag, "Accept header fields that go over several lines.")
        .flags(&["--permit-obsolete-folding"], ""),
    Setting::new("strip_header_spaces", Kind::Flag, "Accept spaces between the name of a header field and its colon.")
        .flags(&["--strip-header-spaces"], ""),
    Setting::new(
        "permit_unconventional_http_method",
        Kind::Flag,
        "Accept methods of unusual length, and with small letters.",
    )
    .flags(&["--permit-unconventional-http-method"], ""),
    Setting::new("permit_unconventional_http_version", Kind::Flag, "Accept versions of HTTP that do not exist.")
        .flags(&["--permit-unconventional-http-version"], ""),
    Setting::new("casefold_http_method", Kind::Flag, "Turn methods into capital letters.")
        .flags(&["--casefold-http-method"], ""),
];
