//! What the app's own files and local packages bring along: libraries, byte code, commands.

use std::{path::Path, process::Command};

use super::{
    engine::{Image, dockerize, unique},
    folder,
};
use crate::support::environment::{run, rwsgi};

/// Makes a module without its source, and a wheel with data files and with commands, one of which is called as the image's own.
pub const MAKE: &str = "import os, py_compile, zipfile\n\
    py_compile.compile('bare.py', 'bare.pyc', invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n\
    os.remove('bare.py')\n\
    info = 'own-1.dist-info/'\n\
    files = {'own/__init__.py': 'from own.deep import n\\n', 'own/deep.pyc': open('bare.pyc', 'rb').read(),\n\
    'own-1.data/scripts/rwsgi': '#!python\\nprint(1)\\n', 'own-1.data/scripts/python3': '#!python\\nprint(1)\\n',\n\
    'own-1.data/scripts/hello': '#!python\\nprint(\"hello\")\\n',\n\
    'own-1.data/data/lib/own.so.1': 'l', 'own-1.data/data/share/own/x': 's', 'own-1.data/data/etc/own.ini': 'e',\n\
    info + 'METADATA': 'Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n',\n\
    info + 'WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}\n\
    files[info + 'RECORD'] = ''.join(name + ',,\\n' for name in files) + info + 'RECORD,,\\n'\n\
    with zipfile.ZipFile('own-1-py3-none-any.whl', 'w') as wheel:\n\
    \x20   for name, content in files.items(): wheel.writestr(zipfile.ZipInfo(name), content)\n";

/// Prints what the wheel's data files hold, and what of it is on record and not there.
pub const DATA: &str = "import sys, importlib.metadata as m\n\
    print(*(open(sys.prefix + '/' + name).read() for name in ('lib/own.so.1', 'share/own/x', 'etc/own.ini')))\n\
    names = [str(file) for file in m.files('own')]\n\
    print([n for n in names if 'direct_url' in n or not m.distribution('own').locate_file(n).exists()])\n";

/// Compiles a shared library that needs `needs`, which is in `far` as well as the result, unless it is to be in `to`.
fn library(far: &Path, to: &Path, name: &str, source: &str, needs: Option<&str>) {
    let file = far.join(format!("{name}.c"));
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(to.join(format!("lib{name}.so"))).arg(&file);
    command.arg("-L").arg(far).arg(format!("-Wl,-rpath,{}", far.display()));
    command.args(needs.map(|needs| format!("-l{needs}")));
    run(&mut command);
}

#[test]
fn what_no_parser_takes_is_a_file_like_others() {
    let deep = format!("n = {}1\n", "-".repeat(20_000));
    let app = "def app(environ, start_response):\n    import wsgi\n";
    let image = Image::of(folder::with(&[("app.py", app), ("wsgi.py", &deep)]).path(), &[]);
    assert_eq!(image.python("import app, os; print(app.app.__name__, os.path.exists('wsgi.py'))"), "app True");
}

#[test]
fn a_package_in_the_apps_folder_is_built_without_a_trace() {
    let setup =
        "from setuptools import setup\nsetup(name='shop', version='1', py_modules=['shop'], package_dir={'': 'src'})\n";
    let files = [("app.py", "import shop\napp = print\n"), ("setup.py", setup), ("src/shop.py", "n = 1\n")];
    let folder = folder::with(&files);
    folder::write(folder.path(), "requirements.txt", ".\n");
    let files = || {
        let entries = walkdir::WalkDir::new(folder.path()).sort_by_file_name().into_iter();
        entries.map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>()
    };
    let before = files();
    let image = Image::of(folder.path(), &[]);
    assert_eq!(files(), before);
    let code = "import os, shop; print(shop.n, sorted(n for n in os.listdir() if 'cache' not in n))";
    assert_eq!(image.python(code), "1 ['app.py', 'requirements.txt', 'setup.py', 'src']");
    assert_eq!(Image::of(folder.path(), &[]).result["id"], image.result["id"]);

    // What was there before is not this build's to remove.
    folder::write(folder.path(), "build/mine.txt", "");
    let before = files();
    Image::of(folder.path(), &[]);
    assert_eq!(files(), before);
    let broken = setup.replace("version='1'", "version='1', cmdclass={'build_py': 3}");
    folder::write(folder.path(), "setup.py", &broken);
    super::failures::fails(folder.path(), &[], |_| {});
    assert_eq!(files(), before);
}

