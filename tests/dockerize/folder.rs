//! Apps' folders, and the images that several tests share.

use std::{path::Path, sync::OnceLock};

use super::engine::Image;

pub const HELLO: &str =
    "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get(\"/\")\ndef index():\n    return \"Hello\"\n";

/// A folder with these files.
pub fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(folder.path(), path, content);
    }
    folder
}

pub fn write(folder: &Path, path: &str, content: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The smallest Flask app.
pub fn hello() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Image::of(with(&[("app.py", HELLO), ("requirements.txt", "flask\n")]).path(), &[]))
}

/// An app that has no files but a module for the tests, with packages that have compiled parts.
pub fn packages() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let requirements = "numpy\npillow\ncryptography\npsycopg[binary]\nlxml\nrequests\nhttpbin\n";
        let spawned = "import multiprocessing\n\n\ndef double(number):\n    return 2 * number\n\n\n\
                       if __name__ == \"__main__\":\n    with multiprocessing.get_context(\"spawn\").Pool(2) as pool:\n        \
                       print(pool.map(double, [1, 2, 3]))\n";
        let folder = with(&[("requirements.txt", requirements), ("spawned.py", spawned)]);
        Image::of(folder.path(), &["--app", "httpbin:app"])
    })
}
