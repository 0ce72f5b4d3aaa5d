//! The instructions that each part of a request's path costs, counted by valgrind: the same on a busy machine.
//!
//! `cargo bench --bench request_path` prints them. What the app's side costs is measured without a socket, from a call
//! that is ready to an answer that is whole, app included. The apps are in `request_path.py`; Flask's rows are there where
//! Flask is (`VIRTUAL_ENV` is respected).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark says what it has found")]

use std::{error::Error, fs::File, hint::black_box, path::Path, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use rwsgi::{
    python::{Interpreter, Interrupt, PyApp, environment},
    settings::{RequestRules, Settings, Sources},
    telemetry::access::{Record, layout},
    wire::{self, Connection, Trust, Version, write_head},
    wsgi::{BodyError, BodyReader, Call, CallSource, Gone, Head, Notes, Origin, Request, Responder},
};

/// How often a part is done while instructions are counted.
const TIMES: u64 = 1000;

/// How often before that, so that caches are warm and code is specialised.
const WARM_UP: u64 = 1000;

/// What wrk sends.
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

const BROWSER: &str = "GET /?page=2 HTTP/1.1\r\nHost: localhost:8000\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=abcdefghijklmnop; theme=dark\r\n\r\n";

const FORM: &str = "POST /form HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/x-www-form-urlencoded\r\n\
    Content-Length: 11\r\n\r\n";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    if std::env::var_os("RWSGI_BENCH_INSIDE").is_some() { inside() } else { outside() }
}

/// Runs this program again in valgrind, and prints what that has counted.
fn outside() -> Outcome<()> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("request_path");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let counts = directory.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .args(["--toggle-collect=request_path::counted", "--dump-after=request_path::counted"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .env("RWSGI_BENCH_INSIDE", "1")
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}. Install it (Debian: valgrind)."))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    println!("| part | instructions |\n|---|---|");
    for (index, part) in String::from_utf8(output.stdout)?.lines().enumerate() {
        let (name, times) = part.split_once('\t').ok_or("a part without its count")?;
        let dump = std::fs::read_to_string(format!("{}.{}", counts.display(), index + 1))?;
        let total = dump.lines().rev().find_map(|line| line.strip_prefix("totals: ")).ok_or("a dump without totals")?;
        println!("| {name} | {} |", total.trim().parse::<u64>()? / times.parse::<u64>()?);
    }
    println!("\nFor callgrind_annotate: {}.*", counts.display());
    Ok(())
}

/// Goes through every part, and prints its name and how often it was done.
fn inside() -> Outcome<()> {
    let rules = RequestRules::default();
    let parse = |text: &str| wire::Head::parse(Bytes::copy_from_slice(text.as_bytes()), &rules, Trust::Stranger);
    for (name, text) in [("read a head of wrk's", PLAIN), ("read a head of a browser's", BROWSER)] {
        let text = Bytes::from(text);
        part(name, 1, || drop(black_box(wire::Head::parse(text.clone(), &rules, Trust::Stranger))));
    }
    let head = Head::new(b"200 OK", [(&b"Content-Type"[..], &b"text/plain"[..]), (b"Content-Length", b"14")])?;
    let mut out = Vec::new();
    part("write a head", 1, || {
        out.clear();
        let Head { status, reason, fields, content_length } = &head;
        let (version, connection) = (Version::HTTP_11, Connection::KeepAlive);
        write_head(&mut out, version, status.as_u16(), reason, connection, *content_length, false, fields);
    });
    let settings = Settings::resolve(&Sources::default())?;
    let layout = layout(&settings)?;
    let mut clock = layout.clock();
    let record = Record {
        time: Duration::ZERO,
        remote_addr: Some(b"127.0.0.1"),
        method: b"GET",
        target: b"/",
        query: b"",
        version: Version::HTTP_11,
        status: 200,
        sent: 14,
        duration: Duration::ZERO,
        request_fields: &vec![None; layout.needs().request_fields.len()],
        response_fields: &vec![None; layout.needs().response_fields.len()],
        variables: &[],
    };
    part("leave a record for the access log", 1, || {
        out.clear();
        record.pack(&mut out);
    });
    let packed = out.clone();
    part("write a line of the access log", 1, || {
        out.clear();
        let (mut packed, mut fields) = (&packed[..], Vec::new());
        if let Ok(record) = Record::unpack(&mut packed, layout.needs(), &mut fields) {
            layout.write(&mut out, &record, &mut clock);
        }
    });

    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches"))?;
    let interpreter = Interpreter::start(&environment::interpreter(None)?, vec!["request_path".into()])?;
    let load = |name: &str| {
        let app = interpreter.load(&format!("request_path:{name}"), &settings);
        app.map_err(|error| format!("{}{}", error, error.traceback().unwrap_or_default()))
    };
    let (plain, browser, form) = (parse(PLAIN)?, parse(BROWSER)?, parse(FORM)?);
    let (plain, browser, form) = (Arc::new(plain), Arc::new(browser), Arc::new(form));
    let trivial = load("trivial")?;
    serve("answer wrk with a function", 1, &trivial, &plain, 14);
    serve("answer a browser with a function", 1, &trivial, &browser, 14);
    serve("the function in a loop", 100, &load("loop_trivial")?, &plain, 14);
    serve("100 times start_response, and an answer", 1, &load("starts_more_often")?, &plain, 14);
    serve("answer a form with what was read of it", 1, &load("reads")?, &form, 11);
    serve("answer with a generator of three pieces", 1, &load("generates")?, &plain, 42);
    if let Ok(flask) = load("flask") {
        serve("answer wrk with Flask", 1, &flask, &plain, 14);
        serve("Flask in a loop", 100, &load("loop_flask")?, &plain, 14);
    }
    // Only now, as an app may not outlive its interpreter.
    drop(trivial);
    interpreter.finish();
    Ok(())
}

