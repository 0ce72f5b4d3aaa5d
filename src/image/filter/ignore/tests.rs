//! What the engine's own builder does with a pattern, row by row.

use super::Patterns;

/// Patterns (one a line), a path, and whether the path stays out.
const ROWS: &[(&str, &str, bool)] = &[
    // Names are anchored at the root.
    ("x.py", "x.py", true),
    ("x.py", "a/x.py", false),
    ("*.py", "x.py", true),
    ("*.py", "a/x.py", false),
    ("a/*.py", "a/x.py", true),
    ("a/*.py", "a/b/x.py", false),
    ("/x.py", "x.py", true),
    ("/a/b", "a/b", true),
    ("/", "a", false),
    // Cleaning.
    ("./a", "a", true),
    ("a/", "a", true),
    ("a/", "a/b", true),
    ("a//b", "a/b", true),
    ("a/./b", "a/b", true),
    ("a/../b", "b", true),
    ("../a", "a", false),
    (".", "a", false),
    ("  a  ", "a", true),
    // A directory takes what is below it along.
    ("a", "a/b/c", true),
    ("a", "ab", false),
    ("a/b", "a/b/c/d", true),
    ("*", "a/b", true),
    ("?", "a/b", true),
    ("?", "ab", false),
    // One name at a time.
    ("a*c", "abc", true),
    ("a*c", "a/c", false),
    ("a?c", "abc", true),
    ("a?c", "a/c", false),
    ("a?c", "aéc", true),
    ("a*b*c", "axxbyyc", true),
    ("a*b*c", "axxcyyb", false),
    // Two stars.
    ("**", "a", true),
    ("**", "a/b/c", true),
    ("**/x.py", "x.py", true),
    ("**/x.py", "a/b/x.py", true),
    ("**/x.py", "a/yx.py", false),
    ("**x.py", "a/yx.py", true),
    ("**/*.py", "x.py", true),
    ("**/*.py", "a/b/x.py", true),
    ("**/*.py", "a/b/x.pyc", false),
    ("**foo", "barfoo", true),
    ("**foo", "a/foo/b", true),
    ("**foo*", "barfoo", false),
    ("**/foo*", "a/foobar", true),
    ("b/**", "b", false),
    ("b/**", "b/c", true),
    ("b/**", "b/c/d", true),
    ("b/**", "bc", false),
    ("b**", "bc", true),
    ("b/*", "b/c/d", true),
    ("b/*", "b", false),
    ("b/**/e", "b/e", true),
    ("b/**/e", "b/c/d/e", true),
    ("b/**/e", "b/xe", false),
    ("b/*/e", "b/c/d/e", false),
    ("a**/x", "a/x", true),
    ("a**/x", "ab/x", true),
    ("a**/x", "ab/y", false),
    ("**/**", "a/b", true),
    ("**/a/**", "x/a/b/c", true),
    ("**/a/**", "x/a", false),
    ("**/__pycache__", "a/__pycache__/b.pyc", true),
    // Classes.
    ("[ab]", "a", true),
    ("[ab]", "c", false),
    ("x[a-c]", "xb", true),
    ("x[^a-c]", "xb", false),
    ("x[^a-c]", "xd", true),
    ("[!a]", "!", true),
    ("[!a]", "b", false),
    ("[a-cx-z]", "y", true),
    ("[\\]]", "]", true),
    ("[\\-x]", "-", true),
    // Escapes, and what is no pattern elsewhere.
    ("a\\*b", "a*b", true),
    ("a\\*b", "axb", false),
    ("\\#a", "#a", true),
    ("\\!a", "!a", true),
    ("{a,b}", "a", false),
    ("{a,b}", "{a,b}", true),
    ("a.c", "abc", false),
    ("a+(b)$|c", "a+(b)$|c", true),
    ("A", "a", false),
    // Comments, blank lines, line ends, a byte order mark.
    ("#a", "#a", false),
    (" #a", "#a", true),
    ("\n\na\n\n", "a", true),
    ("a\r\nb\r\n", "b", true),
    ("\u{feff}a", "a", true),
    // The last match wins.
    ("a\n!a", "a", false),
    ("!a\na", "a", true),
    ("a\n!a/b", "a/b", false),
    ("a\n!a/b", "a/c", true),
    ("*\n!b/d/keep.txt", "b/d/keep.txt", false),
    ("*\n!b/d/keep.txt", "b/d/other.txt", true),
    ("*\n! b", "b", false),
    ("*\n!/b", "b", false),
    ("*\n!b/", "b/c", false),
    ("**\n!**/*.py", "a/b.py", false),
    ("**\n!**/*.py", "a/b.txt", true),
    ("**\n!a\na/b", "a/b", true),
    ("**\n!a\na/b", "a/c", false),
    ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
    ("*.md\n!README*.md\nREADME-secret.md", "README-public.md", false),
];

#[test]
fn each_row_is_decided_as_docker_decides_it() {
    for (text, path, excluded) in ROWS {
        let rules = Patterns::parse(".dockerignore", text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(rules.matches(path), *excluded, "pattern {text:?}, path {path:?}");
    }
}

#[test]
fn what_docker_refuses_is_refused_with_its_line() {
    for text in ["!", "! ", "[", "a[", "[^", "[a", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[z-a]", "a\\"] {
        assert!(Patterns::parse(".dockerignore", text).is_err(), "{text:?}");
    }
    let error = Patterns::parse(".dockerignore", "a\n\n[b\n").map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(
        error,
        Err("line 3 of .dockerignore, \"[b\", is not a pattern: a '[' or a '\\' has no end, or a range is not one"
            .to_owned())
    );
}

#[test]
fn only_an_exception_makes_a_walker_enter_an_excluded_directory() {
    for (text, directory, entered) in [
        ("a\nb", "a", false),
        ("a\n!a/b/c", "a", true),
        ("a\n!a/b/c", "a/b", true),
        ("a\n!a/b/c", "b", false),
        ("a\n!a/b/c", "a/c", false),
        ("a\n!a/b*/c", "a/bc", true),
        ("a\n!a/b*/c", "a/c", false),
        ("a\n!a/\\b/c", "a/b", true),
        ("a\n!b/**", "a", false),
        ("a\n!**/b", "a", true),
        ("a\n!*.md", "a", true),
        // It matches what is above, and so all below.
        ("a/b\n!a\na/c", "a/c", true),
    ] {
        assert_eq!(Patterns::parse("", text).unwrap().may_keep_below(directory), entered, "{text:?}, {directory}");
    }
}

#[test]
fn many_stars_are_no_more_work_than_one() {
    let path = "a/".repeat(1000);
    for part in ["*a", "**/a", "**a*", "*?", "[a/]*"] {
        let pattern = format!("x{}", part.repeat(200));
        assert!(!Patterns::parse("", &pattern).expect("a pattern").matches(&path), "{part}");
        let pattern = format!("{}b", part.repeat(200));
        assert!(!Patterns::parse("", &pattern).expect("a pattern").matches(&path), "{part}");
    }
}
