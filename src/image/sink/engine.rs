//! The Docker Engine, through its API: is it there, and load an image.

use std::{
    collections::HashMap,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::{
    Docker, body_try_stream,
    errors::Error,
    models::ImageInspect,
    query_parameters::{
        ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use crate::{
    exit::Fatal,
    image::{
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::digest,
        oci::{
            archive::{Archive, Piece},
            labels,
            plan::Plan,
        },
        sink::host::Host,
    },
};

/// An engine answers a load when it is done, and may have a slow disk.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3600);
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often progress is told and cancellation looked for.
const TICK: Duration = Duration::from_millis(100);
const CHUNK: usize = 1 << 18;
/// How many images are looked at for layers that they share with this one, and how many of them at a time.
const LOOKED_AT: usize = 1000;
const AT_ONCE: usize = 16;
/// What an engine with the containerd image store says that its driver is.
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";

/// A load that failed.
pub struct Failure {
    /// Why.
    pub error: Fatal,
    /// Whether the engine itself said so, and would answer again.
    pub answered: bool,
}

/// An engine that has answered.
pub struct Engine {
    docker: Docker,
    runtime: tokio::runtime::Runtime,
}

impl Engine {
    /// Connects as the `docker` command does, and sees that an engine answers.
    pub fn connect() -> Result<Self, Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fatal::new(format!("Cannot talk to the Docker Engine: {error}.")))?;
        let host = Host::find()?;
        let docker = host.client()?;
        let docker = runtime.block_on(async {
            match tokio::time::timeout(GREETING_TIMEOUT, docker.ping()).await {
                Ok(Ok(_)) => Ok(docker),
                Ok(Err(error)) => Err(host.silent(&unreachable(&error))),
                Err(_) => Err(host.silent("it did not answer within 10 seconds")),
            }
        })?;
        Ok(Self { docker: docker.with_timeout(LOAD_TIMEOUT), runtime })
    }

    /// How many of the plan's layers, from the bottom, the engine has already: it will not ask for their content.
    pub fn known(&self, plan: &Plan) -> usize {
        let wanted: Vec<_> = plan.layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let shared = |image: &ImageInspect| {
            let layers = image.root_fs.iter().flat_map(|root| root.layers.iter().flatten());
            wanted.iter().zip(layers).take_while(|(one, other)| one == other).count()
        };
        let very = format!("sha256:{}", digest::of(&plan.config()));
        self.runtime.block_on(async {
            let inspect = async |name: &str| self.docker.inspect_image(name).await.unwrap_or_default();
            let named = inspect(&plan.reference.to_string()).await;
            // The very image: nothing will be sent.
            if named.id.as_ref() == Some(&very) {
                return wanted.len();
            }
            let enough = wanted.len().saturating_sub(1);
            let mut most = shared(&named);
            if most < enough {
                // Only those that may be rwsgi's.
                let labelled = HashMap::from([("label", vec![labels::CREATED])]);
                let options = ListImagesOptionsBuilder::default().filters(&labelled).build();
                let images = self.docker.list_images(Some(options)).await.unwrap_or_default();
                let looks = images.iter().take(LOOKED_AT).map(async |image| shared(&inspect(&image.id).await));
                let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
                while most < enough
                    && let Some(count) = looks.next().await
                {
                    most = most.max(count);
                }
            }
            if most > 0 && self.keeps_blobs().await { 0 } else { most }
        })
    }

    /// Whether it keeps the blobs that manifests name, as containerd does, beside what it unpacks them to. A layer that it has
    /// may be of another blob there, compressed by a registry's client say: without ours, the image would run, but could be
    /// neither pushed nor saved.
    async fn keeps_blobs(&self) -> bool {
        match self.docker.info().await {
            Ok(info) => info.driver_status.iter().flatten().flatten().any(|word| word == SNAPSHOTTER),
            // It may be one that does.
            Err(_) => true,
        }
    }

    /// Puts an image there, without the content of its first `known` layers, and returns its id.
    pub fn put(&self, plan: &Plan, known: usize, progress: &dyn Progress, cancel: &Cancel) -> Result<String, Failure> {
        let archive = Archive::of(plan, known)
            .map_err(|error| Failure { error: disk::failed("lay out the image", &error), answered: false })?;
        // The one is an image's id, the other where the engine keeps images as containerd does.
        let ids = [&archive.config, &archive.manifest].map(|digest| format!("sha256:{digest}"));
        let there = self.runtime.block_on(async {
            let (id, name) = (self.found(&ids).await?, &plan.reference);
            let options = TagImageOptionsBuilder::default().repo(name.repository()).tag(name.tag()).build();
            self.docker.tag_image(id, Some(options)).await.ok().map(|()| id.clone())
        });
        if let Some(id) = there {
            progress.step("The engine has this very image");
            return Ok(id);
        }
        progress.step("Loading the image into the engine");
        self.load(archive, &ids, &plan.reference.to_string(), progress, cancel)
    }

    /// Which of these ids the engine has an image of.
    async fn found<'a>(&self, ids: &'a [String]) -> Option<&'a String> {
        for id in ids {
            if self.docker.inspect_image(id).await.is_ok() {
                return Some(id);
            }
        }
        None
    }

    /// Loads an image that will have one of `ids`, and returns that.
    fn load(
        &self,
        archive: Archive,
        ids: &[String],
        name: &str,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<String, Failure> {
        let failed = |error: &Error| Failure {
            error: refused(&reason(error)),
            answered: matches!(error, Error::DockerStreamError { .. } | Error::DockerResponseServerError { .. }),
        };
        let size = archive.size;
        self.runtime.block_on(async {
            let sent = Arc::new(AtomicU64::new(0));
            let body = body_try_stream(read(archive, Arc::clone(&sent)));
            let options = ImportImageOptionsBuilder::default().quiet(true).build();
            let mut answers = std::pin::pin!(self.docker.import_image(options, body, None));
            loop {
                match tokio::time::timeout(TICK, answers.next()).await {
                    Err(_) => progress.bytes(sent.load(Ordering::Relaxed), size),
                    Ok(Some(Ok(told))) => {
                        if let Some(why) = told.stream.as_deref().and_then(not_unpacked) {
                            // It is there by its name all the same.
                            let _ = self.docker.remove_image(name, None::<RemoveImageOptions>, None).await;
                            return Err(Failure { error: refused(why), answered: true });
                        }
                    }
                    Ok(Some(Err(error))) => return Err(failed(&error)),
                    Ok(None) => break,
                }
                // An engine that has everything will keep it, whether or not anyone waits for its answer.
                if sent.load(Ordering::Relaxed) < size {
                    cancel.check().map_err(|error| Failure { error, answered: false })?;
                }
            }
            // Not by its name, which another build may have given away since.
            if let Some(id) = self.found(ids).await {
                return Ok(id.clone());
            }
            let loaded = self.docker.inspect_image(name).await.map_err(|error| failed(&error))?;
            let id = loaded.id.unwrap_or_default();
            Err(Failure {
                error: refused(&format!("it says that {name} is {id}, which is another image")),
                answered: true,
            })
        })
    }
}