#[test]
fn a_module_that_its_own_build_makes_is_the_apps() {
    let setup = "from setuptools import setup\nopen('made.py', 'w').write('n = 1\\n')\nsetup(name='shop', version='1', py_modules=[])\n";
    let folder = folder::with(&[("app.py", "import made\napp = print\n"), ("setup.py", setup)]);
    folder::write(folder.path(), "requirements.txt", ".\n");
    let image = Image::of(folder.path(), &[]);
    assert_eq!(image.python("import made, os; print(made.n, os.path.exists('made.py'))"), "1 True");
}

#[test]
fn libraries_byte_code_and_commands() {
    let far = tempfile::tempdir().unwrap();
    let far = far.path();
    let places = [(); 2].map(|()| {
        folder::with(&[
            ("app.py", "import bare, own\napp = print\n"),
            ("bare.py", "n = 42\n"),
            ("requirements.txt", "./own-1-py3-none-any.whl\n"),
        ])
    });
    for name in ["far", "gone"] {
        library(far, far, name, &format!("int {name}(void) {{ return 42; }}"), None);
    }
    for place in &places {
        let app = place.path();
        library(far, app, "near", "int far(void); int near(void) { return far(); }", Some("far"));
        library(far, app, "lacking", "int gone(void); int lacking(void) { return gone(); }", Some("gone"));
        run(Command::new(rwsgi()).args(["python", "-c", MAKE]).current_dir(app));
    }
    library(far, far, "tool", "int far(void); int tool(void) { return far(); }", Some("far"));
    std::fs::remove_file(far.join("libgone.so")).unwrap();
    let copy = format!("{}:/data/", far.join("libtool.so").display());

    let image = Image::of(places[0].path(), &["--copy", &copy]);
    assert!(image.stderr.contains("Warning: liblacking.so needs libgone.so, which this machine does not have"));
    assert!(image.stderr.contains("without the command rwsgi of a dependency"), "{}", image.stderr);
    let code = "import ctypes, subprocess, bare, own\n\
        call = lambda path, name: getattr(ctypes.CDLL(path), name)()\n\
        print(call('/app/libnear.so', 'near'), call('/data/libtool.so', 'tool'), bare.n, own.n)\n\
        run = lambda *words: subprocess.run(words, capture_output=True, text=True).stdout.strip()\n\
        print(run('hello'), run('rwsgi', '--version')[:5], run('python3', '-c', 'print(3)'))\n";
    assert_eq!(image.python(code), "42 42 42 42\nhello rwsgi 3");
    assert_eq!(image.python(DATA), "l s e\n[]");

    let tar = far.join("image.tar");
    let arguments = ["--copy", &copy, "--json", "--output", tar.to_str().unwrap()];
    let output = dockerize(places[1].path(), &image.name, &arguments).output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["id"], image.result["id"], "the same from another folder");
}

#[test]
fn a_library_is_looked_for_where_this_machine_is_told_to() {
    let (far, folder) = (tempfile::tempdir().unwrap(), folder::with(&[("app.py", "app = print\n")]));
    library(far.path(), far.path(), "hidden", "int hidden(void) { return 42; }", None);
    let source = far.path().join("shown.c");
    std::fs::write(&source, "int hidden(void); int shown(void) { return hidden(); }").unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(folder.path().join("libshown.so")).arg(source);
    run(command.arg("-L").arg(far.path()).arg("-lhidden"));
    let place = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    for (place, is_found) in [(place.clone(), false), (format!("{place}:{}", far.path().display()), true)] {
        let output = dockerize(folder.path(), &unique("looked"), &["--json"]).env("LD_LIBRARY_PATH", place).output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert_eq!(!stderr.contains("libshown.so needs libhidden.so"), is_found, "{stderr}");
    }
}
