//! The name of an image, by the grammar of the distribution project: `[domain[:port]/]path[:tag]`.
//!
//! Not for digests: an image that is being made cannot be named by one.

use std::{fmt, str::FromStr};

/// A name that an engine and a registry accept. The tag is always written out: the engine refuses one without.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    repository: String,
    tag: String,
}

/// Why a text is not a reference; the text says what happened and what to do.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a name for an image: {reason}. Write it as NAME or NAME:TAG, for example my-app:1.0.")]
pub struct Invalid {
    text: String,
    reason: &'static str,
}

/// The distribution's limit for the repository, domain included.
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

/// The registry of names that say none, and what it was called once.
const USUAL_DOMAIN: &str = "docker.io";
const FORMER_DOMAIN: &str = "index.docker.io";

impl Reference {
    /// Domain and path, without the tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, `latest` where none was given.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name with all that may be left out: the registry, and `library/` before a path of one name in Docker's own.
    pub fn canonical(&self) -> String {
        let (domain, path) = split(&self.repository);
        let domain = domain.filter(|domain| *domain != FORMER_DOMAIN).unwrap_or(USUAL_DOMAIN);
        let library = if domain == USUAL_DOMAIN && !path.contains('/') { "library/" } else { "" };
        format!("{domain}/{library}{path}:{}", self.tag)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl FromStr for Reference {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text).map_err(|reason| Invalid { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains('@') {
        return Err("a digest cannot be chosen, it follows from what the image holds");
    }
    // A colon behind the last slash is the tag's; any other belongs to the domain's port.
    let (repository, tag) = match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (text, "latest"),
    };
    check_tag(tag)?;
    let (domain, path) = split(repository);
    domain.map_or(Ok(()), check_domain)?;
    for component in path.split('/') {
        check_component(component)?;
    }
    if repository.len() > LONGEST_REPOSITORY {
        return Err("it is longer than 255 characters");
    }
    if path.len() == 64 && path.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64 hexadecimal digits are an image's id");
    }
    Ok(Reference { repository: repository.to_owned(), tag: tag.to_owned() })
}

/// The registry, where one is named, and the path.
fn split(repository: &str) -> (Option<&str>, &str) {
    match repository.split_once('/') {
        Some((domain, path)) if is_domain(domain) => (Some(domain), path),
        _ => (None, repository),
    }
}

/// Docker's rule for telling a registry's host from the first part of a path.
fn is_domain(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("the registry's port is not a number");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if host.split('.').all(label) { Ok(()) } else { Err("the registry's host name is not one") }
}

fn check_component(component: &str) -> Result<(), &'static str> {
    if component.is_empty() {
        return Err("a part between two slashes or before the tag is empty");
    }
    if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("it has capital letters, and names are in lower case");
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !component.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-')) {
        return Err("it may hold letters, digits, '.', '_', '-' and '/' only");
    }
    let separators = component.split(|c: char| alphanumeric(c as u8));
    let allowed = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    let bytes = component.as_bytes();
    if !alphanumeric(bytes[0]) || !alphanumeric(bytes[bytes.len() - 1]) || !separators.into_iter().all(allowed) {
        return Err("'.', '_', '__' and '-' may only stand between letters or digits");
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    match bytes.next() {
        None => Err("the tag behind ':' is empty"),
        Some(first) if !word(first) => Err("the tag must begin with a letter, a digit or '_'"),
        Some(_) if tag.len() > LONGEST_TAG => Err("the tag is longer than 128 characters"),
        Some(_) if !bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-')) => {
            Err("the tag may hold letters, digits, '_', '.' and '-' only")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn the_tag_is_always_written_out() {
        for (text, whole) in [
            ("my-app", "my-app:latest"),
            ("my-app:1.0", "my-app:1.0"),
            ("a/b__c/d.e-f--g:X_1", "a/b__c/d.e-f--g:X_1"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("registry.example.org/team/app:1", "registry.example.org/team/app:1"),
            ("HOST/app", "HOST/app:latest"),
        ] {
            assert_eq!(
                text.parse::<Reference>().map(|reference| reference.to_string()).as_deref(),
                Ok(whole),
                "{text}"
            );
        }
    }

    #[test]
    fn the_canonical_name_leaves_nothing_out() {
        for (text, whole) in [
            ("my-app", "docker.io/library/my-app:latest"),
            ("team/app:1", "docker.io/team/app:1"),
            ("docker.io/app:1", "docker.io/library/app:1"),
            ("index.docker.io/team/app:1", "docker.io/team/app:1"),
            ("localhost/app:1", "localhost/app:1"),
            ("registry.example.org:5000/app:1", "registry.example.org:5000/app:1"),
        ] {
            assert_eq!(
                text.parse::<Reference>().map(|reference| reference.canonical()).as_deref(),
                Ok(whole),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_distribution_refuses_is_refused() {
        let long_tag = format!("a:{}", "x".repeat(129));
        let long_name = "a".repeat(256);
        let id = "0123456789abcdef".repeat(4);
        for text in [
            "",
            ":",
            "a:",
            ":1",
            "My-App",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a b",
            "a:b c",
            "a:-1",
            "a@sha256:00",
            "é",
            "a:é",
            "host.example:port/a",
            "-x.org/a",
            &long_tag,
            &long_name,
            &id,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_sentence_says_what_and_what_to_do() {
        let error = "My-App".parse::<Reference>().map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "\"My-App\" is not a name for an image: it has capital letters, and names are in lower case. Write it \
                 as NAME or NAME:TAG, for example my-app:1.0."
                    .to_owned()
            )
        );
    }
}
