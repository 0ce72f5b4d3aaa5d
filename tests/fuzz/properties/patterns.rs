//! Small languages that people write: the access log's format, and what an image leaves out.

use rwsgi::{
    image::{choices::reference::Reference, filter::ignore::Patterns, project::app::procfile},
    telemetry::access::Format,
};

/// A format is read, or it is said where it is wrong.
pub fn format(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = Format::parse(&text) {
        assert!((1..=text.chars().count() + 1).contains(&error.position), "{error} in {text:?}");
    }
}

/// A path stays out, or it does not, and so it does the second time. Who enters only directories that may have something finds it.
pub fn ignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (patterns, path) = text.split_once('\0').unwrap_or((&text, "a/b.c"));
    let Ok(rules) = Patterns::parse("patterns", patterns) else { return };
    assert_eq!(rules.matches(path), rules.matches(path));
    if !rules.matches(path) {
        for (end, _) in path.match_indices('/') {
            let above = &path[..end];
            assert!(!rules.matches(above) || rules.may_keep_below(above), "{path:?} below {above:?}");
        }
    }
}

/// A name of an image is one that a registry takes, and is read again from what it is written as.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(reference) = text.parse::<Reference>() else { return };
    let written = reference.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&reference), "{written}");
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\?#@%".contains(&byte)), "{written}");
}

/// A Procfile names an app, or it does not; and says the same the second time.
pub fn procfile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let served = procfile::web(&text);
    assert_eq!(served, procfile::web(&text));
    assert!(served.is_none_or(|served| !served.spec.is_empty()));
}
