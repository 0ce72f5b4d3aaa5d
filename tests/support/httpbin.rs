//! A set of requests for httpbin, sent by curl and by `requests`, and what came back as one text.
//!
//! The text is the same wherever httpbin runs: addresses, ports, dates and random numbers are taken out of it.

use std::{fmt::Write as _, process::Command};

use regex::Regex;

use super::environment;

/// curl's arguments; the last is the path. One request is one entry of the transcript.
pub const REQUESTS: &[&[&str]] = &[
    &["/get?a=1&a=2&b=%C3%A9"],
    &["-H", "X-One: 1", "-H", "X-One: 2", "-A", "agent/1", "/headers"],
    &["-A", "agent/1", "/user-agent"],
    &["/ip"],
    &["-I", "/get"],
    &["-X", "OPTIONS", "/get"],
    &["-d", "a=1&b=two+words", "/post"],
    &["-H", "Content-Type: application/json", "-d", r#"{"a": [1, null]}"#, "/post"],
    &["-F", "field=1", "-F", "file=content;filename=name.txt;type=text/plain", "/post"],
    &["-H", "Transfer-Encoding: chunked", "-H", "Content-Type: text/plain", "-d", "in chunks", "/post"],
    &["-H", "Expect: 100-continue", "-d", "expected", "/post"],
    &["-0", "-d", "old", "/post"],
    &["-X", "PUT", "-d", "put=1", "/put"],
    &["-X", "PATCH", "-d", "patch=1", "/patch"],
    &["-X", "DELETE", "/delete"],
    &["--compressed", "/gzip"],
    &["--compressed", "/deflate"],
    &["/brotli", "--compressed"],
    &["-L", "/redirect/3"],
    &["-L", "/relative-redirect/2"],
    &["/redirect-to?url=/get&status_code=307"],
    &["-b", "a=1; b=2", "/cookies"],
    &["/cookies/set/name/value"],
    &["-L", "-c", "/dev/null", "/cookies/set?a=1"],
    &["-u", "user:pass", "/basic-auth/user/pass"],
    &["-u", "user:wrong", "/basic-auth/user/pass"],
    &["-H", "Authorization: Bearer token", "/bearer"],
    &["/status/204"],
    &["/status/304"],
    &["/status/404"],
    &["/status/418"],
    &["-X", "POST", "/status/500"],
    &["-I", "/status/404"],
    &["/stream/3"],
    &["/drip?numbytes=5&duration=0&delay=0"],
    &["/bytes/64?seed=1"],
    &["/stream-bytes/5000?seed=2&chunk_size=100"],
    &["-H", "Range: bytes=3-9", "/range/26"],
    &["-H", "Range: bytes=99-", "/range/26"],
    &["/encoding/utf8"],
    &["/html"],
    &["/xml"],
    &["/json"],
    &["/robots.txt"],
    &["/deny"],
    &["/base64/aGVsbG8gcndzZ2k="],
    &["/image/png"],
    &["/image/jpeg"],
    &["/image/webp"],
    &["/image/svg"],
    &["-H", "Accept: image/png", "/image"],
    &["/cache/60"],
    &["-H", "If-None-Match: \"tag\"", "/etag/tag"],
    &["-H", "If-Match: \"other\"", "/etag/tag"],
    &["/response-headers?X-One=1&X-Two=2"],
    &["/links/3/1"],
    &["/anything/a%20b/c?d=e"],
    &["/no/such/path"],
];

/// What a transcript has in it, wherever it comes from: statuses and bodies that were right when they were written.
pub const EXPECTED: &[&str] = &[
    r#""b": "\u00e9""#,
    "\"X-One\": \"1,2\"",
    "\"user-agent\": \"agent/1\"",
    "\"b\": \"two words\"",
    "\"file\": \"content\"",
    "\"data\": \"in chunks\"",
    "\"expected\": \"\"",
    "\"gzipped\": true",
    "\"deflated\": true",
    "\"brotli\": true",
    "\"authenticated\": true",
    "\"token\": \"token\"",
    "[ teapot ]",
    "HTTP/1.1 204 NO CONTENT",
    "HTTP/1.1 304 NOT MODIFIED",
    "HTTP/1.1 401 UNAUTHORIZED",
    "HTTP/1.1 404 NOT FOUND",
    "HTTP/1.1 412 PRECONDITION FAILED",
    "HTTP/1.1 416 REQUESTED RANGE NOT SATISFIABLE",
    "HTTP/1.1 418 I'M A TEAPOT",
    "HTTP/1.1 500 INTERNAL SERVER ERROR",
    "\ndefghij",
    "hello rwsgi",
    "\u{2200}x\u{2208}\u{211d}",
    "Herman Melville",
    "*****",
];

/// Sends every request to the httpbin at this URL (without a slash at its end), with curl and with `requests`.
///
/// For each: the request, curl's head and body, and the digest of the same body as `requests` got it.
#[track_caller]
pub fn transcript(base_url: &str) -> String {
    let mut transcript = String::new();
    for request in REQUESTS {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "60", "--noproxy", "*"]);
        // Where a server asks for a body, curl waits for that.
        command.args(["--expect100-timeout", "60"]);
        for argument in *request {
            command.arg(if argument.starts_with('/') && *argument != "/dev/null" {
                format!("{base_url}{argument}")
            } else {
                (*argument).to_owned()
            });
        }
        let output = command.output().expect("curl is there");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let _ = writeln!(transcript, "\n==> curl {}\n{}", request.join(" "), shown(&output.stdout));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/httpbin/transcript.py");
    let mut command = Command::new(environment::venv().join("bin/python"));
    let output = command.args([script, base_url]).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    transcript.push_str(&shown(&output.stdout));
    normalised(&transcript, base_url)
}

/// Bytes as text; what is no text as escapes, so that every byte counts when two transcripts are compared.
fn shown(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
        text
    })
}

/// Takes out what differs between two places and two moments.
fn normalised(transcript: &str, base_url: &str) -> String {
    let address = base_url.trim_start_matches("http://");
    let mut text = transcript.replace("\r\n", "\n").replace(address, "ADDRESS");
    for (pattern, replacement) in [
        (r"(?mi)^(date|last-modified|expires): .*$", "$1: DATE"),
        (r#"(?m)"origin": "[^"]*""#, r#""origin": "ADDRESS""#),
        (r"boundary=-*[0-9a-zA-Z]+", "boundary=BOUNDARY"),
        (r"(?i)(etag: )[0-9a-f]{32}", "${1}RANDOM"),
    ] {
        text = Regex::new(pattern).expect("a valid pattern").replace_all(&text, replacement).into_owned();
    }
    // Flask writes a set, whose order is another one in each process.
    let allow = Regex::new(r"(?m)^Allow: (.*)$").expect("a valid pattern");
    let sorted = |found: &regex::Captures<'_>| {
        let mut methods: Vec<_> = found[1].split(", ").collect();
        methods.sort_unstable();
        format!("Allow: {}", methods.join(", "))
    };
    allow.replace_all(&text, sorted).into_owned()
}
