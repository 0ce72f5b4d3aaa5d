//! Whose turn it is: the answers of a connection share its window and its socket, so one that waits may only have to wait
//! for the others, and its client is at no fault then. h2 gives in the order that was asked in.

use std::time::Duration;

use tokio::time::Instant;

/// The turns of a connection's answers, which are numbered as they are asked for.
pub struct Turns {
    last: u64,
    /// Who has asked before this one and still waits has been passed by.
    passed: u64,
    /// When an answer that had to wait was last given something.
    given: Instant,
}

/// A turn that was asked for.
#[derive(Clone, Copy)]
pub struct Turn {
    number: u64,
    pub since: Instant,
}

impl Default for Turns {
    fn default() -> Self {
        Self { last: 0, passed: 0, given: Instant::now() }
    }
}

impl Turns {
    /// An answer begins, or begins to wait.
    pub fn ask(&mut self) -> Turn {
        self.last += 1;
        Turn { number: self.last, since: Instant::now() }
    }

    /// One was given something that had to wait, and that had asked `before` it waited this time: what is given in part
    /// waits in h2 for the rest before it asks again, so only the turn before says who was earlier.
    pub fn give(&mut self, before: Turn) {
        self.given = Instant::now();
        self.passed = self.passed.max(before.number);
    }

    /// The socket, for which all of them had to wait, takes something again: whose turn it is is yet to be given some of it.
    pub fn resume(&mut self) {
        self.given = Instant::now();
    }

    /// Whether it is for its own client that an answer has waited for this long: others that have asked later were given
    /// something, or nobody was. Where they all wait for the socket, which is `jammed`, that is for others to see to.
    pub fn is_stalled(&self, turn: Turn, limit: Duration, jammed: bool) -> bool {
        let is_stuck = !jammed && self.given.elapsed() >= limit;
        turn.since.elapsed() >= limit && (turn.number < self.passed || is_stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn who_waits_for_its_turn_is_not_stalled_and_who_is_passed_by_is() {
        let mut turns = Turns::default();
        let begun = Instant::now().checked_sub(LONG).expect("a time");
        let early = turns.ask();
        let first = Turn { since: begun, ..turns.ask() };
        turns.given = begun;
        assert!(turns.is_stalled(first, LONG, false) && !turns.is_stalled(first, LONG, true), "nobody has a turn");
        turns.resume();
        assert!(!turns.is_stalled(first, LONG, false), "the socket was at fault");
        turns.given = begun;
        turns.give(early);
        assert!(!turns.is_stalled(first, LONG, false), "that one was earlier");
        let later = turns.ask();
        turns.give(later);
        assert!(turns.is_stalled(first, LONG, false) && turns.is_stalled(first, LONG, true));
        let fresh = turns.ask();
        let next = turns.ask();
        turns.give(next);
        assert!(!turns.is_stalled(fresh, LONG, false), "it has not waited for long");
    }
}
