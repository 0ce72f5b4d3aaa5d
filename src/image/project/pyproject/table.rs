//! The table `[tool.rwsgi.image]`: its keys are the options of `rwsgi dockerize`.

use std::path::Path;

use super::document::At;
use crate::{
    exit::Fatal,
    image::{
        choices::{self, Choices, Copy, FromVenv, HealthCheck, Said, reference::Invalid},
        filter::ignore::Patterns,
    },
};

/// Every key.
pub const KEYS: [&str; 17] = [
    "tag",
    "app",
    "port",
    "workers",
    "threads",
    "env",
    "label",
    "copy",
    "include",
    "writable",
    "healthcheck",
    "extra",
    "from-venv",
    "python-from",
    "keep",
    "debug",
    "slim",
];

/// What `tool.rwsgi` chooses. Names of files are relative to `folder`.
pub fn choices(ours: &At<'_>, folder: &Path) -> Result<Choices, Fatal> {
    let mut chosen = Choices::default();
    for (name, table) in ours.table()? {
        if name != "image" {
            return Err(table.refuse("is not known; tool.rwsgi has only the table image"));
        }
        for (name, at) in table.table()? {
            choose(&mut chosen, &name, &at, folder)?;
        }
    }
    Ok(chosen)
}

fn choose(chosen: &mut Choices, name: &str, at: &At<'_>, folder: &Path) -> Result<(), Fatal> {
    let refused = |why: String| at.refuse(&format!("cannot be used: {why}"));
    match name {
        "tag" => chosen.tag = Some(at.text()?.parse().map_err(|error: Invalid| refused(shorten(&error)))?),
        "app" => chosen.app = Some(choices::app(at.text()?).map_err(refused)?),
        "port" => chosen.port = Some(number(at, "a port, from 1 to 65535")?),
        "workers" => {
            let text = at.number().map_or_else(|| at.text().map(str::to_owned), |number| Ok(number.to_string()));
            chosen.workers = Some(choices::workers(&text?).map_err(refused)?);
        }
        "threads" => chosen.threads = Some(number(at, "a number from 1")?),
        "env" => chosen.environment.extend(pairs(at, choices::variable)?),
        "label" => chosen.labels.extend(pairs(at, choices::label)?),
        "copy" => {
            for each in at.list()? {
                let copy = Copy::parse(each.text()?, folder);
                let copy = copy.map_err(|why| each.refuse(&format!("cannot be used: {why}")))?;
                chosen.copies.push(Said::on_line(each.line(), copy));
            }
        }
        "include" => {
            for each in at.list()? {
                let pattern = each.text()?;
                Patterns::parse("", pattern)
                    .map_err(|error| each.refuse(&format!("cannot be used: it {}", error.reason())))?;
                chosen.include.push(pattern.to_owned());
            }
        }
        "writable" => {
            for each in at.list()? {
                let folder = choices::writable(each.text()?);
                let folder = folder.map_err(|why| each.refuse(&format!("cannot be used: {why}")))?;
                chosen.writable.push(Said::on_line(each.line(), folder));
            }
        }
        "healthcheck" => {
            chosen.health_check = match at.flag() {
                Some(true) => HealthCheck::Usual,
                Some(false) => HealthCheck::Off,
                None => choices::health_check(at.text()?).map_err(refused)?,
            }
        }
        "extra" => {
            for each in at.list()? {
                chosen.extras.push(Said::on_line(each.line(), each.text()?.to_owned()));
            }
        }
        "from-venv" => {
            let from_venv = match at.flag() {
                Some(true) => FromVenv::InUse,
                Some(false) => FromVenv::No,
                None => FromVenv::Folder(folder.join(at.text()?)),
            };
            chosen.from_venv = Said::on_line(at.line(), from_venv);
        }
        "python-from" => chosen.python_from = Some(Said::on_line(at.line(), folder.join(at.text()?))),
        "keep" => {
            for each in at.list()? {
                let pattern = choices::pattern(each.text()?);
                chosen.keep.push(pattern.map_err(|why| each.refuse(&format!("cannot be used: {why}")))?);
            }
        }
        "slim" => chosen.slim = at.flag().ok_or_else(|| at.refuse("is neither true nor false"))?,
        "debug" => chosen.debug = at.flag().ok_or_else(|| at.refuse("is neither true nor false"))?,
        _ => return Err(at.refuse(&format!("is not known; the table has {}", KEYS.join(", ")))),
    }
    Ok(())
}

/// A number that fits, and is not zero.
fn number<N: TryFrom<i64>>(at: &At<'_>, expected: &str) -> Result<N, Fatal> {
    let number = at.number().filter(|number| *number > 0).and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| at.refuse(&format!("is not {expected}")))
}

fn pairs(
    at: &At<'_>,
    check: impl Fn((String, String)) -> Result<(String, String), String>,
) -> Result<Vec<(String, String)>, Fatal> {
    at.table()?
        .into_iter()
        .map(|(name, value)| {
            let pair = (name, value.text()?.to_owned());
            check(pair).map_err(|why| value.refuse(&format!("cannot be used: {why}")))
        })
        .collect()
}

/// The error's sentence without its end, to which more is added.
fn shorten(error: &Invalid) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}
