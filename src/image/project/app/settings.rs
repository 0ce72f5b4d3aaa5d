//! What of a `gunicorn.conf.py` keeps a container from starting, as far as literals in it show. It is not run here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::configuration::{FILE, options_move};
use crate::{
    exit::Fatal,
    image::{
        cache::{Cache, Key},
        choices::Choices,
        interpreter::Interpreter,
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{USER, normal},
    },
    settings::{CMD_ARGS, ConfigFile, Settings, Sources, Value, all},
};

const KIND: &str = "settings";
const FIND: &str = include_str!("../../../../python/find_settings.py");
/// What the machine has a say in, or other settings; so have they in those of HTTP/2.
const LEFT_TO_THE_START: [&str; 3] = ["user", "group", "keyfile"];
const OF_HTTP: &str = "http";
/// The settings of files that are written, and of files and folders that must be there.
const WRITTEN: [&str; 3] = ["errorlog", "accesslog", "pidfile"];
const READ: [&str; 4] = ["certfile", "keyfile", "ca_certs", "chdir"];
/// Where a container can write, or has what an image does not.
const ELSEWHERE: [&str; 4] = ["/tmp", "/dev", "/proc", "/run/secrets"];

/// Refuses settings in `folder` that the server refuses, and warns of files that the image lacks or that cannot be written.
///
/// # Errors
/// The first of them, in the server's words.
pub fn check(
    folder: &Path,
    choices: &Choices,
    (interpreter, cache): (&Interpreter, &Cache),
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(), Fatal> {
    let file = folder.join(FILE);
    let options = |name: &&str| choices.environment.get(*name);
    if !file.is_file() || CMD_ARGS.iter().filter_map(options).any(|options| options_move(options)) {
        return Ok(());
    }
    let content = fs_err::read(&file).map_err(|error| disk::unreadable(Path::new(FILE), &error))?;
    let key = Key::default().with(&interpreter.facts.full_version).with(FIND).with(content);
    let known = cache.bytes(KIND, &key).and_then(|text| String::from_utf8(text).ok());
    let text = if let Some(text) = known {
        text
    } else {
        let text = interpreter.script(FIND, &[file], Vec::new(), cancel)?;
        cache.keep_bytes(KIND, &key, text.as_bytes());
        text
    };
    let values: BTreeMap<String, Value> =
        serde_json::from_str(&text).map_err(|error| Fatal::new(format!("{FILE} cannot be looked into: {error}.")))?;
    if let Some(broken) = values.get("").and_then(Value::text) {
        return Err(Fatal::new(format!("A container would end at its start: {FILE}, {broken}. Correct it.")));
    }
    for (name, value) in &values {
        if !LEFT_TO_THE_START.contains(&name.as_str()) && !name.starts_with(OF_HTTP) {
            accepts(name, value).map_err(|error| Fatal::new(format!("A container would end at its start: {error}")))?;
        }
        if LEFT_TO_THE_START[..2].contains(&name.as_str()) && !is_own(value) {
            progress.warning(&format!(
                "{name} (from {FILE}) is {value}, and a container runs as {USER}, which cannot become another, so it will not \
                 start. Leave it out."
            ));
        }
        let place = value.text().filter(|path| *path != "-").map(|path| normal(&Path::new("/app").join(path)));
        if let Some(place) = place.filter(|place| !may_be(place, choices)) {
            warn(name, &place, folder, progress);
        }
    }
    Ok(())
}

/// Whether the server, in a container, takes this value from its configuration file.
fn accepts(name: &str, value: &Value) -> Result<(), Fatal> {
    let is_known = all().any(|setting| setting.name_in_file() == name);
    let file = ConfigFile {
        name: FILE.to_owned(),
        values: [(name.to_owned(), value.clone())].into(),
        unknown: if is_known { Vec::new() } else { vec![name.to_owned()] },
        ..ConfigFile::default()
    };
    file.check_names()?;
    if !Settings::resolve(&Sources { file: Some(file), ..Sources::default() })?.daemon {
        return Ok(());
    }
    Err(Fatal::new(format!(
        "daemon (from {FILE}) has the server go on in the background, and a container ends with what it began with. Leave it \
         out."
    )))
}

/// Whether a user or a group is what containers run as.
fn is_own(value: &Value) -> bool {
    *value == Value::None || ["app", &USER.to_string()].contains(&value.to_string().as_str())
}

/// Whether a container may have a file there that can be written to.
fn may_be(place: &Path, choices: &Choices) -> bool {
    let writable = choices.writable.iter().map(|folder| Path::new("/app").join(&**folder));
    let copied = choices.copies.iter().map(|copy| Path::new("/").join(&copy.place));
    writable.chain(copied).chain(ELSEWHERE.map(PathBuf::from)).any(|folder| place.starts_with(folder))
}

fn warn(name: &str, place: &Path, folder: &Path, progress: &dyn Progress) {
    let shown = place.display();
    if WRITTEN.contains(&name) {
        progress.warning(&format!(
            "{name} (from {FILE}) is {shown}, which a container cannot write to, so it will not start. Leave it out (logs: '-' \
             is standard output or error), or mount a volume there."
        ));
    } else if READ.contains(&name)
        && place != Path::new("/")
        && !place.strip_prefix("/app").is_ok_and(|below| folder.join(below).exists())
    {
        progress.warning(&format!(
            "{name} (from {FILE}) is {shown}, which is not in the image, so a container will not start unless it is mounted \
             there."
        ));
    }
}