/// The archive as chunks, counted as they go.
fn read(archive: Archive, sent: Arc<AtomicU64>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let state = (archive.pieces.into_iter(), None::<fs_err::File>);
    stream::try_unfold(state, move |(mut pieces, mut open)| {
        let sent = Arc::clone(&sent);
        async move {
            loop {
                if let Some(file) = &mut open {
                    let mut chunk = vec![0; CHUNK];
                    let count = file.read(&mut chunk)?;
                    if count > 0 {
                        chunk.truncate(count);
                        sent.fetch_add(count as u64, Ordering::Relaxed);
                        return Ok(Some((Bytes::from(chunk), (pieces, open))));
                    }
                }
                match pieces.next() {
                    None => return Ok(None),
                    Some(Piece::Bytes(bytes)) => {
                        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        return Ok(Some((Bytes::from(bytes), (pieces, None))));
                    }
                    Some(Piece::File(path)) => open = Some(fs_err::File::open(path)?),
                }
            }
        }
    })
}

/// Why an image cannot be run that was loaded: with the containerd image store, an engine tells that and succeeds.
fn not_unpacked(told: &str) -> Option<&str> {
    let (_, why) = told.strip_prefix("Error unpacking image ")?.split_once(": ")?;
    Some(why.trim_end())
}

/// What keeps this user from the engine: what the system says, without what it went through on its way here.
fn unreachable(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |inner| inner.source());
    match causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last() {
        Some(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            format!("{error}, which members of the group docker and root do not get")
        }
        Some(error) => error.to_string(),
        None => reason(error),
    }
}

/// An error's own words, and those of what caused it.
fn reason(error: &Error) -> String {
    let mut text = match error {
        Error::DockerStreamError { error } => error.clone(),
        Error::DockerResponseServerError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

fn refused(reason: &str) -> Fatal {
    if reason.contains("no space left on device") {
        return Fatal::new(
            "The Docker Engine could not load the image: its disk is full. Free some space there (docker system prune), \
             and try again.",
        );
    }
    Fatal::new(format!(
        "The Docker Engine could not load the image: {}. Nothing was kept of it; see to the engine and try again.",
        reason.trim_end_matches('.')
    ))
}
