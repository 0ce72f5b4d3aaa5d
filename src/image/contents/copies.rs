//! Files from elsewhere, `--copy SRC:DST`: a layer of their own above all others.
//!
//! They may take the place of the app's files, but not of the interpreter's, of rwsgi's or of a package's.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use tar::EntryType;

use crate::{
    exit::Fatal,
    image::{
        choices::{Copy, Said},
        contents::tree,
        filter::{ignore::Patterns, screen::Screen},
        job::{disk, progress::Progress},
        layer::{Contents, Layer, Times},
    },
};

fn add(copy: &Copy, contents: &mut Contents, screen: &Screen, progress: &dyn Progress) -> Result<(), Fatal> {
    let Copy { source, place, into, shown } = copy;
    let refused = |why: &str| Fatal::new(format!("The copy {shown} cannot be made: {why}. Correct it."));
    let metadata = fs_err::metadata(source).map_err(|_| refused(&format!("there is no {}", source.display())))?;
    contents.depends_on(source);
    if metadata.is_dir() {
        return tree::add_app(contents, place, source, &Patterns::default(), &[], screen, progress);
    }
    if !metadata.is_file() {
        return Err(refused(&format!("{} is neither a file nor a folder", source.display())));
    }
    let place = match source.file_name() {
        Some(name) if *into => place.join(name),
        _ => place.clone(),
    };
    // Asked for by name, whatever it looks like.
    tree::add_file(contents, &place, source, &metadata);
    Ok(())
}

/// What all copies come to.
pub fn gather(copies: &[Said<Copy>], screen: &Screen, progress: &dyn Progress) -> Result<Contents, Fatal> {
    let mut contents = Contents::new(Times::ByContent);
    for copy in copies {
        add(copy, &mut contents, screen, progress).map_err(|error| copy.locate(error))?;
    }
    Ok(contents)
}

/// What is at a path in the layers below.
pub(super) struct Below {
    kind: EntryType,
    mode: u32,
    /// The layer's name.
    layer: &'static str,
}

impl Below {
    /// Whether it is a symbolic link.
    pub(super) fn is_link(&self) -> bool {
        self.kind == EntryType::Symlink
    }
}

/// Sees that the copies take nobody's place in the layers `below` but the app's, and that folders there stay as they are.
pub fn fit(contents: &mut Contents, copies: &[Said<Copy>], below: &[Layer]) -> Result<(), Fatal> {
    let known = entries(below).map_err(|error| disk::failed("read a layer", &error))?;
    let paths: Vec<(PathBuf, bool)> = contents.kinds().map(|(path, is_folder)| (path.to_owned(), is_folder)).collect();
    // A later copy takes an earlier one's place.
    let locate = |path: &Path, error: Fatal| match copies.iter().rfind(|copy| path.starts_with(&copy.place)) {
        Some(copy) => copy.locate(error),
        None => error,
    };
    go_together(&paths).map_err(|(path, error)| locate(path, error))?;
    let library = known.keys().find(|path| path.ends_with("lib-dynload")).and_then(|path| path.parent());
    for (path, is_folder) in paths {
        let refused = |why: &str| {
            let shown = path.display();
            let error = format!("A copy would take /{shown}, the place of {why}. Choose another destination.");
            Err(locate(&path, Fatal::new(error)))
        };
        let Some(Below { kind, mode, layer }) = known.get(&path) else {
            // Most modules have no file of their own that this would be, but what is there is found before them.
            let is_module = library
                .is_some_and(|library| path.starts_with(library) && !path.starts_with(library.join("site-packages")));
            if is_module && !is_folder {
                return refused("a module of the interpreter's");
            }
            continue;
        };
        match (kind, is_folder) {
            (EntryType::Directory, true) => contents.directory_with_mode(path, *mode),
            (EntryType::Directory, false) => return refused("a folder; to copy into it, let the destination end in /"),
            (_, true) => return refused("a file or a link by which others are found"),
            (_, false) if *layer == "app" => {}
            (_, false) if *layer == "dependencies" => return refused("a file of the app's dependencies"),
            (_, false) => return refused("a file of the interpreter's, or of rwsgi's"),
        }
    }
    Ok(())
}

/// Sees that nothing is to be both a file and a folder. Names what is with the error.
fn go_together(paths: &[(PathBuf, bool)]) -> Result<(), (&Path, Fatal)> {
    let files: BTreeSet<_> = paths.iter().filter(|(_, is_folder)| !is_folder).map(|(path, _)| path.as_path()).collect();
    for (path, _) in paths {
        if let Some(file) = path.ancestors().skip(1).find(|above| files.contains(above)) {
            let error = format!(
                "Two copies do not go together: /{} would be a file, and a folder with /{} in it. Choose another destination.",
                file.display(),
                path.display()
            );
            return Err((path, Fatal::new(error)));
        }
    }
    Ok(())
}

/// The entries of layers, an upper one's in place of a lower one's.
pub(super) fn entries(layers: &[Layer]) -> io::Result<BTreeMap<PathBuf, Below>> {
    let mut known = BTreeMap::new();
    for layer in layers {
        let mut archive = tar::Archive::new(BufReader::new(fs_err::File::open(&layer.path)?));
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let header = entry.header();
            let path: PathBuf = entry.path()?.components().collect();
            known.insert(path, Below { kind: header.entry_type(), mode: header.mode()?, layer: layer.name });
        }
    }
    Ok(known)
}
