//! What a user wants in an image beyond what an app needs to run.

use crate::image::filter::ignore::Patterns;

/// What is kept or added.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    keep: Vec<String>,
    /// Whether the image is one to look into: with a shell, and with the standard library's sources.
    pub debug: bool,
    slim: bool,
}

impl Kept {
    /// What matches patterns that are known to be right, and whether it is an image to look into, or one without packages'
    /// sources.
    pub fn new(keep: &[String], debug: bool, slim: bool) -> Self {
        Self { keep: keep.to_vec(), debug, slim: slim && !debug }
    }

    /// What of it concerns anything but packages.
    #[must_use]
    pub fn beside_packages(&self) -> Self {
        Self { slim: false, ..self.clone() }
    }

    /// Whether packages come without their sources, but those that are to be kept.
    pub fn is_slim(&self) -> bool {
        self.slim
    }

    /// What stays out: `usually`, but what is to be kept, and `always`. All are lines of the form of .dockerignore.
    pub fn left_out(&self, usually: &str, always: &str) -> Patterns {
        let kept: Vec<_> = self.keep.iter().map(|pattern| format!("!{pattern}")).collect();
        Patterns::known(&[usually, &kept.join("\n"), always].join("\n"))
    }

    /// What is kept.
    pub fn patterns(&self) -> Patterns {
        Patterns::known(&self.keep.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;

    #[test]
    fn what_is_kept_comes_back_and_what_never_goes_along_does_not() {
        let kept = Kept::new(&["**/tests".to_owned(), "test".to_owned()], false, false);
        let out = kept.left_out("test\n**/tests\nidlelib", "**/*.pyc");
        for (path, excluded) in [
            ("test/support/x.py", false),
            ("json/tests/x.py", false),
            ("test/x.pyc", true),
            ("idlelib/x.py", true),
            ("os.py", false),
        ] {
            assert_eq!(out.matches(path), excluded, "{path}");
        }
        assert!(kept.patterns().matches("test/support/x.py"));
        assert!(!Kept::default().patterns().matches("os.py"));
    }
}