/// Does a part, of which each time is `weight` times of what is asked for.
fn part(name: &str, weight: u64, mut once: impl FnMut()) {
    for _ in 0..WARM_UP / weight {
        once();
    }
    let times = TIMES / weight;
    counted(&mut || {
        for _ in 0..times {
            once();
        }
    });
    println!("{name}\t{}", times * weight);
}

/// What valgrind looks at.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(work);
}

/// Has `app` answer a request, and sees that each answer is whole.
fn serve(name: &str, weight: u64, app: &PyApp, head: &Arc<wire::Head>, size: usize) {
    let origin = Arc::new(Origin { name: "127.0.0.1".to_owned(), port: "8000".to_owned(), ..Origin::default() });
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let call = || Call {
        request: Request {
            head: Arc::clone(head),
            peer: Some(([127, 0, 0, 1].into(), 54321)),
            proxied: None,
            origin: Arc::clone(&origin),
            is_watched: false,
        },
        body: Box::new(Body(if head.framing.is_empty() { None } else { Some(Bytes::from_static(b"name=value!")) })),
        responder: Box::new(Client(Arc::clone(&sent))),
    };
    let interrupt = Interrupt::here();
    let (warm, times) = (WARM_UP / weight, TIMES / weight);
    for (round, counts) in [(warm, false), (times, true)] {
        let mut calls = Ready((0..round).map(|_| call()).collect());
        let mut work = || app.serve(&interrupt, &mut calls);
        if counts { counted(&mut work) } else { work() }
    }
    let whole = usize::try_from(warm + times).map(|times| times * size);
    assert_eq!(Ok(sent.load(std::sync::atomic::Ordering::Relaxed)), whole, "{name}: every answer is whole");
    println!("{name}\t{}", times * weight);
}

/// Calls that have come.
struct Ready(Vec<Call>);

impl CallSource for Ready {
    fn take(&mut self) -> Option<Call> {
        self.0.pop()
    }

    fn wait(&mut self) -> bool {
        false
    }
}

/// A request's body, which has come.
struct Body(Option<Bytes>);

impl BodyReader for Body {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        Ok(self.0.take())
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// A client that takes everything, and counts it.
struct Client(Arc<std::sync::atomic::AtomicUsize>);

impl Responder for Client {
    fn complete(&mut self, head: Head, body: Bytes) {
        black_box(head);
        // A failed answer is of another size.
        self.0.fetch_add(body.len(), std::sync::atomic::Ordering::Relaxed);
    }

    fn complete_file(&mut self, head: Head, _: File, _: u64, _: u64) {
        black_box(head);
    }

    fn note(&mut self, _: Notes) {}

    fn interim(&mut self, _: &[u8]) {}

    fn begin(&mut self, head: Head) {
        black_box(head);
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        self.0.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        true
    }

    fn finish(&mut self) {}

    fn abort(&mut self) {}
}
