//! The supervisor with processes that exist on paper only.

use std::time::Duration;

use super::{Action, Event, Limits, Outcome, Pid, Supervisor, ends};
use crate::{exit::Code, settings::Level};

const GRACE: Duration = Duration::from_secs(30);

/// A supervisor and the processes that it believes in.
struct World {
    supervisor: Supervisor,
    now: Duration,
    next_pid: Pid,
    /// What was done, except for spawning and logging.
    done: Vec<Action>,
    logged: Vec<String>,
    spawned: Vec<(Pid, u64)>,
}

impl World {
    fn new(size: usize) -> Self {
        let limits = Limits { graceful_timeout: GRACE, timeout: Some(Duration::from_secs(30)) };
        let mut world = Self {
            supervisor: Supervisor::new(size, limits),
            now: Duration::ZERO,
            next_pid: 101,
            done: Vec::new(),
            logged: Vec::new(),
            spawned: Vec::new(),
        };
        world.send(Event::Tick);
        world
    }

    /// With every worker booted.
    fn serving(size: usize) -> Self {
        let mut world = Self::new(size);
        world.boot_all();
        world.done.clear();
        world
    }

    fn send(&mut self, event: Event) {
        let mut actions = self.supervisor.handle(event, self.now);
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Spawn(generation) => {
                        let pid = self.next_pid;
                        self.next_pid += 1;
                        self.spawned.push((pid, generation));
                        next.extend(self.supervisor.handle(Event::Spawned(pid, generation), self.now));
                    }
                    Action::Log(_, text) => self.logged.push(text),
                    Action::Resized => {}
                    action => self.done.push(action),
                }
            }
            actions = next;
        }
    }

    fn boot_all(&mut self) {
        for (pid, _) in self.spawned.clone() {
            self.send(Event::Booted(pid));
        }
    }

    fn exit(&mut self, pid: Pid, code: i32) {
        self.send(Event::Exited(pid, Outcome::Code(code)));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.send(Event::Tick);
    }

    fn pids(&self) -> Vec<Pid> {
        self.supervisor.pids().collect()
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.done)
    }
}

#[test]
fn as_many_workers_are_started_as_are_wanted() {
    assert_eq!(World::new(3).pids(), [101, 102, 103]);
}

#[test]
fn a_worker_that_dies_is_replaced_at_once() {
    let mut world = World::serving(2);
    world.send(Event::Exited(101, Outcome::Signal(9)));
    assert_eq!(world.pids(), [102, 103]);
    assert_eq!(world.logged, ["Worker (pid:101) was sent SIGKILL! Perhaps out of memory?"]);
}

#[test]
fn an_app_that_cannot_be_loaded_at_first_ends_the_arbiter_with_gunicorns_code() {
    for (code, reason) in [(3, "Worker failed to boot."), (4, "App failed to load.")] {
        let mut world = World::new(2);
        world.exit(101, code);
        assert_eq!(world.take(), [Action::Quit(102)]);
        world.exit(102, code);
        assert_eq!(world.take(), [Action::End(u8::try_from(code).expect("small"), reason)]);
    }
}

#[test]
fn workers_that_keep_dying_at_boot_are_retried_with_a_growing_pause() {
    let mut world = World::serving(1);
    world.exit(101, 1);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let count = world.spawned.len();
        world.exit(world.next_pid - 1, 1);
        assert_eq!(world.spawned.len(), count, "there is a pause first");
        let due = world.supervisor.next_due(world.now).expect("the next attempt is due some time");
        let pause = due.saturating_sub(world.now);
        pauses.push(pause.as_millis());
        world.pass(pause);
        assert_eq!(world.spawned.len(), count + 1, "the attempt is made");
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    world.boot_all();
    world.exit(world.next_pid - 1, 1);
    assert_eq!(world.pids().len(), 1, "after a boot that went well there is no pause");
}

#[test]
fn a_reload_ends_the_old_workers_when_all_new_ones_serve() {
    let mut world = World::serving(2);
    world.send(Event::Reconfigured(2));
    assert_eq!(world.pids(), [101, 102, 103, 104]);
    world.send(Event::Booted(103));
    assert_eq!(world.take(), []);
    world.send(Event::Booted(104));
    assert_eq!(world.take(), [Action::Adopted(2), Action::Term(101), Action::Term(102)]);
    world.exit(101, 0);
    world.exit(102, 0);
    assert_eq!(world.pids(), [103, 104]);
}

