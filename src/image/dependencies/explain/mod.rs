//! What an installer printed when it failed, in one sentence that says where the fault is.

use std::path::Path;

use super::declared::Declared;
use crate::{exit::Fatal, image::job::disk};

const UNREACHABLE: [&str; 6] = [
    "NewConnectionError",
    "ConnectTimeoutError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "error trying to connect",
    "error sending request for url",
];

/// The error for what pip or uv printed while it installed what `declared` in `folder` says, for a `version` of Python.
pub fn explain(stderr: &str, declared: &Declared, folder: &Path, version: &str) -> Fatal {
    let after = |marker: &str| stderr.lines().find_map(|line| line.split_once(marker).map(|(_, rest)| rest.trim()));
    let asks = |wanted: &str| match declared.place(folder, wanted) {
        Some(place) => format!("{place} asks for "),
        None => format!("What {} asks for needs ", declared.file()),
    };
    if stderr.contains("No space left on device") {
        return disk::full("install the dependencies");
    }
    if UNREACHABLE.iter().any(|sign| stderr.contains(sign)) {
        return Fatal::new(
            "The package index cannot be reached. Check the network and pip's index settings (pip config list), and try \
             again.",
        );
    }
    if let Some((address, said)) = of_git(stderr) {
        let place = declared.place(folder, &address).unwrap_or_else(|| format!("What {} asks for", declared.file()));
        return Fatal::new(format!(
            "{place} is to come from {address}, and git cannot get it: {said}. Correct the line, or see to the network and to who \
             may read there."
        ));
    }
    if let Some(requirement) = after("No matching distribution found for ") {
        let requirement = requirement.split(" (from ").next().unwrap_or(requirement);
        let versions = after("(from versions: ").map(|list| list.trim_end_matches(')'));
        let why = match versions {
            None | Some("" | "none") => format!("the package index has nothing of that name for Python {version}"),
            Some(versions) => {
                let latest = versions.rsplit(", ").next().unwrap_or(versions);
                format!("the package index has no such version for Python {version} (its latest is {latest})")
            }
        };
        return Fatal::new(format!("{}{requirement}, but {why}. Correct it.", asks(requirement)));
    }
    if let Some(package) = after("Failed building wheel for ").or_else(|| after("Failed to build ")) {
        return unbuilt(package, stderr, (declared, folder), &asks, version);
    }
    let mismatch = stderr.lines().skip_while(|line| !line.contains("DO NOT MATCH THE HASHES")).nth(1).map(str::trim);
    if let Some(package) = mismatch.or_else(|| after("Hash mismatch for `")) {
        let package = package.split([' ', ':', '`']).next().unwrap_or(package);
        return Fatal::new(format!(
            "{}{package} with a hash that is not the hash of what the package index has. If the file was changed \
             on purpose, correct the hash; if not, do not install it.",
            asks(package)
        ));
    }
    let hashless =
        after("mode, all requirements must have").and_then(|rest| rest.rsplit_once(": ")).map(|(_, last)| last);
    if stderr.contains("--require-hashes mode") || hashless.is_some() {
        let package = hashless.or_else(|| after("    ")).and_then(|line| line.split([' ', ';']).next());
        let package = package.unwrap_or("one of them");
        return Fatal::new(format!(
            "{}{package} without a hash, but another line has one, and so all must. Add it, or leave all hashes out.",
            asks(package)
        ));
    }
    if let Some(unsolved) = unsolved(stderr) {
        return unsolvable(&unsolved, declared, &asks, version);
    }
    if let Some(reason) = after("Couldn't parse requirement").and_then(|_| after("cause: ")) {
        let wanted = stderr.lines().skip_while(|line| !line.contains("cause: ")).nth(1).unwrap_or_default().trim();
        let place = declared.place(folder, wanted).unwrap_or_else(|| declared.file().to_owned());
        return Fatal::new(format!("{place} is not a requirement: {wanted} ({reason}). Correct it."));
    }
    if let Some(reason) = after("Invalid requirement: ") {
        let (wanted, reason) = reason.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).unwrap_or((reason, ""));
        let reason = reason.split("(from line ").next().unwrap_or(reason);
        let reason = reason.trim_start_matches(':').trim().trim_end_matches('.');
        let hint =
            after("Hint: ").unwrap_or_default().trim_start_matches("It looks like a path. ").trim_end_matches('.');
        let reason = if reason.is_empty() { hint } else { reason };
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let place = declared.place(folder, wanted).unwrap_or_else(|| declared.file().to_owned());
        return Fatal::new(format!("{place} is not a requirement: {wanted}{reason}. Correct it."));
    }
    if let Some(conflict) = conflict(stderr) {
        return Fatal::new(format!(
            "The dependencies in {} do not go together: {conflict}. Correct it.",
            declared.file()
        ));
    }
    if let Some(reason) = of_a_program(stderr) {
        let what = if *declared == Declared::Requirements { "-r requirements.txt" } else { "." };
        return Fatal::new(format!(
            "The dependencies in {} cannot be installed: {reason}. Correct that, or ask for another version; \
             python{version} -m pip install {what} says more.",
            declared.file()
        ));
    }
    let error =
        after("ERROR: ").or_else(|| after("error: ")).or_else(|| stderr.lines().last()).unwrap_or("no reason given");
    Fatal::new(format!(
        "The dependencies in {} cannot be installed: {}. Correct it.",
        declared.file(),
        error.split(" (from ").next().unwrap_or(error).trim_end_matches('.')
    ))
}

