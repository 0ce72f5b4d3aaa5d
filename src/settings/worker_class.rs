//! Which kinds of workers are understood, and what to use in place of the others.

/// Checks the name of a worker class. An error says why it is refused, and what to do.
pub fn check(name: &str) -> Result<(), String> {
    let class = name.to_ascii_lowercase();
    let understood =
        ["sync", "gthread", "threads", "gunicorn.workers.sync.syncworker", "gunicorn.workers.gthread.threadworker"];
    if understood.contains(&class.trim_start_matches("egg:gunicorn#")) {
        return Ok(());
    }
    Err(if class.contains("gevent") || class.contains("eventlet") {
        "Such a worker replaces the app's threads and sockets by its own. Use --threads N, which handles N requests at \
         a time; idle and slow connections take no thread here."
            .to_owned()
    } else if class.contains("tornado") {
        "Such a worker runs Tornado's own applications. Use Tornado's server for them, and sync or gthread for a WSGI \
         app."
            .to_owned()
    } else if class.contains("asgi") || class.contains("uvicorn") {
        "rwsgi serves WSGI apps only. Use uvicorn for an ASGI app, or a2wsgi to make it a WSGI app.".to_owned()
    } else {
        "rwsgi does not run workers that are written in Python. Use sync or gthread.".to_owned()
    })
}
