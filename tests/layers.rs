//! A module uses only rows below its own (see the crate's documentation).

use std::{collections::BTreeSet, path::Path};

use regex::Regex;
use walkdir::WalkDir;

/// The rows, from the bottom. A path stands for itself and what is below it; the longest that fits counts.
const ROWS: [&[&str]; 14] = [
    &["exit", "sys"],
    &["settings"],
    &["wire", "image::text"],
    &[
        "link",
        "wsgi",
        "telemetry",
        "net",
        "image::digest",
        "image::disk",
        "image::git",
        "image::ignore",
        "image::inputs",
        "image::progress",
        "image::reference",
        "image::secrets",
    ],
    &["health", "image::child", "image::created", "image::kept", "image::layer", "image::screen"],
    &["image::cache", "image::choices", "image::elf"],
    &["image::closure", "image::container", "image::interpreter", "image::pyproject", "image::tree"],
    &["image::chosen", "image::shell", "image::stdlib"],
    &["image::imports", "image::package_tests"],
    &[
        "image::base",
        "image::copies",
        "image::dependencies",
        "image::labels",
        "image::packages",
        "image::plan",
        "image::project",
    ],
    &["http", "python", "image::archive", "image::build"],
    &["image::sink"],
    &["arbiter", "worker", "image"],
    &["cli"],
];

fn row(module: &str) -> Option<(usize, &'static str)> {
    let rows = ROWS.iter().enumerate().flat_map(|(row, modules)| modules.iter().map(move |module| (row, *module)));
    rows.filter(|(_, known)| module == *known || module.starts_with(&format!("{known}::")))
        .max_by_key(|(_, known)| known.len())
}

/// `crate::a::b`, also from `crate::{a::b, c}`, written on one line or on several.
fn used(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut paths = BTreeSet::new();
    for found in Regex::new(r"\bcrate::(\w+(?:::\w+)?)").expect("a valid expression").captures_iter(&code) {
        paths.insert(found[1].to_owned());
    }
    for found in Regex::new(r"\bcrate::\{").expect("a valid expression").find_iter(&code) {
        let (mut depth, mut item) = (1, String::new());
        for c in code[found.end()..].chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                paths.insert(item.split("::{").next().unwrap_or_default().trim().to_owned());
                item.clear();
            } else {
                item.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[test]
fn a_module_uses_only_rows_below_its_own() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let mut checked = 0;
    for entry in WalkDir::new(&src).into_iter().map(|entry| entry.expect("src can be read")) {
        let relative = entry.path().strip_prefix(&src).expect("it is in src").with_extension("");
        if entry.path().extension().is_none_or(|extension| extension != "rs")
            || ["main", "dockerize", "lib", "build"].iter().any(|name| relative == Path::new(name))
        {
            continue;
        }
        let module = relative.to_str().expect("names are text").replace('/', "::");
        let module = module.trim_end_matches("::mod");
        let Some((own_row, own)) = row(module) else {
            faults.push(format!("{module} stands in no row"));
            continue;
        };
        for path in used(&std::fs::read_to_string(entry.path()).expect("src can be read")) {
            checked += 1;
            match row(&path) {
                None => faults.push(format!("{module} uses {path}, which stands in no row")),
                Some((other_row, other)) if other != own && other_row >= own_row => {
                    faults.push(format!("{module} (row {own_row}) uses {path} (row {other_row})"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(checked > 20, "the paths are found: {checked}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn paths_are_found_however_they_are_written() {
    let source =
        "use crate::exit::Fatal;\nuse crate::{\n    a::{b, c},\n    d, // crate::not\n};\nfn f() { crate::e::g() }";
    assert_eq!(used(source).into_iter().collect::<Vec<_>>(), ["a", "d", "e::g", "exit::Fatal"]);
}
