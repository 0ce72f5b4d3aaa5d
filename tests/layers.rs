//! A module uses only rows below its own (see the crate's documentation).

use std::{collections::BTreeSet, path::Path};

use regex::Regex;
use walkdir::WalkDir;

/// The rows of the crate's documentation: what stands in one, and its number. A path stands for itself and what is below it.
fn rows() -> Vec<(String, usize)> {
    let line = Regex::new(r"^//! (\d+)  +(.+)$").expect("a valid expression");
    let documented = include_str!("../src/lib.rs");
    let rows = documented.lines().filter_map(|text| line.captures(text)).flat_map(|row| {
        let number = row[1].parse().expect("a number");
        row[2]
            .split([',', ' '])
            .filter(|name| !name.is_empty())
            .map(|name| (name.to_owned(), number))
            .collect::<Vec<_>>()
    });
    rows.collect()
}

/// Where `path` stands: the longest that fits counts.
fn row<'a>(rows: &'a [(String, usize)], path: &str) -> Option<&'a (String, usize)> {
    rows.iter()
        .filter(|(known, _)| path == known || path.starts_with(&format!("{known}::")))
        .max_by_key(|(known, _)| known.len())
}

/// What `module` uses: `crate::a::b`, also from `crate::{a::{b, c}, d}`, and `use super::a`.
fn used(module: &str, source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut paths = BTreeSet::new();
    for path in Regex::new(r"\bcrate::(\w[\w:]*)?").expect("a valid expression").find_iter(&code) {
        tree(path.as_str().trim_start_matches("crate::"), &code[path.end()..], &mut paths);
    }
    // Within a line's indentation it is a module of tests, whose `super` is the file itself.
    for path in Regex::new(r"(?m)^use ((?:super::)+)([\w:]*)").expect("a valid expression").captures_iter(&code) {
        let up = path[1].matches("super::").count();
        let parents: Vec<&str> = module.split("::").collect();
        let parent = parents[..parents.len() - up].join("::");
        let end = path.get(0).expect("the whole").end();
        tree(&format!("{parent}::{}", &path[2]), &code[end..], &mut paths);
    }
    paths
}

/// The paths that begin with `prefix`; where `rest` begins with a group, that is what they go on with.
fn tree(prefix: &str, rest: &str, paths: &mut BTreeSet<String>) {
    let Some(group) = rest.strip_prefix('{') else {
        paths.insert(prefix.to_owned());
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (place, c) in group.char_indices() {
        if depth == 0 && matches!(c, ',' | '}') {
            let item = group[start..place].trim();
            let (path, inner) = item.find('{').map_or((item, ""), |brace| item.split_at(brace));
            if !path.is_empty() {
                tree(&format!("{prefix}{path}"), inner, paths);
            }
            start = place + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            _ => {}
        }
    }
}

#[test]
fn a_module_uses_only_rows_below_its_own() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rows = rows();
    let mut faults = Vec::new();
    let mut checked = 0;
    for entry in WalkDir::new(&src).into_iter().map(|entry| entry.expect("src can be read")) {
        let relative = entry.path().strip_prefix(&src).expect("it is in src").with_extension("");
        if entry.path().extension().is_none_or(|extension| extension != "rs")
            || ["main", "bin", "lib", "build"].iter().any(|name| relative.starts_with(name))
        {
            continue;
        }
        let module = relative.to_str().expect("names are text").replace('/', "::");
        let module = module.trim_end_matches("::mod");
        let Some((own, own_row)) = row(&rows, module) else {
            faults.push(format!("{module} stands in no row"));
            continue;
        };
        for path in used(module, &std::fs::read_to_string(entry.path()).expect("src can be read")) {
            checked += 1;
            match row(&rows, &path) {
                None => faults.push(format!("{module} uses {path}, which stands in no row")),
                Some((other, other_row)) if other != own && other_row >= own_row => {
                    faults.push(format!("{module} (row {own_row}) uses {path} (row {other_row})"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(checked > 500, "the paths are found: {checked}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn paths_are_found_however_they_are_written() {
    let source = "use crate::exit::Fatal;\nuse crate::{\n    a::{b, c::{d, e}},\n    f, // crate::not\n};\n\
                  use super::{g, h};\nfn i() { crate::j::k() }\nmod tests {\n    use super::l;\n}\n";
    let paths = used("m::n", source).into_iter().collect::<Vec<_>>();
    assert_eq!(paths, ["a::b", "a::c::d", "a::c::e", "exit::Fatal", "f", "j::k", "m::g", "m::h"]);
}
