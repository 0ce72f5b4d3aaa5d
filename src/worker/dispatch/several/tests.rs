use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    task::{Wake, Waker},
    thread::{self, JoinHandle, spawn, yield_now},
};

use super::{Sleeper, StandBy, TOGETHER, Turn, Turns};

/// What is done for a call, with the GIL; it is given back while this waits for what it returns.
type Work = Box<dyn FnOnce() -> Option<Receiver<()>> + Send>;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn wait_for(&self, count: usize) {
        while self.get() < count {
            yield_now();
        }
    }
}

/// Threads that work as app threads do.
fn threads(turns: &Arc<Turns<Work>>, count: usize) -> Vec<JoinHandle<()>> {
    let gil = Arc::new(Mutex::new(()));
    let work = |mut turn: Turn<Work>, gil: &Mutex<()>| {
        loop {
            let mut held = gil.lock().expect("nobody panics");
            while let Some(call) = turn.take() {
                if let Some(ready) = call() {
                    drop(held);
                    let _ = ready.recv();
                    held = gil.lock().expect("nobody panics");
                }
            }
            drop(held);
            if !turn.wait() {
                return;
            }
        }
    };
    (0..count)
        .map(|_| {
            let (turns, gil) = (Arc::clone(turns), Arc::clone(&gil));
            spawn(move || work(turns.join(), &gil))
        })
        .collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("it ends well");
    }
}

#[test]
fn every_call_is_taken_once_and_the_threads_end_after_the_last() {
    let (turns, done) = (Arc::<Turns<Work>>::default(), Arc::<Count>::default());
    let threads = threads(&turns, 4);
    let push = |turns: &Turns<Work>, done: &Arc<Count>| {
        for number in 0..5000 {
            let done = Arc::clone(done);
            turns.push(Box::new(move || {
                done.wake();
                None
            }));
            if number % 100 == 0 {
                yield_now();
            }
        }
    };
    push(&turns, &done);
    // All are asleep in between.
    done.wait_for(5000);
    push(&turns, &done);
    turns.close();
    join(threads);
    assert_eq!(done.get(), 10_000);
}

#[test]
fn a_thread_that_waits_without_the_gil_is_relieved() {
    let (turns, done) = (Arc::<Turns<Work>>::default(), Arc::<Count>::default());
    let threads = threads(&turns, 4);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let (go, ready) = channel();
        waiting.push(go);
        turns.push(Box::new(move || Some(ready)));
    }
    for _ in 0..100 {
        let done = Arc::clone(&done);
        turns.push(Box::new(move || {
            done.wake();
            None
        }));
    }
    done.wait_for(100);
    drop(waiting);
    turns.close();
    join(threads);
}

#[test]
fn connections_are_woken_together_as_long_as_one_stands_by() {
    let (turns, woken) = (Arc::<Turns<u8>>::default(), Arc::<Count>::default());
    let wake = || turns.wake(Waker::from(Arc::clone(&woken)));
    let (mut first, mut second) = (turns.join(), turns.join());
    turns.state().is_looked_after = true;
    wake();
    assert_eq!(woken.get(), 1, "nobody would do it later");
    turns.push(1);
    assert!(first.wait());
    assert_eq!(first.take(), Some(1));
    wake();
    assert_eq!(woken.get(), 2, "still nobody");
    turns.push(2);
    assert!(second.wait());
    wake();
    assert_eq!(woken.get(), 2, "the second does it when the first gives the GIL up");
    assert_eq!(second.take(), Some(2));
    assert_eq!(woken.get(), 3);
    turns.push(3);
    assert!(first.wait());
    (0..TOGETHER).for_each(|_| wake());
    assert_eq!(woken.get(), 3 + TOGETHER, "so many do not wait for others");
    wake();
    turns.close();
    assert_eq!(second.take(), Some(3));
    assert!(!second.wait());
    assert_eq!(woken.get(), 4 + TOGETHER, "nor does one that the thread has left behind");
}

#[test]
fn connections_are_woken_soon_however_long_the_gil_is_kept() {
    let (turns, woken) = (Arc::<Turns<u8>>::default(), Arc::<Count>::default());
    let wake = || turns.wake(Waker::from(Arc::clone(&woken)));
    let mut second = turns.join();
    turns.push(1);
    assert!(second.wait(), "it waits for the GIL from here on");
    wake();
    assert_eq!(woken.get(), 1, "nobody looks yet");
    let looking = Arc::clone(&turns);
    spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(looking.look_after_connections());
    });
    while !turns.state().is_looked_after {
        // It is over after a while, which this thread may miss.
        turns.look.notify_one();
        yield_now();
    }
    wake();
    woken.wait_for(2);
    while turns.state().is_looked_after {
        yield_now();
    }
    wake();
    // At once, unless this thread had to rest before the second: whoever looks then looks for a while again.
    woken.wait_for(3);
}

#[test]
fn a_call_that_nobody_will_take_is_dropped() {
    let (turns, count) = (Arc::<Turns<Arc<()>>>::default(), Arc::new(()));
    turns.push(Arc::clone(&count));
    assert_eq!(Arc::strong_count(&count), 2, "threads are still to come");
    drop(turns.join());
    assert_eq!(Arc::strong_count(&count), 1);
    turns.push(Arc::clone(&count));
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn the_main_thread_is_woken_first_and_then_the_last_that_fell_asleep() {
    let turns = Arc::<Turns<u8>>::default();
    let sleeper = |is_main| Arc::new(Sleeper { thread: thread::current(), is_main, called: AtomicBool::new(false) });
    let [first, main, last] = [false, true, false].map(sleeper);
    let mut state = turns.state();
    for sleeper in [&first, &main, &last] {
        state.add_idle(sleeper);
    }
    for expected in [main, last, first] {
        state.stand_by = StandBy::Nobody;
        state.calls.push_back(1);
        let woken = state.call_one().expect("there is one");
        assert!(Arc::ptr_eq(&woken, &expected));
    }
}

#[test]
fn it_is_said_when_all_are_at_calls_and_when_one_is_not() {
    let turns = Arc::<Turns<Work>>::default();
    let threads = threads(&turns, 2);
    let busy = turns.busy.subscribe();
    let wait_until = |expected: bool| {
        while *busy.borrow() != expected {
            yield_now();
        }
    };
    let mut waiting = Vec::new();
    for number in 1..=3 {
        let (go, ready) = channel();
        waiting.push(go);
        let (starts, has_begun) = channel::<()>();
        turns.push(Box::new(move || {
            drop(starts);
            Some(ready)
        }));
        if number <= 2 {
            // It is at it.
            let _ = has_begun.recv();
            wait_until(number == 2);
        }
    }
    // The third waits, and takes the place of the first that is over.
    drop(waiting.remove(0));
    wait_until(true);
    drop(waiting);
    wait_until(false);
    turns.close();
    join(threads);
}
