//! What installers print, and the sentence that is made of it.

use super::explain;
use crate::image::{dependencies::declared::Declared, project::pyproject::Listed};

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("requirements.txt"),
        "flask==99\n# more\nnonesuch\na b\nx==1 --hash=sha256:0\ngit+https://x/y.git@main\n./libs/cext\n",
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
            "Line 6 of requirements.txt is to come from https://x/y.git, and git cannot get it: fatal: unable to access \
             'https://x/y.git/': Could not resolve host: x. Correct the line, or see to the network and to who may read there.",
        ),
        (
            "  Running command git clone --filter=blob:none --quiet 'https://x/y.git' /tmp/z\n  fatal: repository not found.\n  \
             more\n  error: subprocess-exited-with-error\n\n  × git clone --filter=blob:none --quiet 'https://x/y.git' /tmp/z \
             did not run successfully.\n  │ exit code: 128\n  ╰─> See above for output.\n\nerror: \
             subprocess-exited-with-error\n\n× git clone --filter=blob:none --quiet 'https://x/y.git' /tmp/z did not run \
             successfully.\n",
            "Line 6 of requirements.txt is to come from https://x/y.git, and git cannot get it: fatal: repository not found. \
             Correct the line, or see to the network and to who may read there.",
        ),
        (
            "  error: subprocess-exited-with-error\n  ╰─> [10 lines of output]\n      gcc -c cext.c\n      cext.c:1:10: fatal \
             error: nosuch.h: No such file\n      compilation terminated.\n      error: Command '['gcc', '-c']' returned \
             non-zero exit status 1.\n      [end of output]\n  ERROR: Failed building wheel for cext\n",
            "Line 7 of requirements.txt asks for ./libs/cext, and building it failed (cext.c:1:10: fatal error: nosuch.h: No \
             such file). Run python3.11 -m pip install ./libs/cext in the app's folder to see why.",
        ),
        (
            "ERROR: Exception:\nTraceback (most recent call last):\n  x\nUnicodeDecodeError: 'utf-8' codec\n",
            "The dependencies in requirements.txt cannot be installed: UnicodeDecodeError: 'utf-8' codec. Correct that, \
             or ask for another version; python3.11 -m pip install -r requirements.txt says more.",
        ),
    ]);
    let listed = Listed { requirement: "a ?".to_owned(), line: 5 };
    let stderr = "ERROR: Invalid requirement: 'a ?' (from line 1 of /tmp/rwsgi-image-x/pyproject-dependencies.txt)\nHint: It \
                  looks like a path. File 'a ?' does not exist.\n";
    let said = explain(stderr, &Declared::Project(vec![listed]), "x".as_ref(), "3.11").to_string();
    assert_eq!(said, "Line 5 of pyproject.toml is not a requirement: a ? (File 'a ?' does not exist). Correct it.");
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
    let full = explain("OSError: [Errno 28] No space left on device", &Declared::Requirements, "x".as_ref(), "3.11");
    assert!(full.to_string().contains("is full"));
}