#[test]
fn a_new_worker_that_is_to_be_replaced_before_the_others_serve_does_not_hold_up_a_reload() {
    let mut world = World::serving(2);
    world.send(Event::Reconfigured(2));
    world.send(Event::Booted(103));
    world.send(Event::Retires(103));
    world.send(Event::Booted(104));
    assert_eq!(world.take(), [Action::Adopted(2), Action::Term(101), Action::Term(102)]);
    assert_eq!(world.pids(), [101, 102, 103, 104, 105], "its successor is on its way");
}

#[test]
fn a_reload_whose_code_cannot_be_loaded_leaves_the_old_workers_serving() {
    let mut world = World::serving(2);
    world.send(Event::Reconfigured(2));
    world.send(Event::Booted(103));
    world.exit(104, 3);
    assert_eq!(world.take(), [Action::Term(103), Action::Abandoned(2), Action::ReloadFailed(ends::NOT_BOOTED)]);
    world.exit(103, 0);
    assert_eq!(world.pids(), [101, 102]);
    world.send(Event::Reconfigured(2));
    world.boot_all();
    assert_eq!(world.take(), [Action::Adopted(3), Action::Term(101), Action::Term(102)]);
}

#[test]
fn what_a_reload_shortens_does_not_count_for_the_workers_before() {
    let mut world = World::serving(1);
    world.supervisor.set_limits(Limits { graceful_timeout: Duration::from_secs(1), timeout: None });
    world.send(Event::Reconfigured(1));
    world.boot_all();
    assert_eq!(world.take(), [Action::Adopted(2), Action::Term(101)]);
    world.pass(GRACE);
    assert_eq!(world.take(), []);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take(), [Action::Kill(101)]);
    world.exit(101, 0);
    world.send(Event::Stop);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.take(), [Action::Term(102), Action::Kill(102)]);
}

#[test]
fn a_worker_that_dies_while_a_reload_proves_itself_is_not_missed() {
    let mut world = World::serving(2);
    world.send(Event::Reconfigured(2));
    world.send(Event::Exited(101, Outcome::Signal(11)));
    world.boot_all();
    assert_eq!(world.take(), [Action::Adopted(2), Action::Term(102)]);
}

#[test]
fn the_number_of_workers_follows_ttin_and_ttou_but_never_reaches_none() {
    let mut world = World::serving(1);
    world.send(Event::Increase);
    world.boot_all();
    assert_eq!(world.pids(), [101, 102]);
    world.send(Event::Decrease);
    assert_eq!(world.take(), [Action::Term(101)]);
    world.exit(101, 0);
    world.send(Event::Decrease);
    assert_eq!((world.take(), world.pids()), (vec![], vec![102]));
}

#[test]
fn a_server_whose_workers_were_dismissed_has_workers_again_when_more_are_wanted_or_with_a_reload() {
    for (event, wanted) in [(Event::Increase, 1), (Event::Decrease, 0), (Event::Reconfigured(3), 3)] {
        let mut world = World::serving(2);
        world.send(Event::Dismiss);
        assert_eq!(world.take(), [Action::Term(101), Action::Term(102)]);
        assert_eq!(world.supervisor.wanted(), 0);
        world.exit(101, 0);
        world.exit(102, 0);
        assert_eq!((world.take(), world.pids().len()), (vec![], 0), "the arbiter stays");
        world.send(event);
        assert_eq!((world.pids().len(), world.supervisor.wanted()), (wanted, wanted));
    }
}

#[test]
fn a_worker_that_retires_goes_when_its_successor_serves_one_at_a_time() {
    let mut world = World::serving(2);
    world.send(Event::Retires(101));
    world.send(Event::Retires(102));
    assert_eq!((world.take(), world.pids()), (vec![], vec![101, 102, 103]));
    world.send(Event::Booted(103));
    assert_eq!(world.take(), [Action::Term(101)]);
    assert_eq!(world.pids(), [101, 102, 103, 104], "the next successor is on its way");
    world.exit(101, 0);
    world.send(Event::Booted(104));
    assert_eq!(world.take(), [Action::Term(102)]);
    world.exit(102, 0);
    assert_eq!(world.pids(), [103, 104]);
}

#[test]
fn a_worker_that_is_to_be_replaced_before_it_serves_is_replaced_then() {
    let mut world = World::new(2);
    world.send(Event::Booted(101));
    world.send(Event::Retires(102));
    assert_eq!(world.pids(), [101, 102]);
    world.send(Event::Booted(102));
    assert_eq!(world.pids(), [101, 102, 103]);
    world.send(Event::Booted(103));
    assert_eq!(world.take(), [Action::Term(102)]);
}

