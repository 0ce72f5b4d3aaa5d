//! Links in a folder that work on this machine, and in an image lead out of it to nothing.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    exit::Fatal,
    image::{
        choices::KERNELS,
        contents::copies::{self, Below},
        job::{disk, progress::Progress},
        layer::{Contents, Layer, normal},
    },
};

/// How many links a warning names.
const NAMED: usize = 10;

/// Warns of links among `contents`, which are a `folder` at `place`, that lead neither there nor to what is among `files`
/// from elsewhere or in the layers `below`.
pub fn check(
    (contents, place, folder): (&Contents, &Path, &Path),
    files: Option<&Contents>,
    below: &[Layer],
    progress: &dyn Progress,
) -> Result<(), Fatal> {
    let mut links: Vec<(&Path, PathBuf)> =
        contents.symlinks().filter_map(|it| leading_out(it, place, folder)).collect();
    if links.is_empty() {
        return Ok(());
    }
    let known = copies::entries(below).map_err(|error| disk::failed("read a layer", &error))?;
    let is_there = |path: &Path| known.contains_key(path) || files.is_some_and(|files| files.contains(path));
    // Where a link to it leads on.
    let linked: BTreeSet<&Path> = files.into_iter().flat_map(Contents::symlinks).map(|(link, _)| link).collect();
    let is_link = |path: &Path| linked.contains(path) || known.get(path).is_some_and(Below::is_link);
    links.retain(|(_, target)| !is_there(target) && !target.ancestors().skip(1).any(is_link));
    let told: Vec<_> =
        links.iter().take(NAMED).map(|(link, target)| format!("{} (/{})", shown(link), target.display())).collect();
    if !told.is_empty() {
        let more = links.len() - told.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        progress.warning(&format!(
            "Links lead to what is not in the image: {}{more}. Bring that along (--copy), or put it in their place.",
            told.join(", ")
        ));
    }
    Ok(())
}

/// A link as people know it: by its name in the app's folder, or in the image.
fn shown(link: &Path) -> String {
    link.strip_prefix("app").map_or_else(|_| format!("/{}", link.display()), |name| name.display().to_string())
}

/// The link and its target in the image, where that is elsewhere and there is something on this machine.
fn leading_out<'a>((link, target): (&'a Path, &Path), place: &Path, folder: &Path) -> Option<(&'a Path, PathBuf)> {
    let name = link.strip_prefix(place).ok()?;
    let target = normal(&Path::new("/").join(link.parent()?).join(target)).strip_prefix("/").ok()?.to_owned();
    let is_kernels = KERNELS.iter().any(|kernels| target.starts_with(kernels));
    (!target.starts_with(place) && !is_kernels && folder.join(name).exists()).then_some((link, target))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::check;
    use crate::image::{
        job::{progress::Silent, recording::Recording},
        layer::Contents,
    };

    #[test]
    fn links_that_lead_nowhere_in_an_image_are_told() {
        let place = tempfile::tempdir().unwrap();
        let (folder, shared) = (place.path().join("app"), place.path().join("shared"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&shared, "").unwrap();
        let shared = shared.to_str().unwrap();
        let mut contents = Contents::default();
        for (name, target) in
            [("out", "../shared"), ("absolute", shared), ("in", "out"), ("gone", "../gone"), ("log", "/dev/stdout")]
        {
            symlink(target, folder.join(name)).unwrap();
            contents.symlink(Path::new("app").join(name), target);
        }
        let warnings = |files: Option<&Contents>| {
            let told = Recording::new(&Silent);
            check((&contents, Path::new("app"), &folder), files, &[], &told).unwrap();
            told.warnings().concat()
        };
        let said =
            format!("Links lead to what is not in the image: absolute ({shared}), out (/shared). Bring that along");
        assert!(warnings(None).starts_with(&said), "{}", warnings(None));
        let mut files = Contents::default();
        files.bytes("shared", "", false);
        files.bytes(shared.trim_start_matches('/'), "", false);
        assert_eq!(warnings(Some(&files)), "");
        // The target's own folder is elsewhere: where, only the image knows.
        let mut linked = Contents::default();
        linked.symlink(Path::new(shared).parent().unwrap().strip_prefix("/").unwrap(), "elsewhere");
        assert!(warnings(Some(&linked)).starts_with("Links lead to what is not in the image: out (/shared). "));
    }
}
