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
        let package = package.split_whitespace().next().unwrap_or(package).trim_matches(['`', '\'']);
        let reason = of_a_program(stderr).map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Fatal::new(format!(
            "{}{package}, which has no ready-made package for Python {version} here, and building it from source \
             failed{reason}. Run pip install {package} to see why, or ask for another version.",
            asks(package)
        ));
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
        let reason = reason.trim_start_matches(':').trim().trim_end_matches('.');
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
        error.trim_end_matches('.')
    ))
}

/// The last thing that a program said which pip started, git or a package's own build; or pip itself, where it has a fault.
fn of_a_program(stderr: &str) -> Option<String> {
    let said = match stderr.split_once("lines of output]").or_else(|| stderr.split_once("line of output]")) {
        Some((_, rest)) => rest.split("[end of output]").next().unwrap_or(rest),
        None => stderr.split_once("ERROR: Exception:")?.1,
    };
    let mut lines = said.lines().map(|line| line.trim().trim_end_matches('.'));
    lines.rfind(|line| !line.is_empty()).map(str::to_owned)
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
mod tests {
    use super::explain;
    use crate::image::dependencies::declared::Declared;

    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("requirements.txt"),
            "flask==99\n# more\nnonesuch\na b\nx==1 --hash=sha256:0\n",
        )
        .unwrap();
        for (stderr, sentence) in cases {
            assert_eq!(explain(stderr, &Declared::Requirements, folder.path(), "3.11").to_string(), *sentence);
        }
    }

    #[test]
    fn what_a_program_said_that_the_installer_started_is_told() {
        check(&[
            (
                "  error: subprocess-exited-with-error\n\n  × Getting requirements to build wheel did not run \
                 successfully.\n  │ exit code: 1\n  ╰─> [3 lines of output]\n      Traceback\n      Exception: Can not find \
                 valid pkg-config name.\n      \n      [end of output]\n\n  note: This error originates from a \
                 subprocess, and is likely not a problem with pip.\nERROR: Failed to build 'x' when getting\n",
                "Line 5 of requirements.txt asks for x, which has no ready-made package for Python 3.11 here, and building it \
                 from source failed (Exception: Can not find valid pkg-config name). Run pip install x to see why, or ask \
                 for another version.",
            ),
            (
                "  error: subprocess-exited-with-error\n\n  × git clone --filter=blob:none --quiet https://x/y.git z did not \
                 run successfully.\n  │ exit code: 128\n  ╰─> [1 line of output]\n      fatal: unable to access \
                 'https://x/y.git/': Could not resolve host: x\n      [end of output]\n\n  note: This error originates \
                 from a subprocess, and is likely not a problem with pip.\n",
                "The dependencies in requirements.txt cannot be installed: fatal: unable to access 'https://x/y.git/': Could \
                 not resolve host: x. Correct that, or ask for another version; python3.11 -m pip install -r \
                 requirements.txt says more.",
            ),
            (
                "ERROR: Exception:\nTraceback (most recent call last):\n  x\nUnicodeDecodeError: 'utf-8' codec\n",
                "The dependencies in requirements.txt cannot be installed: UnicodeDecodeError: 'utf-8' codec. Correct that, \
                 or ask for another version; python3.11 -m pip install -r requirements.txt says more.",
            ),
        ]);
        let of_a_project = explain("ERROR: Exception:\n  x\n", &Declared::Project(Vec::new()), "x".as_ref(), "3.11");
        assert!(of_a_project.to_string().ends_with("python3.11 -m pip install . says more."), "{of_a_project}");
    }

    #[test]
    fn an_installer_is_boiled_down_to_one_sentence() {
        check(&[
            (
                "ERROR: Could not find a version that satisfies the requirement nonesuch (from versions: none)\n\
                 ERROR: No matching distribution found for nonesuch\n",
                "Line 3 of requirements.txt asks for nonesuch, but the package index has nothing of that name for Python 3.11. \
                 Correct it.",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement flask==99 (from versions: 2.0, 3.1.3)\n\
                 ERROR: No matching distribution found for flask==99\n",
                "Line 1 of requirements.txt asks for flask==99, but the package index has no such version for Python 3.11 \
                 (its latest is 3.1.3). Correct it.",
            ),
            (
                "ERROR: No matching distribution found for deep<1 (from nonesuch)\n",
                "What requirements.txt asks for needs deep<1, but the package index has nothing of that name for Python \
                 3.11. Correct it.",
            ),
            (
                "ERROR: Invalid requirement: 'a b': Expected end\n    a b\n      ^ (from line 4 of /x/requirements.txt)\n",
                "Line 4 of requirements.txt is not a requirement: a b (Expected end). Correct it.",
            ),
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you...\n    x==1 from \
                 https://x (from -r r.txt (line 5)):\n        Expected sha256 0\n",
                "Line 5 of requirements.txt asks for x==1 with a hash that is not the hash of what the package index has. If \
                 the file was changed on purpose, correct the hash; if not, do not install it.",
            ),
            (
                "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements.\n    \
                 nonesuch==1 from file:///x.whl (from -r r.txt (line 3)) --hash=sha256:0\n",
                "Line 3 of requirements.txt asks for nonesuch==1 without a hash, but another line has one, and so all must. \
                 Add it, or leave all hashes out.",
            ),
            (
                "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n\n\
                 The conflict is caused by:\n    a 1 depends on c<1\n    b 2 depends on c>=1\n\nTo fix this\n",
                "The dependencies in requirements.txt do not go together: a 1 depends on c<1, b 2 depends on c>=1. Correct it.",
            ),
            (
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because nonesuch was not found in the package\n      \
                 registry and you require nonesuch, we can conclude that your\n      requirements are unsatisfiable.\n",
                "Line 3 of requirements.txt asks for nonesuch, but the package index has nothing of that name for Python 3.11. \
                 Correct it.",
            ),
            (
                "error: No solution found when resolving dependencies\n  cause: Because there is no version of flask==99 and \
                 you require flask==99, we can conclude that your requirements are unsatisfiable.\n",
                "Line 1 of requirements.txt asks for flask==99, but the package index has no such version for Python 3.11. \
                 Correct it.",
            ),
            (
                "error: No solution found when resolving dependencies\n  cause: Because you require six<1 and six>=1, we \
                 can conclude that your requirements are unsatisfiable.\n",
                "The dependencies in requirements.txt do not go together: you require six<1 and six>=1. Correct it.",
            ),
            (
                "error: Couldn't parse requirement in `requirements.txt` at position 0\n  cause: Expected one of `@`, found \
                 `b`\n         a b\n           ^\n",
                "Line 4 of requirements.txt is not a requirement: a b (Expected one of `@`, found `b`). Correct it.",
            ),
            (
                "error: Failed to download `x==1`\n  cause: Hash mismatch for `x==1`\n\n         Expected:\n",
                "Line 5 of requirements.txt asks for x==1 with a hash that is not the hash of what the package index has. If \
                 the file was changed on purpose, correct the hash; if not, do not install it.",
            ),
            (
                "error: In `--require-hashes` mode, all requirements must have their versions pinned with `==`, but found: \
                 nonesuch\n",
                "Line 3 of requirements.txt asks for nonesuch without a hash, but another line has one, and so all must. \
                 Add it, or leave all hashes out.",
            ),
        ]);
        let full =
            explain("OSError: [Errno 28] No space left on device", &Declared::Requirements, "x".as_ref(), "3.11");
        assert!(full.to_string().contains("is full"));
    }
}
