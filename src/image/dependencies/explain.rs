//! What an installer printed when it failed, in one sentence that says where the fault is.

use std::path::Path;

use super::declared::Declared;
use crate::exit::Fatal;
use crate::image::disk;

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
        let package = package.trim_matches(['`', '\'']);
        return Fatal::new(format!(
            "{}{package}, which has no ready-made package for Python {version} here, and building it from source \
             failed. Run pip install {package} to see why, or ask for another version.",
            asks(package)
        ));
    }
    if stderr.contains("DO NOT MATCH THE HASHES") {
        let package =
            stderr.lines().skip_while(|line| !line.contains("DO NOT MATCH")).nth(1).unwrap_or_default().trim();
        let package = package.split([' ', ':']).next().unwrap_or(package);
        return Fatal::new(format!(
            "{}{package} with a hash that is not the hash of what the package index has. If the file was changed \
             on purpose, correct the hash; if not, do not install it.",
            asks(package)
        ));
    }
    if stderr.contains("--require-hashes mode") {
        let package = after("    ").and_then(|line| line.split([' ', ';']).next()).unwrap_or("one of them");
        return Fatal::new(format!(
            "{}{package} without a hash, but another line has one, and so all must. Add it, or leave all hashes out.",
            asks(package)
        ));
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
    let error =
        after("ERROR: ").or_else(|| after("error: ")).or_else(|| stderr.lines().last()).unwrap_or("no reason given");
    Fatal::new(format!(
        "The dependencies in {} cannot be installed: {}. Correct it.",
        declared.file(),
        error.trim_end_matches('.')
    ))
}

/// What pip and uv say of requirements that exclude each other.
fn conflict(stderr: &str) -> Option<String> {
    if let Some((_, rest)) = stderr.split_once("The conflict is caused by:") {
        let claims: Vec<_> = rest.lines().map(str::trim).skip(1).take_while(|line| !line.is_empty()).collect();
        return (!claims.is_empty()).then(|| claims.join(", "));
    }
    let (_, rest) = stderr.split_once("No solution found when resolving dependencies")?;
    let words: Vec<_> = rest.trim_start_matches([':', ' ']).split_whitespace().filter(|word| *word != "╰─▶").collect();
    Some(words.join(" ").trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::image::dependencies::declared::Declared;

    #[test]
    fn an_installer_is_boiled_down_to_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("requirements.txt"),
            "flask==99\n# more\nnonesuch\na b\nx==1 --hash=sha256:0\n",
        )
        .unwrap();
        for (stderr, sentence) in [
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
                 registry, it fails.\n",
                "The dependencies in requirements.txt do not go together: Because nonesuch was not found in the package \
                 registry, it fails. Correct it.",
            ),
        ] {
            assert_eq!(explain(stderr, &Declared::Requirements, folder.path(), "3.11").to_string(), sentence);
        }
        let full =
            explain("OSError: [Errno 28] No space left on device", &Declared::Requirements, folder.path(), "3.11");
        assert!(full.to_string().contains("is full"));
    }
}
