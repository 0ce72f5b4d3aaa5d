//! `.dockerignore`: which files of an app's folder stay out of the image, by exactly Docker's rules.
//!
//! Not git's rules, which differ in a good third of cases: names are anchored at the root, a later `!` reaches below an
//! excluded directory, a trailing slash means nothing. Reads no files; the walker brings the names.

mod pattern;

use pattern::Pattern;

/// The lines of one `.dockerignore`, or of another list in its form, in order.
#[derive(Debug, Default)]
pub struct Patterns {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// A line that began with `!`: what it matches is kept after all.
    keeps: bool,
    pattern: Pattern,
}

/// A line that Docker refuses too.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line} of {file}, {text:?}, {reason}")]
pub struct Invalid {
    file: String,
    line: usize,
    text: String,
    reason: &'static str,
}

impl Invalid {
    /// What is wrong with the line.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Patterns {
    /// Reads the lines of a `.dockerignore`; `file` is its name for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Invalid> {
        let mut rules = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            // Only a `#` in the first column makes a comment; ` #x` is a pattern.
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let invalid = |reason| Invalid { file: file.to_owned(), line: index + 1, text: line.to_owned(), reason };
            let (keeps, name) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            if name.is_empty() {
                return Err(invalid("excludes nothing from nothing: a name must follow the '!'"));
            }
            let cleaned = clean(name);
            let anchored = if cleaned.len() > 1 { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
            let pattern = Pattern::compile(anchored)
                .ok_or_else(|| invalid("is not a pattern: a '[' or a '\\' has no end, or a range is not one"))?;
            rules.push(Rule { keeps, pattern });
        }
        Ok(Self { rules })
    }

    /// A list of the program's own, or lines that were read before.
    ///
    /// # Panics
    /// A line is no pattern: each list is read by a test.
    pub fn known(text: &str) -> Self {
        Self::parse("a list of rwsgi's own", text).expect("a list that was read before")
    }

    /// Whether these mean `path` (relative to the folder, `/` between names).
    pub fn matches(&self, path: &str) -> bool {
        let characters: Vec<char> = path.chars().collect();
        let mut matched = false;
        for rule in &self.rules {
            // A rule that could not change the outcome need not be tried.
            if rule.keeps == matched && rule.matches_or_parent(&characters) {
                matched = !rule.keeps;
            }
        }
        matched
    }

    /// Whether something below the directory at `path` may be kept although they mean it, so that it must be entered.
    pub fn may_keep_below(&self, path: &str) -> bool {
        let characters: Vec<char> = path.chars().collect();
        self.rules.iter().any(|rule| rule.keeps && rule.pattern.may_match_below(&characters))
    }
}

impl Rule {
    /// A pattern that matches a directory matches all that is below it.
    fn matches_or_parent(&self, path: &[char]) -> bool {
        self.pattern.matches(path)
            || path
                .iter()
                .enumerate()
                .filter(|(_, character)| **character == '/')
                .any(|(end, _)| self.pattern.matches(&path[..end]))
    }
}

/// Go's `filepath.Clean`: the shortest name for the same path, by its text alone.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if rooted => {}
            _ => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