/// The error for a `package` whose own build failed.
fn unbuilt(
    package: &str,
    stderr: &str,
    (declared, folder): (&Declared, &Path),
    asks: &dyn Fn(&str) -> String,
    version: &str,
) -> Fatal {
    let package = package.split_whitespace().next().unwrap_or(package).trim_matches(['`', '\'']);
    let reason = of_a_program(stderr).map(|reason| format!(" ({reason})")).unwrap_or_default();
    // The package index may have another package of that name than a folder or an address that the list has.
    if let Some((place, own)) = declared.elsewhere(folder, package) {
        return Fatal::new(format!(
            "{place} asks for {own}, and building it failed{reason}. Run python{version} -m pip install {own} in the app's \
             folder to see why."
        ));
    }
    Fatal::new(format!(
        "{}{package}, which has no ready-made package for Python {version} here, and building it from source \
         failed{reason}. Run pip install {package} to see why, or ask for another version.",
        asks(package)
    ))
}

/// The address that git was to clone, and what it said of that.
fn of_git(stderr: &str) -> Option<(String, String)> {
    const RUN: &str = "Running command git ";
    if !stderr.lines().any(|line| line.trim_start().starts_with("× git ")) {
        return None;
    }
    let clone = stderr.lines().rev().find_map(|line| line.split_once("git clone "))?.1;
    let address = clone.split(' ').find(|word| !word.starts_with('-'))?.trim_matches('\'').to_owned();
    let said = of_a_program(stderr).or_else(|| {
        let lines = stderr.rsplit_once(RUN)?.1.lines().skip(1).map(str::trim);
        let lines: Vec<_> = lines.take_while(|line| !line.contains("subprocess-exited-with-error")).collect();
        let fatal = lines.iter().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
        Some(fatal.or(lines.last())?.trim_end_matches('.').to_owned())
    })?;
    Some((address, said))
}

/// What a program said which pip started, git or a package's own build; or pip itself, where it has a fault. That is the first
/// error of a compiler's, which others follow, or else the last thing.
fn of_a_program(stderr: &str) -> Option<String> {
    let said = match stderr.split_once("lines of output]").or_else(|| stderr.split_once("line of output]")) {
        Some((_, rest)) => rest.split("[end of output]").next().unwrap_or(rest),
        None => stderr.split_once("ERROR: Exception:")?.1,
    };
    let mut lines = said.lines().map(|line| line.trim().trim_end_matches('.'));
    let is_compilers = |line: &&str| [": error: ", ": fatal error: "].iter().any(|sign| line.contains(sign));
    let first = lines.clone().find(is_compilers);
    first.or_else(|| lines.rfind(|line| !line.is_empty())).map(str::to_owned)
}

/// What pip says of requirements that exclude each other.
fn conflict(stderr: &str) -> Option<String> {
    let (_, rest) = stderr.split_once("The conflict is caused by:")?;
    let claims: Vec<_> = rest.lines().map(str::trim).skip(1).take_while(|line| !line.is_empty()).collect();
    (!claims.is_empty()).then(|| claims.join(", "))
}

/// What uv says of requirements that cannot be met, without its conclusion.
fn unsolved(stderr: &str) -> Option<String> {
    let (_, rest) = stderr.split_once("No solution found when resolving dependencies")?;
    let rest = rest.split("hint:").next().unwrap_or(rest);
    let words: Vec<_> = rest.split_whitespace().filter(|word| ![":", "╰─▶", "cause:"].contains(word)).collect();
    let text = words.join(" ");
    let text = text.trim_start_matches("Because ").trim_end_matches('.');
    Some(text.split(", we can conclude that your requirements are").next().unwrap_or(text).to_owned())
}

/// The error for that.
fn unsolvable(unsolved: &str, declared: &Declared, asks: &dyn Fn(&str) -> String, version: &str) -> Fatal {
    let wanted = unsolved.rsplit_once(" you require ").map(|(_, wanted)| wanted);
    if let Some((name, _)) = unsolved.split_once(" was not found in the package registry") {
        let wanted = wanted.filter(|wanted| wanted.starts_with(name)).unwrap_or(name);
        let why = format!("the package index has nothing of that name for Python {version}");
        return Fatal::new(format!("{}{wanted}, but {why}. Correct it.", asks(wanted)));
    }
    if let Some((requirement, _)) =
        unsolved.strip_prefix("there is no version of ").and_then(|it| it.split_once(" and "))
    {
        let why = format!("the package index has no such version for Python {version}");
        return Fatal::new(format!("{}{requirement}, but {why}. Correct it.", asks(requirement)));
    }
    Fatal::new(format!("The dependencies in {} do not go together: {unsolved}. Correct it.", declared.file()))
}

#[cfg(test)]
mod tests;
