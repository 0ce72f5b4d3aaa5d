//! `.dockerignore`, beside what the engine's own builder takes along for the same folder.

use std::{collections::BTreeSet, io::Read as _, path::Path};

use rwsgi::image::{
    contents::tree,
    filter::{ignore::Patterns, screen::Screen},
    job::progress::Silent,
    layer::Contents,
};

use super::{
    engine::{docker, try_docker, unique},
    folder,
};

const FILES: [&str; 34] = [
    "a/x.py",
    "a/b/x.py",
    "a/b/c/x.py",
    "a/keep.txt",
    "a/b/keep.txt",
    "b/c",
    "b/d/e.py",
    "b/d/keep.txt",
    "b/e.py",
    "ab",
    "abc",
    "barfoo",
    "foo",
    "foobar",
    "d/foo/x",
    "x.py",
    "y.md",
    "README.md",
    "README-secret.md",
    "Z.txt",
    "#hash",
    "!bang",
    "{a,b}",
    "a b",
    "a+b",
    "é.txt",
    ".env",
    ".hidden/x",
    "[x]",
    "w!",
    "e/f.log",
    "e/g/h.log",
    "z-z",
    "star*",
];

/// One `.dockerignore` each. An exception with wildcards below an excluded folder (`**`, then `!**/*.py`) is not among them:
/// the classic builder asked here never enters such a folder, `BuildKit` does, and so does rwsgi.
const PATTERNS: [&str; 67] = [
    "a",
    "a/",
    "/a",
    "./a",
    "a/b",
    "a//b",
    "a/./b",
    "b/../a",
    "../a",
    ".",
    "/",
    "*",
    "**",
    "*.py",
    "**/*.py",
    "a/*.py",
    "a/*/*.py",
    "a/**/*.py",
    "**/x.py",
    "**x.py",
    "a/**",
    "a/*",
    "a**",
    "b/**/e.py",
    "b/*/e.py",
    "**foo",
    "**/foo",
    "**/foo*",
    "**foo*",
    "foo*",
    "?b",
    "a?",
    "ab?",
    "???",
    "[ab]b",
    "[^a]b",
    "[!a]b",
    "[a-c]b*",
    "w[!]",
    "\\#hash",
    " #hash",
    "#hash",
    "\\!bang",
    "{a,b}",
    "a b",
    "  ab  ",
    "a+b",
    "é.*",
    "?.txt",
    "Z.TXT",
    ".*",
    "**/.*",
    "\\[x\\]",
    "star\\*",
    "z[\\-]z",
    "*\n!b/d/keep.txt",
    "*\n! b",
    "*\n!/b",
    "*\n!b/",
    "a\n!a/b\na/b/c",
    "!a\na",
    "a\n!a/keep.txt",
    "*.md\n!README*.md\nREADME-secret.md",
    "**/b\n!a/b/keep.txt",
    "\u{feff}a",
    "\r\nab\r\n",
    "e/*\n!e/g",
];

/// Files that an image of ours would have.
fn ours(folder: &Path, patterns: &str) -> BTreeSet<String> {
    let rules = Patterns::parse(".dockerignore", patterns).unwrap();
    let mut contents = Contents::default();
    let all = Screen::new(&["**".to_owned()]).unwrap();
    tree::add_app(&mut contents, Path::new(""), folder, &rules, &[], &all, &Silent).unwrap();
    contents.files().map(|(path, _)| path.to_str().unwrap().to_owned()).collect()
}

/// Files that the engine's builder copies.
fn theirs(folder: &Path, image: &str) -> BTreeSet<String> {
    let arguments = ["build", "--quiet", "--no-cache", "--tag", image];
    let mut build = std::process::Command::new("docker");
    // The builder of every engine; the other needs a plugin.
    let output = build.env("DOCKER_BUILDKIT", "0").args(arguments).arg(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if stderr.contains("no files") || stderr.contains("is empty") || stderr.contains("COPY failed") {
        return BTreeSet::new();
    }
    assert!(output.status.success(), "{stderr}");
    let container = unique("ignoring");
    docker(&["create", "--name", &container, image, "none"]);
    let export = try_docker(&["export", &container]);
    docker(&["rm", &container]);
    // The next one takes its name, which would leave this one behind without any.
    docker(&["rmi", image]);
    let mut archive = tar::Archive::new(export.stdout.as_slice());
    let mut found = BTreeSet::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if let Some(path) = path.strip_prefix("copied/").filter(|_| entry.header().entry_type().is_file()) {
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            found.insert(path.to_owned());
        }
    }
    found
}

#[test]
fn the_same_files_stay_out_as_with_the_engines_builder() {
    let folder = folder::with(&FILES.map(|file| (file, "")));
    // Neither is ours to add; the builder needs the one and reads the other.
    folder::write(folder.path(), "Dockerfile", "FROM scratch\nCOPY . /copied/\n");
    let image = unique("ignoring");
    let mut faults = Vec::new();
    for patterns in PATTERNS {
        folder::write(folder.path(), ".dockerignore", patterns);
        let (ours, theirs) = (ours(folder.path(), patterns), theirs(folder.path(), &image));
        if ours != theirs {
            let more: Vec<_> = ours.difference(&theirs).collect();
            let less: Vec<_> = theirs.difference(&ours).collect();
            faults.push(format!("{patterns:?}: only ours {more:?}, only theirs {less:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
