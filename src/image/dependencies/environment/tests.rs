//! Environments as files say that they are; real ones are packaged by the integration tests.

use std::{fs, path::Path};

use super::{
    Environment,
    distribution::Place,
    distribution::Recorded,
    paths::{has_system_packages, replace, translate},
};

const PACKAGES: &str = "lib/python3.11/site-packages";

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.write("app/app.py", "");
        made.write("venv/lib/python3.11/site-packages/six.py", "");
        made.distribution("six-1.0", "", "six.py,sha256=x,0\n__pycache__/six.cpython-311.pyc,,\n../../../bin/six,,\n");
        made.write("venv/bin/six", "");
        made
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn distribution(&self, name: &str, metadata: &str, record: &str) {
        let folder = format!("venv/lib/python3.11/site-packages/{name}.dist-info");
        self.write(&format!("{folder}/METADATA"), &format!("Name: x\n{metadata}\n\nRequires-Dist: no\n"));
        self.write(&format!("{folder}/RECORD"), &format!("{record}{name}.dist-info/RECORD,,\n"));
    }

    fn read(&self) -> Result<Environment, String> {
        let prefix = self.folder.path().join("venv");
        let packages = prefix.join("lib/python3.11/site-packages");
        let app = self.folder.path().join("app");
        Environment::read("venv".to_owned(), &prefix, &packages, &app).map_err(|error| error.to_string())
    }

    fn places(&self) -> Vec<String> {
        let environment = self.read().unwrap();
        let places = environment.files.keys().chain(environment.texts.keys());
        places.map(|place| place.strip_prefix(PACKAGES).unwrap_or(place).display().to_string()).collect()
    }

    fn text(&self, name: &str) -> String {
        self.read().unwrap().texts[&Path::new(PACKAGES).join(name)].clone()
    }
}

#[test]
fn what_is_recorded_goes_along_and_installers_do_not() {
    let made = Made::new();
    made.distribution("pip-1", "Requires-Dist: setuptools", "");
    made.distribution("setuptools-1", "", "distutils-precedence.pth,,\n");
    made.write("venv/lib/python3.11/site-packages/distutils-precedence.pth", "import os; x\n");
    made.write("venv/lib/python3.11/site-packages/_virtualenv.pth", "import _virtualenv\n");
    made.write("venv/lib/python3.11/site-packages/loose.py", "");
    made.distribution("bare-1", "", "bare.pyc,,\n");
    made.write("venv/lib/python3.11/site-packages/bare.pyc", "");
    made.distribution(
        "six-1.0",
        "",
        "six.py,sha256=x,0\nsix.pyc,,\n__pycache__/six.cpython-311.pyc,,\n../../../bin/six,,\n",
    );
    made.distribution("rwsgi-1", "", "../../../bin/rwsgi,,\n");
    assert_eq!(made.places(), ["bin/six", "bare.pyc", "six.py", "bare-1.dist-info/RECORD", "six-1.0.dist-info/RECORD"]);
    let record = made.text("six-1.0.dist-info/RECORD");
    assert_eq!(record, "six.py,sha256=x,0\n../../../bin/six,,\nsix-1.0.dist-info/RECORD,,\n");
    made.distribution("needs-1", "Requires-Dist: setuptools >= 40\nRequires-Dist: wheel; extra == 'x'", "");
    assert!(made.places().iter().any(|place| place == "distutils-precedence.pth"));
}

#[test]
fn what_is_not_there_cannot_go_along() {
    let made = Made::new();
    fs::remove_file(made.folder.path().join("venv/bin/six")).unwrap();
    assert!(made.read().unwrap_err().starts_with("venv has six without its file "));
    let made = Made::new();
    made.distribution("out-1", "", "/etc/out.conf,,\n");
    assert!(made.read().unwrap_err().starts_with("venv has out, which put /etc/out.conf outside"));
    let made = Made::new();
    made.write("venv/lib/python3.11/site-packages/old-1-py3.11.egg-info/PKG-INFO", "");
    assert!(made.read().unwrap_err().starts_with("venv has old without a record"));
    let made = Made::new();
    made.write("venv/lib/python3.11/site-packages/new-1.dist-info/METADATA", "");
    assert!(made.read().unwrap_err().starts_with("venv has new without a record"));
}

