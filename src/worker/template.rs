//! A template: the process that loads what workers share, makes workers on command, and calls the hooks of the server.

use std::{os::fd::AsRawFd as _, sync::Arc, thread};

use super::{Hooks, Plan, boot, load, set_environment};
use crate::{
    exit::{Code, Fatal},
    link::{Birth, Command, Commands, Reason, Report},
    python::{self, Interpreter, PyApp, hooks},
    sys::{self, Fork, Signal},
    telemetry,
};

/// What workers are made with.
struct Shared {
    interpreter: Interpreter,
    /// The app, with `preload_app`.
    app: Option<PyApp>,
    hooks: Option<python::Hooks>,
}

/// Loads what workers share, and does what it is told. Returns in each worker that it makes too.
///
/// # Errors
/// What keeps it, or the worker that this is, from serving.
pub fn template(mut plan: Plan, birth: &Birth, mut commands: Commands) -> Result<(), Fatal> {
    sys::set_title(&format!("rwsgi: template [{}]", plan.settings.proc_name.as_deref().unwrap_or(&plan.spec)));
    // Programs that hooks or a preloaded app start must not ignore these.
    sys::disregard(Signal::Int);
    sys::disregard(Signal::Usr1);
    // Nobody else ends what is still being loaded.
    sys::die_with_parent(true);
    if std::os::unix::process::parent_id() != birth.arbiter {
        return Ok(());
    }
    let shared = match plan.file.take() {
        None => preload(&plan)?,
        Some(source) => preload_with_file(&plan, &source, birth)?,
    };
    // From here on it ends when the arbiter says so, whatever is sent to all processes of the server.
    sys::disregard(Signal::Term);
    sys::disregard(Signal::Quit);
    sys::die_with_parent(false);
    shared.interpreter.freeze();
    // What was printed would be in each worker's buffer.
    python::write_out();
    plan.link.report(Report::Ready);
    while let Some(command) = commands.wait() {
        match command {
            Command::Spawn(age) => {
                if let Some(Err(raised)) = shared.hooks.as_ref().map(|hooks| hooks.pre_fork(age)) {
                    raised.log();
                    plan.link.report(Report::NotMade);
                    continue;
                }
                match shared.interpreter.fork_orphan(|pid| plan.link.report_worker(pid, age)) {
                    Ok(Fork::Parent(_)) => {}
                    Ok(Fork::Child) => {
                        drop(commands);
                        return worker(plan, shared, age);
                    }
                    Err(error) => {
                        tracing::warn!("{error}");
                        plan.link.report(Report::NotForked);
                    }
                }
            }
            Command::Reopen => telemetry::reopen(),
            Command::Close => {
                plan.listeners.clear();
                done(&shared, python::Hooks::closed);
            }
            Command::Made(pid, age) => done(&shared, |hooks| hooks.running(pid, age)),
            Command::Forget(pid) => done(&shared, |hooks| hooks.forget(pid)),
            Command::ChildExit(pid) => done(&shared, |hooks| hooks.child_exit(pid)),
            Command::Resized(now, before) => done(&shared, |hooks| hooks.resized(now, Some(before))),
            Command::Follow => done(&shared, |hooks| hooks.on_server("when_ready")),
            Command::PreExec => {
                let called = shared.hooks.as_ref().map_or(Ok(()), |hooks| hooks.on_server("pre_exec"));
                plan.link.report(if called.is_ok() { Report::MayUpgrade } else { Report::MayNotUpgrade });
                called.unwrap_or_else(|raised| raised.log());
            }
            Command::End => {
                done(&shared, |hooks| hooks.on_server("on_exit"));
                break;
            }
        }
    }
    // Without an arbiter nobody sees to it that the app's threads and `atexit` functions have an end.
    let limit = plan.settings.graceful_timeout;
    let deadline = thread::Builder::new().spawn(move || {
        thread::sleep(limit);
        sys::exit_now(0);
    });
    drop((shared.app, shared.hooks));
    match deadline {
        Ok(_) => shared.interpreter.finish(),
        Err(_) => python::write_out(),
    }
    Ok(())
}

