//! A file or a folder from elsewhere, and where it is to be: `SRC:DST`.

use std::path::{Component, Path, PathBuf};

/// What a kernel puts over whatever an image has there.
pub const KERNELS: [&str; 3] = ["proc", "sys", "dev"];

/// A file or a folder, and its place in the image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copy {
    /// Where it is.
    pub source: PathBuf,
    /// Its place, without the leading `/`.
    pub place: PathBuf,
    /// Whether the place is a folder that a file goes into.
    pub into: bool,
    /// As it was written, for messages.
    pub shown: String,
}

impl Copy {
    /// Reads `SRC:DST`. A relative source is relative to `folder`, a relative destination to `/app`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let (source, destination) = text.rsplit_once(':').ok_or("it has no :, as in SRC:DST")?;
        if source.is_empty() || destination.is_empty() {
            return Err("one side of the : is empty, as it is not in SRC:DST".to_owned());
        }
        let mut place = PathBuf::new();
        for part in Path::new("/app").join(destination).components() {
            match part {
                Component::Normal(name) => place.push(name),
                Component::ParentDir => return Err("its destination has a .. in it".to_owned()),
                _ => {}
            }
        }
        if place.components().next().is_some_and(|first| KERNELS.iter().any(|name| first.as_os_str() == *name)) {
            return Err(format!("the kernel keeps /{} in a container", place.display()));
        }
        let into = destination.ends_with('/') || destination == "." || destination.ends_with("/.");
        Ok(Self { source: folder.join(source), place, into, shown: text.to_owned() })
    }

    /// The folder that it copies, if it is one.
    pub fn folder(&self) -> Option<PathBuf> {
        fs_err::canonicalize(&self.source).ok().filter(|source| source.is_dir())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Copy;

    #[test]
    fn a_source_and_a_destination() {
        for (text, source, place, into) in [
            ("a.ini:/etc/shop.ini", "/src/a.ini", "etc/shop.ini", false),
            ("/x/a:b:/data/", "/x/a:b", "data", true),
            ("a:conf/a", "/src/a", "app/conf/a", false),
            ("a:.", "/src/a", "app", true),
            ("a:/", "/src/a", "", true),
            ("a:/app/", "/src/a", "app", true),
            ("a://data//x", "/src/a", "data/x", false),
        ] {
            let copy = Copy::parse(text, Path::new("/src")).unwrap();
            assert_eq!((copy.source, copy.place, copy.into), (source.into(), place.into(), into), "{text}");
        }
        for text in ["a", ":/a", "a:", "a:/x/../y", "a:/proc/x", "a:/dev"] {
            assert!(Copy::parse(text, Path::new("/src")).is_err(), "{text}");
        }
    }
}