#[test]
fn a_silent_worker_is_killed_and_replaced() {
    let mut world = World::serving(2);
    world.pass(Duration::from_secs(20));
    world.send(Event::Alive(102));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.take(), [Action::Kill(101)]);
    assert_eq!(world.logged, ["WORKER TIMEOUT (pid:101)"]);
    world.send(Event::Exited(101, Outcome::Signal(9)));
    assert_eq!(world.pids(), [102, 103]);
}

#[test]
fn workers_whose_reports_have_waited_are_not_silent() {
    let mut world = World::serving(2);
    world.now += Duration::from_secs(31);
    world.send(Event::Alive(101));
    world.send(Event::Alive(102));
    world.send(Event::Tick);
    assert_eq!(world.take(), []);
}

#[test]
fn stopping_waits_for_the_workers_and_kills_what_does_not_end() {
    let mut world = World::serving(2);
    world.send(Event::Stop);
    assert_eq!(world.take(), [Action::Term(101), Action::Term(102)]);
    world.exit(101, 0);
    world.pass(GRACE);
    assert_eq!(world.take(), [], "it may say itself that its time is over");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take(), [Action::Kill(102)]);
    world.send(Event::Exited(102, Outcome::Signal(9)));
    assert_eq!(world.take(), [Action::End(0, "")]);
}

#[test]
fn a_second_request_to_stop_ends_the_workers_at_once() {
    let mut world = World::serving(1);
    world.send(Event::Stop);
    world.send(Event::Quit);
    assert_eq!(world.take(), [Action::Term(101), Action::Quit(101)]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.take(), [Action::Kill(101)]);
}

#[test]
fn a_stop_during_a_reload_ends_both_generations() {
    let mut world = World::serving(1);
    world.send(Event::Reconfigured(1));
    world.send(Event::Stop);
    assert_eq!(world.take(), [Action::Term(101), Action::Term(102)]);
    world.exit(102, 0);
    world.exit(101, 0);
    assert_eq!(world.take(), [Action::End(0, "")]);
}

#[test]
fn a_system_without_processes_to_give_is_asked_again_later() {
    let mut supervisor = Supervisor::new(1, Limits { graceful_timeout: GRACE, timeout: None });
    assert_eq!(supervisor.handle(Event::Tick, Duration::ZERO), [Action::Spawn(1)]);
    let actions = supervisor.handle(Event::SpawnFailed(1, "out of memory".to_owned()), Duration::ZERO);
    let text = "A worker could not be started: out of memory. The next attempt is in 0.5 s.".to_owned();
    assert_eq!(actions, [Action::Log(Level::Warning, text)]);
    assert_eq!(supervisor.handle(Event::Tick, Duration::from_millis(500)), [Action::Spawn(1)]);
}

#[test]
fn a_worker_that_comes_too_late_for_its_reload_is_ended() {
    let mut supervisor = Supervisor::new(1, Limits { graceful_timeout: GRACE, timeout: None });
    let mut send = |event| supervisor.handle(event, Duration::ZERO);
    assert_eq!(send(Event::Tick), [Action::Spawn(1)]);
    send(Event::Spawned(101, 1));
    send(Event::Booted(101));
    assert_eq!(send(Event::Reconfigured(1)), [Action::Spawn(2)]);
    assert_eq!(send(Event::Reconfigured(1)), [Action::Abandoned(2), Action::Spawn(3)]);
    assert_eq!(send(Event::Spawned(102, 2)), [Action::Term(102)]);
    send(Event::Spawned(103, 3));
    assert_eq!(send(Event::Booted(103)), [Action::Adopted(3), Action::Term(101)]);
}

#[test]
fn a_worker_that_never_comes_does_not_keep_the_arbiter_from_ending() {
    let mut supervisor = Supervisor::new(1, Limits { graceful_timeout: GRACE, timeout: None });
    assert_eq!(supervisor.handle(Event::Tick, Duration::ZERO), [Action::Spawn(1)]);
    assert_eq!(supervisor.handle(Event::Stop, Duration::ZERO), [Action::End(0, "")]);
}

#[test]
fn a_reload_mends_what_a_worker_that_never_comes_holds_up() {
    let mut supervisor = Supervisor::new(1, Limits { graceful_timeout: GRACE, timeout: None });
    let mut send = |event| supervisor.handle(event, Duration::ZERO);
    assert_eq!(send(Event::Tick), [Action::Spawn(1)]);
    assert_eq!(send(Event::Reconfigured(1)), [Action::Spawn(2)]);
    let actions = send(Event::TemplateFailed(1, Outcome::Signal(9)));
    assert!(
        matches!(&actions[..], [Action::Log(_, why), Action::Log(..)] if why.ends_with("was sent SIGKILL! Perhaps out of memory?")),
        "the new ones are still waited for: {actions:?}"
    );
    send(Event::Spawned(101, 2));
    assert_eq!(send(Event::Booted(101)), [Action::Adopted(2)]);
    assert_eq!(send(Event::Spawned(102, 1)), [Action::Term(102)], "one that comes after all is ended");
}

