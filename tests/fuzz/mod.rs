//! Bytes that nobody would send, to everything that reads bytes: for a moment here, and for longer where
//! `RWSGI_FUZZ_SECONDS` says so. cargo-fuzz runs the same properties with a nose for new paths:
//!
//! ```sh
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none --fuzz-dir tests/fuzz head -- -max_total_time=600
//! ```

mod properties;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::http::mutate;

/// How long each property is tried, and how often at least.
const SECONDS: f64 = 1.0;
const TIMES: usize = 2_000;

/// What the properties begin with; the first bytes of some decide something.
const SEEDS: &[(&str, &[&[u8]])] = &[
    (
        "head",
        &[
            b"\0\0GET /a?b#c HTTP/1.1\r\nHost: a\r\nX-A: b\r\nX_A: c\r\n\r\n",
            b"\0\x01\r\nPOST http://u@[::1]:80/ HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            b"\x3e\x01put * HTTP/2.0\r\nTransfer-Encoding : gzip, chunked\r\nX: a\r\n\tb\r\nScript_Name: /a\r\n\r\n",
            b"\xc0\0CONNECT a:80 HTTP/1.1\r\nExpect: 100-continue\r\nX-Forwarded-Proto: https\r\n\r\n",
        ],
    ),
    (
        "environ",
        &[
            b"\0\x01GET /a%20b/c?b HTTP/1.1\r\nHost: a:80\r\nX-A: b\r\nx-a: c\r\nCookie: d\r\nCOOKIE: e\r\nScript_Name: /a%20b\r\n\r\n",
            b"\x02\x06POST http://u@b/a/ HTTP/1.0\r\nContent-Type: c\r\nContent_Type: d\r\nContent-Length: 5\r\nHost: e\r\n\r\n",
        ],
    ),
    (
        "stream",
        &[
            b"\0\x05GET\nhttps://a:80/b?c\nhost:d\ncookie:e=f\ncookie:g=h\nx_a:b\ncontent-length:5",
            b"\x02\0CONNECT\na:80\nexpect:100-continue\ntransfer-encoding:chunked\nte:trailers",
        ],
    ),
    (
        "line",
        &[b"%(h)s %(u)s %(t)s \"%(r)s\" %({x-a}i)-10s %({b}o)s %({c}e)s\nGET\n/a?b\"c\x1b[31m\nb\nHTTP/1.1\nBasic YTpi\nd\xff\0e"],
    ),
    ("settings", &[b"\0unix:/run/a.sock", b"\x05auto", b"\x09192.0.2.0/24,::1,*", b"\x10[::1]:80", b"\x200o644"]),
    ("reference", &[b"registry.example:5000/a/b_c__d-e.f:v1.0-x", b"my-app", b"[::1]:80/a:b"]),
    (
        "procfile",
        &[b"release: x\nweb: FOO=bar gunicorn -w 4 --chdir 'src dir' --bind=:$PORT \"app:create(1)\" && x\n", b"web: uwsgi --module a:b"],
    ),
    (
        "proxy",
        &[
            b"\x03PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET",
            b"\x01PROXY UNKNOWN\r\n",
            b"\x03\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x12\x67\0\x50GET",
            b"\x02\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        ],
    ),
    (
        "chunks",
        &[
            b"\x015\r\nhello\r\n06;a=b;c=\"d\\\"\" ; e\r\n world\r\n0\r\nX-A: b\r\n\r\nGET",
            b"\x02a\r\n0123456789\r\n000\r\n\r\n",
        ],
    ),
    ("input", &[b"\x01\x04\0\xff\x44\xc4one\ntwo\nthree\n\n\nfour", b"\x03\x02\x80\x41\n\n"]),
    ("answer", &[b"200 OK|Content-Type=text/plain|Content-Length=3|Set-Cookie=a", b"404 Not Found|X=b\xe9"]),
    ("format", &[b"%(h)s %(l)s %(t)s \"%(r)s\" %(s)-5s %% %({x-a}i)s %({b}o)10s %({c}e)s %(D)s"]),
    ("ignore", &[b"**/*.py[co]\n!a/b/[^x-z]?.c\n# c\n\\a\0a/b/c.c", b"/a/../b/**\n!b/c\0b/c/d"]),
];

fn seconds() -> f64 {
    std::env::var("RWSGI_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// Tries a property; gives how often, or the bytes for which it does not hold.
fn attempt(name: &'static str, seeds: &[&[u8]]) -> Result<usize, Vec<u8>> {
    let (mut rng, mut count) = (Rng::with_seed(4), 0);
    let end = Instant::now() + Duration::from_secs_f64(seconds());
    for seed in seeds {
        properties::run(name, seed);
    }
    while count < TIMES || Instant::now() < end {
        let mut bytes = rng.choice(seeds).expect("there is one").to_vec();
        for _ in 0..rng.usize(1..8) {
            if rng.u8(..) < 32 && !bytes.is_empty() {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            } else {
                mutate(&mut bytes, &mut rng);
            }
        }
        count += 1;
        catch_unwind(AssertUnwindSafe(|| properties::run(name, &bytes))).map_err(|_| bytes.clone())?;
    }
    Ok(count)
}

#[test]
fn what_must_hold_holds_for_any_bytes() {
    let attempts: Vec<_> = properties::ALL
        .iter()
        .map(|(name, _)| {
            let seeds = SEEDS.iter().find(|(of, _)| of == name).expect("it has seeds").1;
            (*name, thread::spawn(move || attempt(name, seeds)))
        })
        .collect();
    for (name, attempt) in attempts {
        match attempt.join().expect("its seeds are fine") {
            Ok(count) => eprintln!("{name} holds for {count} inputs"),
            Err(bytes) => panic!("{name} does not hold for b\"{}\"", bytes.escape_ascii()),
        }
    }
}

#[test]
fn cargo_fuzz_has_a_target_for_each_property() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("it is there");
    for (name, _) in properties::ALL {
        let target = std::fs::read_to_string(folder.join(format!("targets/{name}.rs"))).expect("it is there");
        assert!(target.contains(&format!("\"{name}\"")), "{name}");
        assert!(target.contains("#[path = \"../properties/mod.rs\"]"), "{name}: where its modules are found");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