/// Calls a hook whose failure changes nothing.
fn done(shared: &Shared, call: impl FnOnce(&python::Hooks) -> Result<(), python::Raised>) {
    if let Some(Err(raised)) = shared.hooks.as_ref().map(call) {
        raised.log();
    }
}

fn preload(plan: &Plan) -> Result<Shared, Fatal> {
    set_environment(&plan.settings);
    let (interpreter, app) = load(&plan.settings, &plan.interpreter, &plan.spec, plan.args.clone())?;
    Ok(Shared { interpreter, app: Some(app), hooks: None })
}

/// Everything in gunicorn's order: the configuration file runs where the server was started, without the variables and
/// directories that it sets.
fn preload_with_file(plan: &Plan, source: &hooks::Source, birth: &Birth) -> Result<Shared, Fatal> {
    let settings = &plan.settings;
    std::env::set_current_dir(&source.directory)
        .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", source.directory.display())))?;
    let interpreter = Interpreter::start(&plan.interpreter, plan.args.clone())?;
    let about = hooks::About {
        settings,
        spec: &plan.spec,
        listeners: plan.listeners.iter().map(|one| (one.descriptor().as_raw_fd(), one.address().to_string())).collect(),
        arbiter: birth.arbiter,
        predecessor: birth.predecessor,
        size: birth.size,
    };
    let hooks = python::Hooks::load(source, &about)?;
    hooks::enter(&settings.chdir, &settings.raw_env)?;
    interpreter.add_paths(&settings.pythonpath)?;
    let fatal = |raised: python::Raised| raised.fatal(Code::Hook);
    for (pid, age) in &birth.running {
        hooks.running(*pid, *age).map_err(fatal)?;
    }
    match birth.reason {
        Reason::Start => hooks.resized(birth.size, None).map_err(fatal)?,
        Reason::Reload(before) => hooks.resized(birth.size, Some(before)).map_err(fatal)?,
        Reason::Again => {}
    }
    let app = settings.preload_app.then(|| interpreter.load(&plan.spec, settings)).transpose()?;
    match birth.reason {
        Reason::Start => {
            hooks.on_server("on_starting").map_err(fatal)?;
            hooks.on_server("when_ready").map_err(fatal)?;
        }
        Reason::Reload(_) => hooks.on_server("on_reload").map_err(fatal)?,
        Reason::Again => {}
    }
    Ok(Shared { interpreter, app, hooks: Some(hooks).filter(|_| !settings.hooks.is_empty()) })
}

/// Serves, in a process that was made for it.
fn worker(plan: Plan, shared: Shared, age: u64) -> Result<(), Fatal> {
    let Shared { interpreter, app, hooks } = shared;
    plan.link.set_age(age);
    let_go_of_signals();
    begin(&plan);
    let Some(hooks) = hooks else {
        return boot(plan, None, |plan| with_app(plan, interpreter, app));
    };
    let hooks = Hooks::start(hooks, &interpreter)?;
    let link = Arc::clone(&plan.link);
    let served = hooks
        .post_fork(age, move || link.report(Report::Retires))
        .map_err(|raised| raised.fatal(Code::WorkerBoot))
        .inspect(|()| let_go_of_signals())
        .and_then(|()| boot(plan, Some(&hooks), |plan| with_app(plan, interpreter, app)));
    if served.is_err() {
        hooks.exit();
    }
    served
}

/// What a preloaded app or a hook would do at these would be done beside what the worker does.
fn let_go_of_signals() {
    [Signal::Term, Signal::Quit, Signal::Int].into_iter().for_each(sys::restore);
    // Until the worker handles it, it must not end it. Programs that hooks start must not ignore it.
    sys::disregard(Signal::Usr1);
}

fn begin(plan: &Plan) {
    // Whether the template follows when the logs are rotated is a matter of time.
    telemetry::reopen();
    plan.link.report(Report::Started);
}

fn with_app(plan: &Plan, interpreter: Interpreter, app: Option<PyApp>) -> Result<(Interpreter, PyApp), Fatal> {
    let app = app.map_or_else(|| interpreter.load(&plan.spec, &plan.settings), Ok)?;
    Ok((interpreter, app))
}