#[test]
fn after_a_reload_that_failed_as_many_workers_are_wanted_as_before() {
    let mut world = World::serving(2);
    world.send(Event::Reconfigured(5));
    world.send(Event::Reconfigured(4));
    let candidate = *world.pids().last().expect("one boots");
    world.exit(candidate, 3);
    assert!(world.take().contains(&Action::ReloadFailed(ends::NOT_BOOTED)));
    for pid in world.pids().into_iter().filter(|pid| *pid > 102) {
        world.exit(pid, 0);
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.pids(), [101, 102]);
}

#[test]
fn a_worker_more_or_less_is_wanted_also_when_the_reload_of_that_time_fails() {
    for (event, wanted) in [(Event::Increase, 3), (Event::Decrease, 1)] {
        let mut world = World::serving(2);
        world.send(Event::Reconfigured(5));
        world.send(event);
        world.exit(103, 3);
        assert!(world.take().contains(&Action::ReloadFailed(ends::NOT_BOOTED)));
        assert_eq!(world.supervisor.wanted(), wanted);
    }
}

#[test]
fn new_workers_that_are_silent_fail_a_reload() {
    let mut world = World::serving(1);
    world.send(Event::Reconfigured(1));
    for _ in 0..31 {
        world.pass(Duration::from_secs(1));
        world.send(Event::Alive(101));
    }
    assert_eq!(world.take(), [Action::Kill(102)]);
    world.send(Event::Exited(102, Outcome::Signal(9)));
    assert_eq!(world.take(), [Action::Term(103), Action::Abandoned(2), Action::ReloadFailed(ends::NOT_BOOTED)]);
    world.exit(103, 0);
    assert_eq!(world.pids(), [101]);
}

#[test]
fn what_a_worker_cannot_mend_ends_the_server_at_its_first_boot_only() {
    for (code, ends) in [(1, true), (3, true), (4, true), (2, false), (124, false)] {
        let mut world = World::new(1);
        world.exit(101, code);
        assert_eq!(!world.take().is_empty(), ends, "{code}");
        let mut world = World::serving(1);
        world.send(Event::Exited(101, Outcome::Signal(9)));
        world.exit(102, code);
        assert_eq!(world.take(), [], "{code}");
    }
}

#[test]
fn a_worker_that_asks_for_a_successor_again_need_not_wait_for_a_pause() {
    let mut world = World::serving(1);
    world.send(Event::Retires(101));
    world.exit(102, 3);
    assert_eq!(world.pids(), [101]);
    world.send(Event::Retires(101));
    world.send(Event::Booted(103));
    assert_eq!(world.take(), [Action::Term(101)]);
}

#[test]
fn a_worker_that_asks_again_while_its_successor_boots_gets_another_one() {
    let mut world = World::serving(1);
    world.send(Event::Retires(101));
    world.send(Event::Retires(101));
    world.send(Event::Booted(102));
    assert_eq!(world.take(), [Action::Term(101)]);
    world.exit(101, 0);
    world.boot_all();
    assert_eq!(world.take(), [Action::Term(102)], "it may have loaded the code before the second change");
    assert_eq!(world.pids(), [102, 103]);
}

#[test]
fn a_hook_that_fails_ends_only_an_arbiter_that_has_not_served() {
    let hook = || Event::TemplateFailed(1, Outcome::Code(Code::Hook as i32));
    let mut supervisor = Supervisor::new(1, Limits { graceful_timeout: GRACE, timeout: None });
    assert_eq!(supervisor.handle(Event::Tick, Duration::ZERO), [Action::Spawn(1)]);
    let actions = supervisor.handle(hook(), Duration::ZERO);
    assert_eq!(actions, [Action::End(1, "A hook failed.")]);
    let mut world = World::serving(1);
    world.send(Event::Exited(101, Outcome::Signal(9)));
    world.send(hook());
    assert_eq!(world.take(), []);
}

#[test]
fn workers_that_are_told_to_go_during_a_reload_end_it() {
    let mut world = World::serving(1);
    world.send(Event::Reconfigured(1));
    assert_eq!(world.supervisor.active(), 1, "the new ones do not count yet");
    world.send(Event::Dismiss);
    let actions = world.take();
    assert!(
        actions.contains(&Action::Abandoned(2)) && actions.contains(&Action::ReloadFailed(super::DISMISSED)),
        "{actions:?}"
    );
    assert_eq!(world.supervisor.active(), 0);
}
