//! gunicorn's own corpus of requests, out of its source distribution, over a socket.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Witness;
use crate::support::{
    client::WAYS,
    environment::{self, run},
};

/// A file of the corpus.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    /// Of the command line.
    pub options: Vec<String>,
    #[serde(rename = "bytes")]
    hex: String,
    /// What must reach the app.
    pub calls: Vec<Map<String, Value>>,
    /// That of the refusal; none for one that only ends early.
    pub status: Option<u16>,
}

impl Case {
    pub fn bytes(&self) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&self.hex[at..at + 2], 16).expect("hexadecimal digits");
        (0..self.hex.len()).step_by(2).map(digits).collect()
    }
}

/// The `tests` folder of gunicorn's source distribution, which is downloaded once.
fn distribution() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = "gunicorn-27.0.1";
    if !target.join(name).exists() {
        // Another run of the tests may be at the same.
        let folder = tempfile::tempdir_in(target).expect("a folder");
        let python = environment::venv().join("bin/python");
        let mut download = Command::new(python);
        download.current_dir(folder.path()).args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-binary",
            ":all:",
            "--no-deps",
        ]);
        run(download.arg("gunicorn==27.0.1"));
        run(Command::new("tar").current_dir(folder.path()).args(["-xf", "gunicorn-27.0.1.tar.gz"]));
        let renamed = std::fs::rename(folder.path().join(name), target.join(name));
        assert!(renamed.is_ok() || target.join(name).exists(), "{renamed:?}");
    }
    target.join(name).join("tests")
}

/// The whole corpus, by the options that it needs.
pub fn cases() -> &'static BTreeMap<Vec<String>, Vec<Case>> {
    static CASES: LazyLock<BTreeMap<Vec<String>, Vec<Case>>> = LazyLock::new(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/corpus.py");
        let mut python = Command::new(environment::venv().join("bin/python"));
        let output = python.arg(script).arg(distribution()).output().expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let cases: Vec<Case> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        assert!(cases.len() > 140, "{}", cases.len());
        cases.into_iter().fold(BTreeMap::new(), |mut groups: BTreeMap<_, Vec<_>>, case| {
            groups.entry(case.options.clone()).or_default().push(case);
            groups
        })
    });
    &CASES
}

/// What gunicorn's expectations do not speak of.
const BESIDE: [&str; 6] =
    ["SCRIPT_NAME", "REMOTE_ADDR", "wsgi.url_scheme", "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT"];

/// What rwsgi does instead.
enum Different {
    Refused(u16),
    /// The app gets this path.
    Path(&'static str),
}

/// Where rwsgi differs on purpose, and why.
const DIFFERENT: [(&str, Different, &str); 3] = [
    (
        "valid/099",
        Different::Refused(400),
        "9315 of the 17914 bytes that are announced never come. A request that ends early must not be taken for whole \
         (RFC 9112 section 8).",
    ),
    (
        "valid/rfc9112_target_authority_connect_01",
        Different::Path(""),
        "gunicorn takes the port for the path, as a URL of the scheme example.com. An authority has no path (RFC 9112 \
         section 3.2.3).",
    ),
    (
        "valid/rfc9112_target_authority_ipv6_01",
        Different::Path(""),
        "gunicorn takes all of the authority for the path. An authority has no path (RFC 9112 section 3.2.3).",
    ),
];

/// The statuses and calls that a file must come to.
fn expected(case: &Case) -> (Vec<u16>, Vec<Value>) {
    let mut calls: Vec<Value> = case.calls.iter().cloned().map(Value::Object).collect();
    let mut statuses: Vec<u16> = calls.iter().map(|_| 200).chain(case.status).collect();
    match DIFFERENT.iter().find(|(name, ..)| *name == case.name) {
        Some((_, Different::Refused(status), _)) => (statuses, calls) = (vec![*status], Vec::new()),
        Some((_, Different::Path(path), _)) => calls[0]["PATH_INFO"] = Value::from(*path),
        None => {}
    }
    (statuses, calls)
}

#[test]
fn gunicorns_corpus_reaches_the_app_or_is_refused_as_gunicorn_does() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for (options, cases) in cases() {
        let witness = Witness::rwsgi(options.iter().map(String::as_str));
        for case in cases {
            count += 1;
            for way in WAYS {
                let outcome = witness.show(&case.bytes(), way);
                let mut calls = outcome.calls.clone();
                for call in &mut calls {
                    let call = call.as_object_mut().expect("an environ");
                    call.retain(|key, _| !BESIDE.contains(&key.as_str()));
                }
                let expected = expected(case);
                if (&outcome.statuses, &calls) != (&expected.0, &expected.1) {
                    faults.push(format!("{} {way:?}: {outcome:?}, not {expected:?}", case.name));
                }
            }
        }
        let log = witness.server.stderr();
        assert!(!log.contains("panicked"), "{log}");
    }
    eprintln!("{count} files of gunicorn's corpus in {} ways, {} different on purpose", WAYS.len(), DIFFERENT.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
