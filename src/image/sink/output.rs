//! An image as files: one tar that engines load, or an OCI layout. Neither needs an engine.
//!
//! A reader finds a whole image, or the one that was there before: a tar is written beside its place and renamed. Only what is
//! no file, a pipe say, is written into as it is.

use std::{
    io::{self, IsTerminal as _, Read, Write},
    path::{Path, PathBuf},
};

use fs_err::File;
use nix::unistd::{AccessFlags, access};

use crate::{
    exit::Fatal,
    image::{
        cache::Cache,
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        oci::{
            archive::{Archive, Piece},
            plan::Plan,
        },
        sink::{
            Written,
            gzip::Stopped,
            layout,
            part::{Part, failed, parent},
        },
    },
};

const CHUNK: usize = 1 << 18;
/// Other names of standard output.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where an image goes, if not to an engine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// A tar.
    Archive(PathBuf),
    /// A tar, on standard output.
    Standard,
    /// A folder.
    Layout(PathBuf),
}

impl Output {
    /// What `text` on a command line means.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix("oci:") {
            Some(folder) => Self::Layout(folder.into()),
            None if STANDARD.contains(&text) => Self::Standard,
            None => Self::Archive(text.into()),
        }
    }

    /// The file or folder, in full.
    pub fn path(&self) -> Option<PathBuf> {
        let (Self::Archive(path) | Self::Layout(path)) = self else { return None };
        let parent = fs_err::canonicalize(parent(path)).ok()?;
        Some(parent.join(path.file_name()?))
    }

    /// Whether it can be written at all, before anything is built.
    pub fn check(&self) -> Result<(), Fatal> {
        let refused = |path: &Path, why: &str| {
            Err(Fatal::new(format!("The image cannot be written to {}: {why}.", path.display())))
        };
        let can_write = |path: &Path, folder: &Path| match access(folder, AccessFlags::W_OK) {
            Ok(()) => Ok(()),
            Err(error) => {
                let (folder, error) = (folder.display(), error.desc());
                refused(
                    path,
                    &format!("{folder} cannot be written to ({error}). Name another place, or change who may"),
                )
            }
        };
        match self {
            Self::Standard if io::stdout().is_terminal() => Err(Fatal::new(
                "An image is nothing for a terminal. Send it on (--output - | docker load), or name a file.",
            )),
            Self::Layout(path) if *path == Path::new("") => {
                Err(Fatal::new("The image cannot be written to oci: alone, which names no folder. Name one: oci:DIR."))
            }
            Self::Archive(path) if *path == Path::new("") => {
                Err(Fatal::new("The image cannot be written to a file without a name. Name one."))
            }
            Self::Archive(path) | Self::Layout(path) if path.file_name().is_none() => {
                refused(path, "it names no file. Name one")
            }
            Self::Archive(path) | Self::Layout(path) if !parent(path).is_dir() => {
                refused(path, &format!("there is no folder {}. Make it first", parent(path).display()))
            }
            Self::Archive(path) if path.is_dir() => {
                refused(path, "it is a folder. Name a file, or write oci: in front to get a layout")
            }
            Self::Layout(path) if path.exists() && !layout::may_be(path) => {
                refused(path, "it exists, and is no OCI layout. Name another folder, or remove it")
            }
            Self::Archive(path) if !is_no_file(path) => can_write(path, parent(path)),
            Self::Layout(path) => can_write(path, if path.exists() { path } else { parent(path) }),
            Self::Standard | Self::Archive(_) => Ok(()),
        }
    }

    /// Writes the image.
    pub fn write(
        &self,
        plan: &Plan,
        cache: &Cache,
        work: &Path,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Written, Fatal> {
        progress.step("Writing the image");
        if let Self::Layout(path) = self {
            return layout::write(path, plan, cache, work, progress, cancel);
        }
        let archive = Archive::of(plan, 0).map_err(|error| disk::failed("lay out the image", &error))?;
        let id = format!("sha256:{}", archive.config);
        if let Self::Archive(path) = self {
            let write =
                |mut file: File| copy(&archive, &mut file, progress, cancel).map_err(|stopped| at(path, stopped));
            let failed = |error| failed(path, &error);
            if is_no_file(path) {
                write(fs_err::OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?)?;
            } else {
                Part::write(path, |part| write(File::create(part).map_err(failed)?))?;
            }
        } else {
            let mut out = io::stdout().lock();
            copy(&archive, &mut out, progress, cancel).map_err(|stopped| at(Path::new("standard output"), stopped))?;
            out.flush().map_err(|error| failed(Path::new("standard output"), &error))?;
        }
        Ok(Written { id, compressed: Vec::new() })
    }
}