#[test]
fn what_is_edited_goes_along_where_it_is_the_app() {
    let made = Made::new();
    let app = made.folder.path().join("app");
    let finder = "__editable___shop_1_finder.py";
    made.distribution(
        "shop-1",
        "",
        &format!("__editable__.shop-1.pth,,\n{finder},,\nshop-1.dist-info/direct_url.json,,\n"),
    );
    let packages = "venv/lib/python3.11/site-packages";
    let url =
        |folder: &Path| format!("{{\"url\": \"file://{}\", \"dir_info\": {{\"editable\": true}}}}", folder.display());
    made.write(&format!("{packages}/shop-1.dist-info/direct_url.json"), &url(&app));
    made.write(&format!("{packages}/__editable__.shop-1.pth"), &format!("{}\n", app.join("src").display()));
    made.write("app/src/shop.py", "");
    made.write(&format!("{packages}/{finder}"), &format!("MAPPING = {{'shop': '{}/shop'}}\n", app.display()));
    assert_eq!(made.text("__editable__.shop-1.pth"), "/app/src\n");
    assert_eq!(made.text(finder), "MAPPING = {'shop': '/app/shop'}\n");
    // Other backends have other names.
    for module in ["_editable_impl_shop.py", "_shop_editable.py"] {
        let record = format!("{module},,\nshop-1.dist-info/direct_url.json,,\n");
        made.distribution("shop-1", "", &record);
        made.write(&format!("{packages}/{module}"), &format!("map('shop', \"{}/shop.py\", '/')\n", app.display()));
        assert_eq!(made.text(module), "map('shop', \"/app/shop.py\", '/')\n");
        let elsewhere = made.folder.path().join("venv/bin");
        made.write(&format!("{packages}/{module}"), &format!("map('shop', '{}')\n", elsewhere.display()));
        let error = made.read().unwrap_err();
        let said = format!("{module} leads to {}, which would stay on this machine", elsewhere.display());
        assert!(error.starts_with("venv has shop in editable mode (-e): ") && error.contains(&said), "{error}");
        made.write(&format!("{packages}/{module}"), "");
    }
    assert!(!made.places().iter().any(|place| place.contains("direct_url")));
    made.write(&format!("{packages}/shop-1.dist-info/direct_url.json"), &url(Path::new("/src/shop")));
    let error = made.read().unwrap_err();
    assert!(error.starts_with("venv has shop in editable mode (-e): its files are in /src/shop, outside"), "{error}");
    // Where pip puts what comes from a repository.
    let inner = app.join(".venv/src/shop");
    made.write("app/.venv/src/shop/shop.py", "");
    made.write(&format!("{packages}/shop-1.dist-info/direct_url.json"), &url(&inner));
    made.read().unwrap();
    made.write("app/.venv/pyvenv.cfg", "");
    let error = made.read().unwrap_err();
    let said = format!("{}, in a virtual environment, and would stay on this machine", inner.display());
    assert!(error.contains(&said), "{error}");
    // The app's folder may be one itself.
    fs::rename(app.join(".venv/pyvenv.cfg"), app.join("pyvenv.cfg")).unwrap();
    made.read().unwrap();
}

#[test]
fn paths_by_hand_are_translated_or_refused() {
    let made = Made::new();
    let packages = "venv/lib/python3.11/site-packages";
    made.write(
        &format!("{packages}/dev.pth"),
        &format!("# mine\n{}\n/nonexistent\n", made.folder.path().join("app").display()),
    );
    assert_eq!(made.text("dev.pth"), "# mine\n/app\n/nonexistent\n");
    made.write(&format!("{packages}/dev.pth"), "\n/usr\n");
    assert!(made.read().unwrap_err().contains("dev.pth leads to /usr, which is not in the app's folder"));
    made.write(&format!("{packages}/dev.pth"), "import os; os.abort()\n");
    assert!(made.read().unwrap_err().contains("dev.pth belongs to no package and runs code"));
    let inner = translate("sub\n./other\n", &made.folder.path().join(packages).join("x.pth"), Path::new("/app"));
    assert_eq!(inner.unwrap(), "sub\n./other\n", "what does not exist stays as it is");
}

#[test]
fn records_and_paths_are_read_as_they_are_written() {
    let line = |path: &str| Recorded::of(&format!("{path},sha256=x,1")).unwrap();
    let place = |path: &str| line(path).place(Path::new("/v/lib/python3.11/site-packages"), Path::new("/v"));
    assert_eq!(place("a/b.py"), Place::Inside("lib/python3.11/site-packages/a/b.py".into()));
    assert_eq!(place("a/../b.py"), Place::Inside("lib/python3.11/site-packages/b.py".into()));
    assert_eq!(place("../../../bin/a"), Place::Inside("bin/a".into()));
    assert_eq!(place("/v/share/a"), Place::Inside("share/a".into()));
    assert_eq!(place("../../../../a"), Place::Elsewhere);
    assert_eq!(place("a/__pycache__/b.pyc"), Place::Nowhere);
    assert_eq!(line("\"a,b\"\"c.py\"").path, "a,b\"c.py");
    assert_eq!(line("\"a,b.py\"").text(), "\"a,b.py\",sha256=x,1\n");
    assert_eq!(
        replace("'/src/shop' '/src/shop/a' '/src/shopping'", Path::new("/src/shop")),
        "'/app' '/app/a' '/src/shopping'"
    );
    assert!(has_system_packages("home = /usr\ninclude-system-site-packages = TRUE\n"));
    assert!(!has_system_packages("include-system-site-packages = false\n"));
}