/// The sentence for what stopped a copy to `path`.
fn at(path: &Path, stopped: Stopped) -> Fatal {
    match stopped {
        Stopped::Told(fatal) => fatal,
        Stopped::Disk(error) => failed(path, &error),
    }
}

fn copy(archive: &Archive, to: &mut impl Write, progress: &dyn Progress, cancel: &Cancel) -> Result<(), Stopped> {
    let mut done = 0;
    let mut chunk = vec![0; CHUNK];
    for piece in &archive.pieces {
        match piece {
            Piece::Bytes(bytes) => {
                to.write_all(bytes).map_err(Stopped::Disk)?;
                done += bytes.len() as u64;
            }
            Piece::File(path) => {
                let mut file = File::open(path).map_err(Stopped::Disk)?;
                loop {
                    cancel.check().map_err(Stopped::Told)?;
                    let count = file.read(&mut chunk).map_err(Stopped::Disk)?;
                    if count == 0 {
                        break;
                    }
                    to.write_all(&chunk[..count]).map_err(Stopped::Disk)?;
                    done += count as u64;
                    progress.bytes(done, archive.size);
                }
            }
        }
    }
    Ok(())
}

/// Whether what is there is to be written into, not replaced: a pipe, a device, what a process has open.
fn is_no_file(path: &Path) -> bool {
    let is_open = ["/dev", "/proc"].iter().any(|place| path.starts_with(place)) && path.is_symlink();
    is_open || std::fs::metadata(path).is_ok_and(|there| !there.is_file())
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, path::PathBuf};

    use super::Output;
    use crate::image::cache::Cache;
    use crate::image::job::progress::{Cancel, Silent};
    use crate::image::oci::container::Container;
    use crate::image::oci::plan::Plan;

    fn plan(tag: &str) -> Plan {
        let reference = format!("shop:{tag}").parse().unwrap();
        Plan { reference, layers: Vec::new(), container: Container::default(), created: tag.to_owned() }
    }

    fn write(output: &Output, tag: &str) {
        let work = tempfile::tempdir().unwrap();
        output.write(&plan(tag), &Cache::none(), work.path(), &Silent, &Cancel::default()).unwrap();
    }

    #[test]
    fn a_pipe_is_written_into_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut tar = Vec::new();
                std::fs::File::open(pipe).unwrap().read_to_end(&mut tar).unwrap();
                tar
            }
        });
        let tar = folder.path().join("image.tar");
        write(&Output::Archive(tar.clone()), "1");
        write(&Output::Archive(pipe.clone()), "1");
        assert!(reader.join().unwrap() == std::fs::read(tar).unwrap());
        assert!(!pipe.metadata().unwrap().is_file());
        let there = std::fs::File::create(folder.path().join("open")).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&there);
        write(&Output::Archive(format!("/dev/fd/{number}").into()), "1");
        assert!(there.metadata().unwrap().len() > 0);
        write(&Output::Archive("/dev/null".into()), "1");
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_place_is_told_by_its_form() {
        for (text, output) in [
            ("-", Output::Standard),
            ("/dev/stdout", Output::Standard),
            ("image.tar", Output::Archive("image.tar".into())),
            ("./-", Output::Archive("./-".into())),
            ("oci:image", Output::Layout("image".into())),
        ] {
            assert_eq!(Output::of(text), output);
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::create_dir_all(path("full/x")).unwrap();
        let check = |output: Output| output.check().map_err(|error| error.to_string());
        for (output, why) in [
            (Output::Archive(path("none/image.tar")), "there is no folder"),
            (Output::Archive(path("empty")), "it is a folder"),
            (Output::Layout(path("full")), "is no OCI layout"),
            (Output::Layout(path("file")), "is no OCI layout"),
            (Output::Layout(PathBuf::new()), "oci: alone, which names no folder"),
            (Output::Archive(PathBuf::new()), "a file without a name"),
            (Output::Archive("/".into()), "/: it names no file. Name one"),
        ] {
            assert!(check(output.clone()).is_err_and(|error| error.contains(why)), "{output:?}");
        }
        for output in [Output::Archive(path("image.tar")), Output::Archive(path("file")), Output::Layout(path("empty"))]
        {
            assert_eq!(check(output), Ok(()));
        }
    }
}
